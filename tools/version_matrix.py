"""Run selftest with the oldest and newest transformers, and with the torch of the last Neuron SDK; record it.

Each set of versions gets a virtual environment under `build/matrix/`. What passes becomes evidence, what
fails ends the run with 6: it must be mended, or bounded by `requires:` in its YAML with a reason. Started
again, the run goes on with the rows that have not passed. PyPI's
torch for Linux on x86-64 brings gigabytes for GPUs; the environment variable
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu avoids them.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "matrix"

MATRIX = {
    "oldest": ("transformers==5.3.0", "torch==2.13.0", "sentence-transformers==5.4.0"),
    "newest": ("transformers==5.23.0", "torch==2.13.0", "sentence-transformers==6.2.0"),
    "torch-2.9": ("transformers==5.23.0", "torch==2.9.1", "sentence-transformers==6.2.0"),
}
"""Name → versions. 5.3.0 is the oldest transformers that pyproject.toml admits, 5.23.0 the newest there was
when the catalog was last run; torch 2.9 is what the last Neuron SDK with torch-neuronx is built on."""


def environment(name: str) -> Path:
    """Create an environment with the versions of one set, and return its Python."""
    folder = FOLDER / name
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install: list[str] = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *MATRIX[name]]
    subprocess.run([python, *install, "--editable", f"{ROOT}[sentence]"], check=True)
    return python


def main() -> int:
    """Run the sets named on the command line, or all."""
    names = sys.argv[1:] or list(MATRIX)
    if unknown := set(names) - set(MATRIX):
        print(f"No such set: {', '.join(sorted(unknown))}; known are: {', '.join(MATRIX)}", file=sys.stderr)
        return 2
    failed = []
    for name in names:
        print(f"{name}: {', '.join(MATRIX[name])}", flush=True)
        selftest = [str(environment(name)), "-m", "neuron_catalog", "selftest", "--jobs", "2", "--record"]
        resume = ["--resume", str(FOLDER / f"{name}.jsonl")]
        if subprocess.run([*selftest, *resume], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"Failures with: {', '.join(failed)}", file=sys.stderr)
    return 6 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
