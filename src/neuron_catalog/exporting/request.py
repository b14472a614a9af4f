"""What the caller asks for, and the plan, source and backend it resolves to. No weight is read here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pydantic import JsonValue

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import RequestError, UsageError
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends.protocol import Backend, Settings
from neuron_catalog.manifest import Plan
from neuron_catalog.models.components import TinyComponentSource
from neuron_catalog.models.libraries import LIBRARIES, saved_with
from neuron_catalog.models.sources import CheckpointSource, Source
from neuron_catalog.models.support import require_packages, require_supported, require_wrapper, task_of
from neuron_catalog.plan.plan import Choices, make_component_plan, make_plan
from neuron_catalog.schema.documents import KnownIssue
from neuron_catalog.schema.words import Library

NEURON_COMPILERS = ("neuronx-cc", "neuron-cc")
"""The packages that are compilers for Neuron devices; a backend has one of them at most."""


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """Everything that can be said about one export. At least one of architecture and model is needed.

    Without `model` the architecture's tiny, seeded, random-weight model is exported, with sizes of its own;
    then a task is needed too.
    """

    architecture: str | None = None
    task: str | None = None
    """Inferred from the model's config when absent."""
    model: str | None = None
    """A folder, or an id of the Hugging Face hub."""
    out: Path | None = None
    """The target folder; `<model>-<task>-neuron` in the current one when absent."""
    axes: Mapping[str, int | Sequence[int]] = field(default_factory=dict)
    """Axis → size. Several sizes make several graphs in one artifact (buckets): one for each combination."""
    options: frozenset[str] = frozenset()
    """`output_hidden_states`, `output_attentions`."""
    dynamic_batch_size: bool = False
    atol: float | None = None
    validation: bool = True
    backend: str | None = None
    seed: int = 0
    overwrite: bool = False
    compiler: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the compiler should do, such as `auto_cast`; a backend that cannot do it refuses."""
    revision: str | None = None
    token: str | None = None
    """Of the hub, for private repositories."""
    cache_dir: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    use_cache: bool = True
    """Whether an artifact that was made before is taken from the compile cache, and a new one kept there."""

    @property
    def choices(self) -> tuple[Choices, ...]:
        """The part that each plan needs: one for each combination of sizes, the largest last."""
        return tuple(
            Choices(
                axes=axes,
                options=self.options,
                dynamic_batch_size=self.dynamic_batch_size,
                atol=self.atol,
            )
            for axes in _combinations(self.axes)
        )


def _require_size(axis: str, size: object) -> None:
    each = size if isinstance(size, Sequence) and not isinstance(size, str) else [size]
    if not each or any(type(one) is not int or one < 1 for one in each):
        raise RequestError(
            f"{axis} must be a positive whole number, or several, not {size!r}.",
            f"Write for example: {axis}=128",
        )


def _combinations(axes: Mapping[str, int | Sequence[int]]) -> list[dict[str, int]]:
    """Return every choice of one size for each axis, the one with all largest sizes last."""
    for axis, size in axes.items():
        _require_size(axis, size)
    sizes = [sorted({*size}) if isinstance(size, Sequence) else [size] for size in axes.values()]
    chosen = [dict(zip(axes, each, strict=True)) for each in itertools.product(*sizes)]
    return sorted(chosen, key=lambda each: math.prod(each.values()))


@dataclass(frozen=True)
class Resolved:
    """A request with every question answered."""

    plans: tuple[Plan, ...]
    """One for each graph, the largest last."""
    source: Source
    backend_name: str
    backend: Backend
    seed: int
    compiler: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the caller wants of the compiler."""
    known_issues: tuple[str, ...] = ()
    """What is known to be broken with this backend, in sentences."""
    unfinished: Path | None = None
    """Where compiled graphs are kept until all are."""
    same_graphs: Path | None = None
    """An artifact with the same graphs and other weights, which the backend can exchange."""

    @property
    def plan(self) -> Plan:
        """The plan of the largest graph."""
        return self.plans[-1]

    @property
    def compiler_type(self) -> str:
        """What config.json calls the compiler: Neuron's by its own name, as optimum-neuron does."""
        installed = self.backend.versions()
        return next((name for name in NEURON_COMPILERS if name in installed), self.backend_name)

    @property
    def compiler_version(self) -> str:
        """The version of the compiler, or of torch if it is one of its own."""
        versions = self.backend.versions()
        return versions.get(self.compiler_type, versions["torch"])

    def require_compilable(self) -> None:
        """Make sure that the compiler can be told all that it must know.

        Raises:
            RequestError: naming the option that is missing.
        """
        _ = self.settings

    @cached_property
    def settings(self) -> Settings:
        """What the compiler is told.

        Raises:
            RequestError: if an option is missing.
        """
        return Settings(
            self.backend.completed(self.compiler), self.plan.compiler, bool(self.plan.dynamic_axes)
        )


def resolve(request: ExportRequest, catalog: Catalog) -> Resolved:
    """Answer what architecture, task, sizes and backend are meant.

    Raises:
        UsageError: if neither architecture nor model was given, or no task for a tiny model.
        RequestError: if anything asked for does not exist or does not fit together.
        CatalogError: if the architecture's files are wrong.
    """
    backend_name, backend = backend_for(request.backend, request.compiler)
    source, plans = (_tiny if request.model is None else _checkpoint)(request, catalog)
    _require_one_constant(plans)
    issues = known_issues(catalog.get(plans[-1].architecture).known_issues, backend_name)
    return Resolved(plans, source, backend_name, backend, request.seed, request.compiler, issues)


def resolve_component(name: str, catalog: Catalog, backend: str | None = None, seed: int = 0) -> Resolved:
    """Answer what is exported of a component by itself: its tiny version.

    Raises:
        RequirementError: if the library that builds it is not installed.
        CatalogError: if its file is wrong.
    """
    component = catalog.components[name]
    chosen, used = backend_for(backend, {})
    require_packages(component)
    source = TinyComponentSource.of(component, seed)
    choices = Choices(axes=component.tiny.axes)
    return Resolved(
        (make_component_plan(catalog, name, source.config(), choices),), source, chosen, used, seed
    )


def known_issues(issues: Iterable[KnownIssue], backend: str) -> tuple[str, ...]:
    """Return what is known to be broken with a backend, in sentences."""
    return tuple(f"{issue.effect} ({issue.ref})" for issue in issues if issue.backend in (backend, "all"))


def backend_for(name: str | None, compiler: Mapping[str, JsonValue]) -> tuple[str, Backend]:
    """Return the backend of a name, or the preferred one, that can do what is asked of its compiler.

    Raises:
        RequestError: if it is not available, or cannot.
    """
    chosen, backend = backends.choose(name)
    for option, value in compiler.items():
        if reason := backend.unsupported(option, value):
            raise RequestError(f"The backend {chosen} cannot do {option}={value}: {reason}.", "Leave it out.")
    return chosen, backend


def _require_one_constant(plans: tuple[Plan, ...]) -> None:
    """Graphs that share their weights share what was fixed in them, too.

    Raises:
        RequestError: if it depends on the sizes.
    """
    if len({plan.constants for plan in plans}) > 1:
        names = ", ".join(constant.name for constant in plans[-1].constants)
        raise RequestError(
            f"{names} is fixed at export and differs between these sizes.", "Make one export for each size."
        )


def _tiny(request: ExportRequest, catalog: Catalog) -> tuple[Source, tuple[Plan, ...]]:
    if request.architecture is None:
        if request.task is not None:
            catalog.task_name(request.task)  # a misspelt one may have been meant for a pipeline
        raise UsageError(
            "Nothing to export: neither an architecture nor --model was given.",
            "Try: neuron-catalog export esm --task fill-mask",
        )
    name = request.architecture
    architecture = catalog.get(name)
    if request.task is None:
        tasks = catalog.supported_tasks(name)
        raise UsageError(
            f"The tiny {name} model serves several tasks, and --task was not given.",
            f"Add --task with one of: {', '.join(tasks)}.",
        )
    task = catalog.supported_task(name, request.task)
    source = LIBRARIES[architecture.library].tiny(architecture, request.seed)
    require_supported(catalog, source.model_type, architecture.library)
    require_packages(architecture, task)
    require_wrapper(catalog, name, task)
    used = catalog.axes(name, task)
    own = {axis: size for axis, size in architecture.tiny.axes.items() if axis in used}
    config = source.config()
    choices = replace(request, axes={**own, **request.axes}).choices
    return source, tuple(make_plan(catalog, name, task, config, each) for each in choices)


def _checkpoint(request: ExportRequest, catalog: Catalog) -> tuple[Source, tuple[Plan, ...]]:
    assert request.model is not None
    library = _library_of(request, catalog)
    source = LIBRARIES[library].checkpoint(
        model=request.model,
        revision=request.revision,
        token=request.token,
        cache_dir=request.cache_dir,
        trust_remote_code=request.trust_remote_code,
        allow_pickle=request.allow_pickle,
        seed=request.seed,
    )
    name = _architecture_of(source, library, request, catalog)
    if request.task is not None:
        catalog.supported_task(name, request.task)  # before the config, which may need the network
    config = source.config()
    task = request.task or task_of(catalog, name, config)
    require_packages(catalog.get(name), catalog.supported_task(name, task))
    require_wrapper(catalog, name, catalog.supported_task(name, task))
    return source, tuple(make_plan(catalog, name, task, config, each) for each in request.choices)


def _library_of(request: ExportRequest, catalog: Catalog) -> Library:
    """The architecture has a library, and so has the task; else it is the one that saved the checkpoint."""
    if request.architecture is not None:
        return catalog.get(request.architecture).library
    if request.task is not None:
        return catalog.tasks[catalog.task_name(request.task)].library
    assert request.model is not None
    return saved_with(request.model, request.revision, request.cache_dir, request.token)


def _architecture_of(
    source: CheckpointSource, library: Library, request: ExportRequest, catalog: Catalog
) -> str:
    model_type = str(source.raw_config()["model_type"])
    name = catalog.serving(library, model_type)
    if request.architecture not in (None, name):
        raise RequestError(
            f"{source.model} is a {name} model, not {request.architecture}.",
            f"Leave the architecture out, or write {name}.",
        )
    return require_supported(catalog, model_type, library)
