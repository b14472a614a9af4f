"""One compiled module for several sizes: `torch_neuronx.bucket_model_trace`, and the kernel that tells which.

Inputs come filled up to the very shape of one of the graphs, so the kernel only finds out which one it is.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

KERNEL = """def choose(tensors: List[torch.Tensor]) -> Tuple[List[torch.Tensor], torch.Tensor]:
    shapes = {shapes}
    found = -1
    for number in range(len(shapes)):
        same = True
        for place in range(len(tensors)):
            if list(tensors[place].shape) != shapes[number][place]:
                same = False
        if same:
            found = number
    if found < 0:
        raise ValueError("no graph of these shapes")
    return tensors, torch.tensor(found)
"""


@dataclass(frozen=True)
class BucketKernel:
    """Makes the function that tells which graph takes given tensors; it is asked for it without arguments."""

    shapes: tuple[tuple[tuple[int, ...], ...], ...]
    """Of the inputs of each graph."""

    @classmethod
    def of(cls, examples: Sequence[Sequence[Tensor]]) -> BucketKernel:
        """Take the shapes of example inputs."""
        return cls(tuple(tuple(tuple(tensor.shape) for tensor in inputs) for inputs in examples))

    def __call__(self, *_: Any) -> Callable[[list[Tensor]], tuple[list[Tensor], Tensor]]:
        source = KERNEL.replace(
            "{shapes}", repr([[list(shape) for shape in inputs] for inputs in self.shapes])
        )
        file = f"<buckets {hash(self.shapes)}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # torch reads it
        names: dict[str, Any] = {"__name__": __name__, "torch": torch, "List": list, "Tuple": tuple}
        exec(compile(source, file, "exec"), names)
        kernel: Any = torch.jit.script(names["choose"])
        return kernel  # type: ignore[no-any-return]


@dataclass(frozen=True)
class BucketSource:
    """Gives the module to trace, and no aliases, to the workers that trace the graphs."""

    module: nn.Module

    def __call__(self) -> tuple[nn.Module, dict[Any, int]]:
        return self.module, {}
