"""Give the readers of untrusted files what nobody would write, and hold them to what was promised.

A reader either takes an input or refuses it with an error of this package: it never crashes, never takes more
than a second or 200 MB, and never writes outside of its folder. Inputs are mutations of real files: parts of
JSON are exchanged, lines of YAML moved, bytes changed.
"""

import hashlib
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pydantic

from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.catalog.loader import KINDS, load
from neuron_catalog.composition import Composition, PartRecord, PipelineSourceRecord
from neuron_catalog.digests import FileRecord
from neuron_catalog.errors import NeuronCatalogError, RequestError
from neuron_catalog.exporting.backends.neuron_program import GraphRecord, ProgramRecord
from neuron_catalog.exporting.compiling import silent
from neuron_catalog.exporting.exporter import export_into
from neuron_catalog.exporting.request import ExportRequest, resolve
from neuron_catalog.inventory import MANIFEST_NAME
from neuron_catalog.manifest import Manifest
from neuron_catalog.schema.kinds import DOCUMENTS
from neuron_catalog.sdk.compiler_errors import error_lines, found_in
from neuron_catalog.storage.cache import CompileCache, Entry
from neuron_catalog.storage.keys import Key, key_written

ROOT = Path(__file__).parents[2]
SECONDS, MEGABYTES = 1.0, 200
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")

ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    "",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a\0b",
    "\ud800",
    "ß" * 3000,
    [],
    {},
    [[[[[[]]]]]],
    {"": {"": {}}},
]
"""Values that stand where others should."""

LINES = (
    *("- ", "  ", "? ", ": ", "'", '"', "|", ">", "---", "\t", "a: a: a", "[" * 30),
    *("!!python/object:os.system x", "&a [*a]", "<<: *a", "%YAML 9"),
)
"""What YAML may hold."""


def read_manifest(kind: Any, data: bytes, folder: Path) -> None:
    """Read a manifest from a file, and ask for what it describes."""
    (folder / MANIFEST_NAME).write_bytes(data)
    kind.read(folder).altered_files(folder)


def read_yaml_as(kind: str, data: bytes, folder: Path) -> None:
    path = folder / "some.yaml"
    path.write_bytes(data)
    load(path, DOCUMENTS[kind])


def read_program(data: bytes, folder: Path) -> None:
    (folder / "neuron.json").write_bytes(data)
    ProgramRecord.read(folder / "model.neuron", ["forward"])


def read_entry(data: bytes, folder: Path) -> None:
    del folder
    try:
        Entry.model_validate_json(data)
    except pydantic.ValidationError as error:
        raise RequestError("It is no entry.") from error


def read_key(data: bytes, folder: Path) -> None:
    del folder
    try:
        key = key_written(data)
    except ValueError as error:
        raise RequestError("It is no key.") from error
    key.differences(Key({"plans": []}))


def read_log(data: bytes, folder: Path) -> None:
    del folder
    text = data.decode(errors="replace")
    found_in(text)
    error_lines(text)


Reader = Callable[[bytes, Path], None]

READERS: dict[str, Reader] = {
    "manifest": partial(read_manifest, Manifest),
    "manifest of a pipeline": partial(read_manifest, Composition),
    "entry of the cache": read_entry,
    "key of the cache": read_key,
    "graphs for Neuron": read_program,
    "log of a compiler": read_log,
    **{f"YAML: {kind}": partial(read_yaml_as, kind) for kind in DOCUMENTS},
}


@dataclass
class Fuzzed:
    """What a reader did."""

    reader: str
    inputs: int = 0
    taken: int = 0
    """How many were accepted."""
    slowest: float = 0.0
    """Seconds of this process, which does not count how busy the machine is."""
    megabytes: int = 0
    """How much the process grew."""
    wrong: list[str] = field(default_factory=list)


class HangError(BaseException):
    """An input took too long; no reader catches this."""


def mutated_json(value: Any, chance: random.Random) -> Any:
    """Exchange one part of a value."""
    if chance.random() < 0.15 or not isinstance(value, (dict, list)) or not value:
        return chance.choice([*ODD, chance.getrandbits(20), chance.random(), "x" * chance.randrange(40)])
    if isinstance(value, list):
        place = chance.randrange(len(value))
        kept = [value[0]] * chance.choice([1, 1, 1, 50]) if chance.random() < 0.1 else list(value)
        return [*kept[:place], mutated_json(value[place], chance), *kept[place + 1 :]]
    name = chance.choice(list(value))
    changed = dict(value)
    kind = chance.random()
    if kind < 0.08:
        del changed[name]
    elif kind < 0.16:
        changed[chance.choice(["", "..", "../x", "new", "a\0"])] = changed.pop(name)
    else:
        changed[name] = mutated_json(value[name], chance)
    return changed


def mutated_text(text: bytes, chance: random.Random) -> bytes:
    """Change bytes, and move or double lines."""
    kind = chance.random()
    if kind < 0.3:
        lines = text.split(b"\n")
        place = chance.randrange(len(lines))
        lines.insert(chance.randrange(len(lines)), lines.pop(place))
        return b"\n".join(lines)
    place = chance.randrange(len(text) + 1)
    if kind < 0.6:
        return text[:place] + chance.choice(LINES).encode() + text[place:]
    if kind < 0.8:
        return text[:place] + text[place + chance.randrange(1, 9) :]
    return text[:place] + bytes([chance.randrange(256)]) + text[place + 1 :]


def mutated(seed: bytes, chance: random.Random, *, is_json: bool) -> bytes:
    """Change an input a few times."""
    if chance.random() < 0.001:
        return chance.choice([b"[", b'{"a":', b"- ", b"[[],"]) * chance.choice([50, 2_000, 100_000])
    if is_json and chance.random() < 0.8:
        value = json.loads(seed)
        for _ in range(chance.randrange(1, 4)):
            value = mutated_json(value, chance)
        return json.dumps(value).encode()
    text = seed
    for _ in range(chance.randrange(1, 6)):
        text = mutated_text(text, chance)
    return text


def watch_files(folder: Path, wrong: list[str]) -> None:
    """Take down each file outside of a folder that is written to; for the rest of this process."""
    inside = f"{folder}{os.sep}"

    def audit(event: str, arguments: tuple) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if (writes or event in CHANGES) and isinstance(arguments[0], (str, bytes)):
            path = os.fsdecode(arguments[0])
            if os.path.isabs(path) and not path.startswith((inside, "/dev/null")):  # noqa: PTH117
                wrong.append(f"{event} {path}")

    sys.addaudithook(audit)


def fuzz(name: str, seeds: list[bytes], count: int, seed: int, folder: Path) -> Fuzzed:
    """Give a reader `count` mutations of real inputs."""
    outcome, chance, reader = Fuzzed(name), random.Random(f"{name} {seed}"), READERS[name]
    is_json = not name.startswith(("YAML", "log"))

    def too_long(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, too_long)
    for text in seeds:
        _give(reader, text, folder, outcome)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while outcome.inputs < count:
        _give(reader, mutated(chance.choice(seeds), chance, is_json=is_json), folder, outcome)
    outcome.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    if outcome.megabytes > MEGABYTES:
        outcome.wrong.append(f"the process grew by {outcome.megabytes} MB")
    return outcome


def _give(reader: Reader, data: bytes, folder: Path, outcome: Fuzzed) -> None:
    started = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, 10 * SECONDS)
    try:
        reader(data, folder)
        outcome.taken += 1
    except NeuronCatalogError:
        pass
    except (Exception, HangError) as error:  # noqa: BLE001, any other is what is looked for
        told = "".join(traceback.format_exception(error))[-1500:]
        outcome.wrong.append(f"{data[:300]!r}\n{told}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    taken = time.process_time() - started
    outcome.inputs += 1
    outcome.slowest = max(outcome.slowest, taken)


def artifacts_in(folder: Path) -> dict[str, bytes]:
    """Export a tiny model and a part of a pipeline, and return what they wrote, by its reader."""
    cache = CompileCache(folder / "cache")
    request = ExportRequest(architecture="esm", task="fill-mask")
    export_into(folder / "out", resolve(request, load_catalog()), False, silent, cache)
    (entry,) = cache.entries()
    place = cache.place(entry.digest)
    manifest = (folder / "out" / MANIFEST_NAME).read_bytes()
    record = FileRecord(bytes=len(manifest), sha256=hashlib.sha256(manifest).hexdigest())
    composition = Composition(
        neuron_catalog="0.1.0",
        pipeline="stable-diffusion",
        uses={"text-to-image": "NeuronStableDiffusionPipeline"},
        axes={"height": 64, "width": 64},
        parts={"unet": PartRecord(component="unet", source="unet", manifest=record)},
        source=PipelineSourceRecord(kind="tiny", model="tiny stable-diffusion"),
        seed=0,
        files={"tokenizer/vocab.json": record, "model_index.json": record},
    )
    graphs = ProgramRecord(
        graphs={"forward": GraphRecord(file="model.neuron", states=((1, 0),))}, weights=None
    )
    return {
        "manifest": manifest,
        "manifest of a pipeline": composition.model_dump_json().encode(),
        "entry of the cache": (place / "entry.json").read_bytes(),
        "key of the cache": (place / "key.json").read_bytes(),
        "graphs for Neuron": graphs.model_dump_json().encode(),
        "log of a compiler": b"10:00 ERROR 7 [x]: [NCC_EVRF031] a sort\n\x1b[31mEVRF001\x1b[0m error: no\n"
        * 9,
    }


def seeds_for(name: str, artifacts: dict[str, bytes]) -> list[bytes]:
    """Return real inputs of a reader: small files of the catalog, or what an export wrote."""
    if not name.startswith("YAML: "):
        return [artifacts[name]]
    kind = name.removeprefix("YAML: ")
    folders = {kind: folder for folder, kind in KINDS.items()}
    if kind == "sweep":
        return [(ROOT / "tests" / "schema" / "every_key" / "sweep.yaml").read_bytes()]
    if kind not in folders:
        return [(ROOT / "catalog" / f"{kind}.yaml").read_bytes()]
    files = sorted((ROOT / "catalog" / folders[kind]).glob("*.yaml"), key=lambda path: path.stat().st_size)
    return [path.read_bytes() for path in files[:12]]
