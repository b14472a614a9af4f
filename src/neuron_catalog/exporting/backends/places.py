"""Which line of a model's code something comes from."""

from __future__ import annotations

import traceback
from pathlib import PurePath

OWN_CODE = ("/torch/", "/torch_xla/", "/unittest/", "/neuron_catalog/exporting/", "/contextlib.py")
"""What is no code of a model, in the path of its file."""


def is_model_code(file: str) -> bool:
    """Tell whether a file belongs to a model, and not to torch or to the tracing itself."""
    return not any(part in f"/{_inside(file)}" for part in OWN_CODE)


def place(file: str, line: int | None) -> str:
    """Return `package/module.py:line`, without what differs from machine to machine.

    Of a file that is in no package, such as code from a model hub, its folder is told.
    """
    inside = PurePath(_inside(file))
    return f"{PurePath(*inside.parts[-2:]) if inside.is_absolute() else inside}:{line}"


def _inside(file: str) -> str:
    """Return the path below the folder that packages are installed in; the whole path of another file."""
    return file.rpartition("site-packages/")[2].rpartition("/src/")[2]


def model_line(stack: traceback.StackSummary) -> str:
    """Return the place of the innermost frame that is a model's code; empty if there is none."""
    for frame in reversed(stack):
        if is_model_code(frame.filename):
            return place(frame.filename, frame.lineno)
    return ""
