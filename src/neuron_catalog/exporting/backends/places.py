"""Which line of a model's code something comes from."""

from __future__ import annotations

import traceback

OWN_CODE = ("/torch/", "/torch_xla/", "/unittest/", "/neuron_catalog/exporting/", "/contextlib.py")
"""What is no code of a model, in the path of its file."""


def is_model_code(file: str) -> bool:
    """Tell whether a file belongs to a model, and not to torch or to the tracing itself."""
    return not any(part in file for part in OWN_CODE)


def place(file: str, line: int | None) -> str:
    """Return `package/module.py:line`, without what differs from machine to machine."""
    return f"{file.rpartition('site-packages/')[2].rpartition('/src/')[2]}:{line}"


def model_line(stack: traceback.StackSummary) -> str:
    """Return the place of the innermost frame that is a model's code; empty if there is none."""
    for frame in reversed(stack):
        if is_model_code(frame.filename):
            return place(frame.filename, frame.lineno)
    return ""
