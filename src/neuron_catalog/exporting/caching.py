"""What the compile cache knows an export by, and how an export is taken from it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from transformers import PretrainedConfig

from neuron_catalog.code import code_digest
from neuron_catalog.digests import record_file
from neuron_catalog.errors import (
    CompileError,
    CompilerStoppedError,
    NeuronCatalogError,
    RequestError,
    first_line,
)
from neuron_catalog.exporting.compiling import OnStep
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.manifest import Manifest
from neuron_catalog.storage.cache import CompileCache
from neuron_catalog.storage.home import remote_cache
from neuron_catalog.storage.keys import Key
from neuron_catalog.storage.sharing import pull
from neuron_catalog.storage.stores import Store
from neuron_catalog.version import __version__

NO_PART_OF_A_GRAPH = ("_name_or_path", "transformers_version")
"""What a config says of where and with what it was written."""

OF_RESULTS = ("id2label", "label2id")
"""What a config says of a graph's results; of the graph it is their number only."""

INLINE = "inline_weights_to_neff"
"""The argument of a compiler that is false if weights are apart from the graphs."""

OF_WEIGHTS = ("weights", "preprocessing", "labels", "seed", "checked")
"""Facts of a key in which exports of the same graphs may differ."""

ENVIRONMENT = ("NEURON_CC_FLAGS", "XLA_FLAGS")
"""Variables that the compilers read options from."""


def key_of(resolved: Resolved, validation: bool, preprocessing: Iterable[Path] = ()) -> Key | None:
    """Return what tells an export from any other; nothing if its weights cannot be told without loading.

    Tokenizer and processor files are part of the artifact.
    """
    weights = resolved.source.identity()
    if weights is None:
        return None
    backend = resolved.backend
    return Key(
        {
            "plans": [plan.model_dump(mode="json") for plan in resolved.plans],
            **_config(resolved.source.config()),
            "weights": weights,
            "preprocessing": {path.name: record_file(path).sha256 for path in sorted(preprocessing)},
            "backend": resolved.backend_name,
            "arguments": backend.arguments(resolved.settings),
            "versions": {
                **backend.versions(),
                resolved.plan.library: metadata.version(resolved.plan.library),
                "neuron-catalog": __version__,
                "code": code_digest(),
            },
            "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            "seed": resolved.seed,
            "checked": {"validation": validation, "unable_to_run": backend.unable_to_run()},
        }
    )


def title_of(resolved: Resolved) -> dict[str, JsonValue]:
    """Return what a list of the cache shows of an export."""
    plan = resolved.plan
    return {
        "architecture": plan.architecture,
        "task": plan.task,
        "backend": resolved.backend_name,
        "source": resolved.source.name,
        "axes": [dict(each.axes) for each in resolved.plans],
    }


def recalled_or_made(
    cache: CompileCache,
    key: Key,
    resolved: Resolved,
    folder: Path,
    make: Callable[[Resolved], Manifest],
    on_step: OnStep,
) -> tuple[Manifest, bool]:
    """Take an artifact from the cache into `folder`, or make and keep it; return whether it was taken.

    Who wants the same while it is made waits for it.

    Raises:
        CompileError: also if the compiler refused the same lately.
        OSError: if `folder` cannot be written.
    """
    if manifest := _recalled(cache, key, resolved, folder):
        return manifest, True
    with cache.lock(key.digest, lambda: on_step("Waiting for another process that compiles the same")):
        _bring(cache, key, on_step)
        if manifest := _recalled(cache, key, resolved, folder):
            return manifest, True
        _require_no_failure(cache, key)
        started = time.monotonic()
        try:
            same = _same_graphs(cache, key, on_step)
            manifest = make(replace(resolved, unfinished=cache.unfinished(key.digest), same_graphs=same))
        except CompilerStoppedError:
            raise
        except CompileError as error:
            if resolved.backend.APART:  # with the others it takes no time to find out again
                cache.keep_failure(key, error)
            raise
        on_step("Keeping it in the compile cache")
        title = {**title_of(resolved), "seconds": round(time.monotonic() - started, 1)}
        cache.keep(key, title, folder, [path.name for path in folder.iterdir()])
        shutil.rmtree(cache.unfinished(key.digest), ignore_errors=True)
    return manifest, False


def _same_graphs(cache: CompileCache, key: Key, on_step: OnStep) -> Path | None:
    """Return an artifact that differs in its weights only, if they are apart from the graphs."""
    arguments = key.facts["arguments"]
    if not isinstance(arguments, dict) or arguments.get(INLINE) is not False:
        return None
    entry = cache.similar(key, OF_WEIGHTS)
    if entry is None:
        return None
    on_step(f"Taking the graphs of {entry.title.get('source')} from the compile cache, with other weights")
    return cache.place(entry.digest)


def _bring(cache: CompileCache, key: Key, on_step: OnStep) -> None:
    """Ask the shared cache. One that cannot be reached, or that was altered, makes no export fail."""
    if url := remote_cache():
        on_step(f"Asking {url}")
        try:
            pull(cache, Store(url), key.digest)
        except (NeuronCatalogError, OSError) as error:
            on_step(f"{first_line(error).rstrip('.')}. Compiling here")


def _recalled(cache: CompileCache, key: Key, resolved: Resolved, folder: Path) -> Manifest | None:
    entry = cache.fetch(key, folder)
    if entry is None:
        return None
    try:
        manifest = Manifest.read(folder)
    except RequestError:  # whoever wrote it into a shared cache
        cache.discard(entry, folder)
        return None
    source = manifest.source.model_copy(update={"model": resolved.source.name})
    if source != manifest.source:
        manifest = manifest.model_copy(update={"source": source})
        manifest.write(folder)
    return manifest


def _require_no_failure(cache: CompileCache, key: Key) -> None:
    failure = cache.failure(key.digest)
    if failure is not None:
        raise CompileError(
            f"{failure.cause} This was found when the same was compiled before.",
            f"{failure.remedy} --no_cache compiles it once more.",
        )


def _config(config: Any) -> dict[str, JsonValue]:
    """Return what a config says of a graph, and apart from that, what it says of the results."""
    told = config.to_dict() if isinstance(config, PretrainedConfig) else dict(config)
    labels = {name: told[name] for name in OF_RESULTS if name in told}
    kept = {name: value for name, value in told.items() if name not in (*NO_PART_OF_A_GRAPH, *OF_RESULTS)}
    kept["num_labels"] = len(labels.get("id2label") or ())
    read: dict[str, JsonValue] = json.loads(json.dumps({"config": kept, "labels": labels}, default=str))
    return read
