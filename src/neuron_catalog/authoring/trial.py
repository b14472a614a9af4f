"""Try a draft: put it in front of the shipped catalog, call its eager model, run its rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from torch.nn import functional

from neuron_catalog.authoring.draft import Draft
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.exporting.request import ExportRequest, resolve
from neuron_catalog.manifest import Plan
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.fills import Inputs, changed, make_inputs
from neuron_catalog.plan.dims import Dims
from neuron_catalog.proving.selftest import Job, Row, run_job

LISTED = {"feature_maps", "logits"}
"""Lists of tensors that are no by-product: what a backbone is for, and scores of several kinds."""

BUILDING_ERRORS = (
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    ImportError,
    AssertionError,
    OSError,
    StrictDataclassError,
)
"""What the classes of a model raise when its sizes do not agree, or it lacks an input."""


@dataclass(frozen=True)
class Workbench:
    """A folder in front of the catalog, where one draft lies at a time."""

    folder: Path
    catalog: Catalog

    def put(self, draft: Draft) -> Catalog:
        """Write a draft, and return a catalog that has it."""
        path = self.folder / "architectures" / f"{draft.architecture}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(draft.text(), encoding="utf-8")
        return Catalog((self.folder, *self.catalog.folders))

    def plan(self, draft: Draft, task: str, axes: Mapping[str, int] | None = None) -> tuple[Plan, Any]:
        """Return the plan of the tiny model for a task, and its source.

        Raises:
            NeuronCatalogError: if the draft is wrong.
        """
        request = ExportRequest(architecture=draft.architecture, task=task, axes=axes or {})
        resolved = resolve(request, self.put(draft))
        return resolved.plan, resolved.source

    def size(self, draft: Draft, task: str, dim: str) -> int:
        """Return a size that the tiny model's config gives.

        Raises:
            NeuronCatalogError: if it does not.
        """
        _, source = self.plan(draft, task)
        aliases = self.catalog.normalized_configs[draft.normalized_config]
        return Dims({}, aliases, source.config()).size(dim)

    def answers(self, draft: Draft, task: str, axes: Mapping[str, int] | None = None) -> dict[str, Tensor]:
        """Call the eager tiny model once, and return every tensor that it gives, by path.

        Raises:
            NeuronCatalogError: if it cannot be built, or refuses the inputs.
        """
        plan, source = self.plan(draft, task, axes)
        with _building():
            return _called(source.load(plan).module, plan, make_inputs(plan, 1))

    def answers_to_another_end(self, draft: Draft, task: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the planned outputs for whole texts, and for the same ones with another last token.

        Raises:
            NeuronCatalogError: if it cannot be built, or refuses the inputs.
        """
        plan, source = self.plan(draft, task)
        with _building():
            model = source.load(plan).module
        names = {tensor.name for tensor in plan.outputs}
        whole = make_inputs(plan, 1, "full")
        texts = [tensor for tensor in plan.inputs if tensor.fill == "random_ids"]
        continued = [tensor for tensor in texts if tensor.axes[1:2] == plan.outputs[0].axes[1:2]]
        ids = (continued or texts)[0]
        other = {
            **whole,
            ids.name: torch.cat([whole[ids.name][:, :-1], changed(ids, whole[ids.name])[:, -1:]], 1),
        }
        first, second = (_called(model, plan, inputs) for inputs in (whole, other))
        return {n: v for n, v in first.items() if n in names}, second

    def rows(self, draft: Draft, tasks: tuple[str, ...]) -> Iterator[Row]:
        """Run all checks of some tasks."""
        folders = self.put(draft).folders
        for task in tasks:
            with _strict_convolutions():
                yield run_job(Job(draft.architecture, task, folders))


@contextmanager
def _strict_convolutions() -> Iterator[None]:
    """Refuse what torch 2.9 refuses of convolutions, in its words: the file shall serve that version too."""
    convolve = functional.conv1d

    def conv1d(*arguments: Any, **named: Any) -> Tensor:
        if isinstance(named.get("padding"), Tensor):
            raise RuntimeError("expected padding to be a single integer value")
        return convolve(*arguments, **named)

    with mock.patch.object(functional, "conv1d", conv1d):
        yield


@contextmanager
def workbench(catalog: Catalog) -> Iterator[Workbench]:
    """Provide a workbench for a while."""
    with tempfile.TemporaryDirectory(prefix="neuron-catalog-") as folder:
        yield Workbench(Path(folder), catalog)


def _called(model: Any, plan: Plan, inputs: Inputs) -> dict[str, Tensor]:
    with _building():
        with torch.no_grad():
            given = model(**inputs, **fixed_arguments(plan, inputs), return_dict=True)
        return dict(tensors(given))


@contextmanager
def _building() -> Iterator[None]:
    """Turn what a model raises when something does not agree into a sentence."""
    try:
        yield
    except BUILDING_ERRORS as error:
        raise RequestError(f"{type(error).__name__}: {first_line(error)}") from error


def tensors(given: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a model's output with their dotted paths; lists of layers are left out."""
    for name, value in given.items() if hasattr(given, "items") else ():
        place = f"{path}{name}"
        if isinstance(value, Tensor):
            yield place, value
        elif hasattr(value, "items") and not hasattr(value, "get_seq_length"):
            yield from tensors(value, f"{place}.")
        elif name in LISTED and isinstance(value, (list, tuple)):
            yield from ((f"{place}.{number}", each) for number, each in enumerate(value))
