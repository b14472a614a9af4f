"""Fuzz the YAML reader guided by coverage: `python -m tests.torture.guided CORPUS -runs=N`.

Options are those of libFuzzer. atheris instruments the reader and PyYAML, and keeps inputs that
reach new code.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["neuron_catalog", "yaml"]):
    from tests.torture.fuzzing import read_yaml_as, watch_files

    from neuron_catalog.errors import CatalogError


def main() -> None:
    """Fuzz until the runs are over; libFuzzer ends the process with another code if one went wrong."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    wrong: list[str] = []
    watch_files(folder, wrong)

    def one_input(data: bytes) -> None:
        try:
            read_yaml_as("architecture", data, folder)
        except CatalogError:
            return
        finally:
            assert not wrong, wrong

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
