"""Commands about the compile cache: ls, why, verify, gc."""

from __future__ import annotations

import functools
import inspect
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuron_catalog.cli.building import export
from neuron_catalog.cli.compiling import with_compiler
from neuron_catalog.cli.context import Address, Json, print_columns, print_json
from neuron_catalog.cli.printing import say
from neuron_catalog.cli.sizes import with_sizes
from neuron_catalog.errors import RequestError, UsageError, VerificationError

if TYPE_CHECKING:
    from neuron_catalog.storage.cache import CompileCache, Entry

Digests = Annotated[
    list[str] | None, typer.Argument(metavar="[DIGEST]…", help="As `ls` shows them; all if none is given.")
]

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
"""Letter after a size → bytes."""

SETTLED = {"dry_run": True, "overwrite": True, "no_cache": False}
"""Options of `export` that `why` has no use for."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Look into the compile cache, and keep it small.", no_args_is_help=True)
    group.command("ls")(ls)
    group.command("why")(with_compiler(with_sizes(_as_question(export))))
    group.command("verify")(verify)
    group.command("gc")(gc)
    group.command("push")(push)
    group.command("pull")(pull)
    app.add_typer(group, name="cache")


def ls(as_json: Json = False) -> None:
    """List what is in the compile cache, what was used last first."""
    cache = _cache()
    found = cache.by_use()
    if as_json:
        print_json([{**entry.model_dump(mode="json"), "used": used} for used, entry in found])
        return
    total = sum(entry.bytes for _, entry in found)
    say(f"{_told(len(found), total)} in {cache.root}.")
    print_columns([_line(entry, used) for used, entry in found])


def verify(as_json: Json = False) -> None:
    """Hold every file in the compile cache to its digest; remove what was altered."""
    from neuron_catalog.storage.upkeep import verify

    cache = _cache()
    count, wrong = 0, {}
    for verdict in verify(cache):
        count += 1
        if verdict.altered:
            wrong[verdict.digest] = list(verdict.altered)
            cache.remove(verdict.digest)
    if as_json:
        print_json({"whole": count - len(wrong), "removed": wrong})
    else:
        say(f"{count - len(wrong)} of {count} entries in {cache.root} are as they were kept.")
    if wrong:
        told = "; ".join(f"{digest[:16]}: {', '.join(lines)}" for digest, lines in wrong.items())
        raise VerificationError(
            f"{len(wrong)} of {count} entries of the compile cache were altered, and removed: {told}.",
            "The next export compiles them again. Find out what wrote there, or what ails the disk.",
        )


def gc(
    max_size: Annotated[str, typer.Option("--max_size", metavar="SIZE", help="Such as 20G, 500M, or 0.")],
    as_json: Json = False,
) -> None:
    """Remove what was not used for the longest time until the rest is no larger than --max_size."""
    from neuron_catalog.storage.upkeep import collect

    done = collect(_cache(), _bytes(max_size))
    if as_json:
        removed = [entry.digest for entry in done.removed]
        print_json({"removed": removed, "kept": done.kept, "kept_bytes": done.kept_bytes})
        return
    freed = _told(len(done.removed), sum(entry.bytes for entry in done.removed))
    say(f"Removed {freed}; {_told(done.kept, done.kept_bytes)} left.")


def push(url: Address, digests: Digests = None) -> None:
    """Write entries of the compile cache to a store, all if none is named. What is there is left alone."""
    from neuron_catalog.storage.sharing import push
    from neuron_catalog.storage.stores import Store

    cache = _cache()
    known = {entry.digest: entry for entry in cache.entries()}
    chosen = [known[each] for each in _named(digests, known, str(cache.root))]
    new = [entry for entry, was_new in push(cache, Store(url), chosen) if was_new]
    written = _told(len(new), sum(entry.bytes for entry in new))
    say(f"Wrote {written} to {url}; {len(chosen) - len(new)} had been there.")


def pull(url: Address, digests: Digests = None) -> None:
    """Bring entries of a store into the compile cache, all if none is named."""
    from neuron_catalog.storage.sharing import pull, there
    from neuron_catalog.storage.stores import Store

    cache, store = _cache(), Store(url)
    chosen = _named(digests, there(store), url)
    lacking = [digest for digest in chosen if cache.read(digest) is None]
    new = [entry for digest in lacking if (entry := pull(cache, store, digest))]
    brought = _told(len(new), sum(entry.bytes for entry in new))
    say(f"Brought {brought} from {url}; {len(chosen) - len(new)} had been here.")


def _named(given: list[str] | None, known: Iterable[str], where: str) -> list[str]:
    """Return the digests that begin so, or all.

    Raises:
        RequestError: if there is none that begins so, or several.
    """
    every = sorted(known)
    if not given:
        return every
    chosen = []
    for begin in given:
        found = [digest for digest in every if digest.startswith(begin)]
        if len(found) != 1:
            what = f"{len(found)} entries of {where} begin" if found else f"No entry of {where} begins"
            raise RequestError(f"{what} with {begin}.", "`cache ls` shows the digests.")
        chosen += found
    return chosen


def _as_question(command: Callable[..., None]) -> Callable[..., None]:
    """Return `export` as a command that does nothing but say what the cache knows."""

    @functools.wraps(command)
    def asked(**given: Any) -> None:
        command(**given, **SETTLED)

    signature = inspect.signature(command, eval_str=True)
    own = [each for name, each in signature.parameters.items() if name not in SETTLED]
    asked.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    asked.__annotations__ = {each.name: each.annotation for each in own}
    asked.__doc__ = """Say whether an export is in the compile cache, or what differs from the nearest entry.

    It takes the same arguments as `export`.
    """
    return asked


def _cache() -> CompileCache:
    from neuron_catalog.storage.cache import CompileCache
    from neuron_catalog.storage.home import PLACE, compile_cache_home

    home = compile_cache_home()
    if home is None:
        raise RequestError(f"The compile cache is turned off: {PLACE} is empty.", f"Unset {PLACE}.")
    return CompileCache(home)


def _line(entry: Entry, used: float) -> tuple[str, ...]:
    title = entry.title
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(used))
    what = " ".join(str(title.get(name, "?")) for name in ("architecture", "task", "backend"))
    return entry.digest[:16], day, _size(entry.bytes), what, str(title.get("source", ""))


def _told(count: int, total: int) -> str:
    return f"{count} artifact{'s' * (count != 1)} of {_size(total)}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 10**9 else f"{count / 1e9:.2f} GB"


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?", text.upper())
    if not match:
        raise UsageError(f"--max_size {text} is no size.", "Write for example: --max_size 20G")
    return int(float(match[1]) * UNITS[match[2]])
