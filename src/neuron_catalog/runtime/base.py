"""A loaded artifact that is called by input name and refuses what it was not compiled for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends.protocol import CompiledGraph, Placement, Program
from neuron_catalog.manifest import ConstantTensor, Graph, InputTensor, Manifest, Plan
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.wrappers import WRAPPERS
from neuron_catalog.runtime.bucket import Bucket, Misfit, Sizes
from neuron_catalog.runtime.foreign import manifest_of
from neuron_catalog.signing import require_trusted

ANSWER = "decoder_"
"""What the names of inputs begin with that are not read, but written by `generate`."""

NEVER_PADDED = "Such an input is never padded or cut: give this very size, or export another."


class CompiledModel:
    """An artifact in memory. Call it with the tensors of a tokenizer: `model(**encoded)`.

    Inputs smaller than compiled are filled up along the axes where export has shown that it makes no
    difference, and outputs are cut back. Of several graphs the cheapest that fits is run. With `truncate`
    longer texts are cut; with `workers` the pieces of a dynamic batch are run in as many threads.
    """

    def __init__(
        self, manifest: Manifest, program: Program, *, truncate: bool = False, workers: int = 1
    ) -> None:
        self.program = program
        self.truncate = truncate
        self._each = ThreadPoolExecutor(workers, "neuron-catalog").map if workers > 1 else map
        self.adopt(manifest)
        plan = manifest.plan
        self._inputs = {tensor.name: (tensor, getattr(torch, tensor.dtype)) for tensor in plan.inputs}
        self._constants = {constant.name: constant for constant in plan.constants}

    def adopt(self, manifest: Manifest) -> None:
        """Take another manifest of the same graphs, for what was seen of them later."""
        self.manifest = manifest
        copies = self.program.copies
        self._buckets = tuple(
            Bucket.of(graph, self._called(graph), self._each, copies) for graph in manifest.graphs
        )
        self._largest = self._buckets[-1]

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        truncate: bool = False,
        workers: int = 1,
        placement: Placement | None = None,
    ) -> Self:
        """Load an exported folder, after holding every file to its digest.

        Raises:
            RequestError: if it is no artifact, or its backend is not available here.
            VerificationError: if a file was altered.
        """
        folder = Path(folder)
        return cls.of(manifest_of(folder), folder, truncate=truncate, workers=workers, placement=placement)

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        folder: Path,
        *,
        truncate: bool = False,
        workers: int = 1,
        placement: Placement | None = None,
    ) -> Self:
        """Load the graphs that a manifest describes; see `load`."""
        manifest.require_intact(folder)
        _require_splittable(manifest, placement)
        program = backends.backend_of(manifest).load(folder / manifest.file, manifest.functions, placement)
        return cls(manifest, program, truncate=truncate, workers=workers)

    def _called(self, graph: Graph) -> CompiledGraph:
        functions, parts = self.program.graphs, self.manifest.parts
        return WRAPPERS[graph.plan.wrapper].called(graph.name, graph.plan, functions, parts)

    def __call__(self, **inputs: Tensor | None) -> dict[str, Tensor]:
        """Run the graph on tensors by name; see `run`."""
        return self.run(inputs)

    def run(self, given: Mapping[str, Tensor | None], truncate: bool | None = None) -> dict[str, Tensor]:
        """Run the cheapest graph that fits and return its outputs by name.

        A mask of ones may be given where the graph takes none: it says nothing. Integers may be narrower.

        Raises:
            RequestError: naming the input that is missing, unknown, or of another shape or dtype.
        """
        inputs, sizes = self._checked(given, truncate)
        return self._bucket(inputs, sizes, self._buckets)(inputs, sizes)

    def chosen(
        self, given: Mapping[str, Tensor], suits: Callable[[Plan], bool]
    ) -> tuple[Bucket, dict[str, Tensor]]:
        """Return the cheapest graph that suits and takes inputs without an answer, and them in its types.

        Raises:
            RequestError: as of `run`.
        """
        inputs, sizes = self._checked(given, None, without=ANSWER)
        buckets = [bucket for bucket in self._buckets if suits(bucket.plan)]
        return self._bucket(inputs, sizes, buckets), inputs

    def fitting(self, name: str, value: object) -> Tensor:
        """Return one input in the type of the graph.

        Raises:
            RequestError: if it is missing, or has another type or other dimensions.
        """
        return _matching(*self._inputs[name], value)

    def _checked(
        self, given: Mapping[str, Tensor | None], truncate: bool | None, without: str | None = None
    ) -> tuple[dict[str, Tensor], Sizes]:
        """Return inputs in the types of the graph, and the size of each axis."""
        inputs = {name: value for name, value in given.items() if value is not None}
        for name in given.keys() - self._inputs.keys() - self._constants.keys():
            self._require_empty(name, inputs.pop(name, None))
        for name, (tensor, dtype) in self._inputs.items():
            if without is None or not name.startswith(without):
                inputs[name] = _matching(tensor, dtype, inputs.get(name))
        if self.truncate if truncate is None else truncate:
            inputs = self._cut(inputs)
        sizes = self._sizes(inputs)
        for name, constant in self._constants.items():
            _require_value(constant, inputs.pop(name, None), sizes.get(constant.axis))
        return inputs, sizes

    def warm_up(self, times: int = 2) -> None:
        """Run each graph on example inputs: the first runs after loading are several times slower."""
        for bucket in self._buckets:
            inputs = make_inputs(bucket.plan, seed=0)
            for _ in range(times):
                bucket.run(*inputs.values())
        for part in self.manifest.parts:
            tensors = [torch.zeros(each.shape, dtype=getattr(torch, each.dtype)) for each in part.inputs]
            if tensors[0].shape[1:] == (1,):  # it reads one token more, which no call of a bucket does
                for _ in range(times):
                    self.program.graphs[part.name](*tensors)

    def _require_empty(self, name: str, value: Tensor | None) -> None:
        """Let pass what the graph does not know and what says nothing: a mask under which all is real."""
        if value is not None and not (name.endswith("_mask") and bool((value == 1).all())):
            raise RequestError(
                f"The compiled graph takes no input {name!r}; "
                f"{nearest(name, [*self._inputs, *self._constants])}",
                "Leave it out.",
            )

    def _bucket(self, inputs: Mapping[str, Tensor], sizes: Sizes, buckets: Iterable[Bucket]) -> Bucket:
        fitting = [bucket for bucket in buckets if bucket.takes(inputs)]
        if not fitting:
            raise self._refusal(inputs)
        return fitting[0] if len(fitting) == 1 else min(fitting, key=lambda bucket: bucket.cost(sizes))

    def _sizes(self, inputs: Mapping[str, Tensor]) -> Sizes:
        """Return the size of each axis as given.

        Raises:
            RequestError: if two inputs differ in one.
        """
        sizes: dict[str, int] = {}
        first: dict[str, str] = {}
        for tensor in (each for each, _ in self._inputs.values() if each.name in inputs):
            for axis, size in zip(tensor.axes, inputs[tensor.name].shape, strict=True):
                if sizes.setdefault(axis, size) != size:
                    raise RequestError(
                        f"{first[axis]} has {axis} {sizes[axis]}, {tensor.name} has {size}.",
                        "Give all of them the same.",
                    )
                first.setdefault(axis, tensor.name)
        return sizes

    def _cut(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cut what can be padded to the largest graph's sizes, where it is longer."""
        fillings, dynamic = self._largest.fillings, self._largest.plan.dynamic_axes
        cut = dict(inputs)
        for tensor in (each for each, _ in self._inputs.values() if each.name in inputs):
            for place, (axis, size) in enumerate(zip(tensor.axes, tensor.shape, strict=True)):
                longer = cut[tensor.name].shape[place] - size
                if longer > 0 and place and tensor.pad is not None and axis not in dynamic:
                    start = longer if fillings.get(axis) == "left" else 0
                    cut[tensor.name] = cut[tensor.name].narrow(place, start, size)
        return cut

    def _refusal(self, inputs: Mapping[str, Tensor]) -> RequestError:
        """Say what does not fit the graph that comes nearest: the largest."""
        given = (tensor for tensor, _ in self._inputs.values() if tensor.name in inputs)
        found = (self._largest.misfit(tensor, inputs[tensor.name]) for tensor in given)
        misfit = next(filter(None, found))
        offered = sorted({bucket.plan.axes.get(misfit.axis, misfit.planned) for bucket in self._buckets})
        sizes = " or ".join(map(str, offered))
        seen = f"{misfit.tensor.name} has {misfit.axis} {misfit.given}"
        if not misfit.why:
            return RequestError(f"{seen}; the graph was compiled for {sizes}, no more.", _remedy(misfit))
        return RequestError(
            f"{seen}; the graph was compiled for {sizes}, no less: {misfit.why.rstrip('.')}.", _remedy(misfit)
        )


def _require_splittable(manifest: Manifest, placement: Placement | None) -> None:
    """Make sure that rows can be split among several cores.

    Raises:
        RequestError: if the artifact takes one number of rows only, or keeps states of them.
    """
    if placement is None or placement.cores == 1:
        return
    if manifest.parts or not all(graph.plan.dynamic_axes for graph in manifest.graphs):
        raise RequestError(
            f"Rows cannot be split among {placement.cores} cores: the artifact takes one number of rows.",
            "Export it with --dynamic_batch_size, if its task writes no texts; or load it on one core.",
        )


def load_artifact(folder: str | Path) -> CompiledModel:
    """Load an exported folder; see `CompiledModel.load`. With `NEURON_CATALOG_PUBLIC_KEY`, a signed one."""
    require_trusted(Path(folder))
    return CompiledModel.load(folder)


def _remedy(misfit: Misfit) -> str:
    counts_rows = misfit.tensor.axes[0] == misfit.axis
    if counts_rows and misfit.given > misfit.planned:
        return "Give fewer rows at a time, or export with --dynamic_batch_size."
    if misfit.tensor.pad is None:
        return NEVER_PADDED
    if misfit.given > misfit.planned:
        return f"Shorten it (truncation=True, max_length={misfit.planned}), or load with truncate=True."
    return f'Pad it with the tokenizer: padding="max_length", max_length={misfit.planned}.'


NARROWER = {torch.int64: (torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)}
"""Type of an input → types whose values it can hold as they are."""


def _matching(tensor: InputTensor, dtype: torch.dtype, given: object) -> Tensor:
    """Return an input in the type of the graph.

    Raises:
        RequestError: if it is missing, no tensor, of another type, or has other dimensions.
    """
    if given is None:
        raise RequestError(f"The input {tensor.name!r} is missing.", "Pass it by name.")
    if not isinstance(given, Tensor):
        raise RequestError(
            f"{tensor.name} is a {type(given).__name__}, not a tensor of torch.",
            'Ask the tokenizer or processor for return_tensors="pt".',
        )
    if given.dtype in NARROWER.get(dtype, ()):
        given = given.to(dtype)
    if given.dtype != dtype:
        raise RequestError(f"{tensor.name} is {given.dtype}; the graph takes {tensor.dtype}.", "Convert it.")
    if given.dim() != len(tensor.axes) or not given.numel():
        axes = ", ".join(tensor.axes)
        raise RequestError(
            f"{tensor.name} has shape {tuple(given.shape)}; the graph takes ({axes}), none of them empty.",
            "Give it these dimensions.",
        )
    return given


def _require_value(constant: ConstantTensor, given: Tensor | None, rows: int | None) -> None:
    value = constant.value if rows is None else constant.value[:1] * rows
    if given is None:
        raise RequestError(
            f"{constant.name} is missing: the graph was made for one value of it, and is wrong for others.",
            "Pass what the processor gives.",
        )
    if given.tolist() != torch.tensor(value).tolist():
        raise RequestError(
            f"{constant.name} is {given.tolist()}; the graph was made for {torch.tensor(value).tolist()}.",
            "Such a value is fixed at export: give images of this very size, or export for another.",
        )
