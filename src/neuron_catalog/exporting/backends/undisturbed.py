"""Leave a module as it was before it was traced.

Some models keep tensors that they computed once. Those of a trace have no values, and the next who calls the
module would find them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Holder = dict[str, Any]


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Put back what a module keeps, and its hooks, which would be there twice."""
    before = [(holder, dict(holder)) for layer in module.modules() for holder in holders(layer)]
    try:
        yield
    finally:
        for holder, content in before:
            if not _same(holder, content):  # a frozen one always is
                holder.clear()
                holder.update(content)


def _same(holder: Holder, content: Holder) -> bool:
    return holder.keys() == content.keys() and all(holder[name] is content[name] for name in content)


def holders(layer: nn.Module) -> Iterator[Holder]:
    """Yield what a layer keeps things in: its attributes, and dictionaries and plain objects among them."""
    yield vars(layer)
    for value in vars(layer).values():
        if isinstance(value, dict):
            yield value
        elif hasattr(value, "__dict__") and not callable(value) and not isinstance(value, Tensor):
            yield vars(value)
