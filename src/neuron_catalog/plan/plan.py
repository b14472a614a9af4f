"""Make the plan: decide every condition, choose every axis, turn every name into a number.

A wrong axis or option fails here, before any weight is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.selection import switches, wrapper_of
from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import ConstantTensor, InputTensor, OutputTensor, Plan, Waiver
from neuron_catalog.plan.axes import chosen_axes, not_offered, refuse_size, require_bounds
from neuron_catalog.plan.conditions import hold
from neuron_catalog.plan.dims import Dims
from neuron_catalog.plan.grids import constants_of, require_multiples
from neuron_catalog.schema.components import NO_TASK, Selection
from neuron_catalog.schema.documents import Family
from neuron_catalog.schema.tensors import ConditionalInput, Input, PerLayer, Repeated
from neuron_catalog.schema.words import ARGUMENTS, CACHE_AXES, MEMBER_DIMS, OPEN_SIZES

FLOAT_DTYPE = "float32"
INTEGER_DTYPE = "int64"
SCORES = "logits"
"""The output that tells what follows a text."""
ANY_SIZE = ("_", "...", *OPEN_SIZES)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the caller chose, apart from architecture and task."""

    axes: Mapping[str, int] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    dynamic_batch_size: bool = False
    atol: float | None = None


def make_plan(catalog: Catalog, name: str, task: str, config: Any, choices: Choices) -> Plan:
    """Bind architecture `name` and `task` to a Hugging Face `config` and the caller's choices.

    Raises:
        RequestError: if an axis is unknown, missing or too large, if an option does not apply, or if the
            config lacks a value that is needed.
        CatalogError: if the architecture's files are wrong.
    """
    task = catalog.supported_task(name, task)
    return _bound(catalog, catalog.get(name), task, config, choices)


def make_component_plan(catalog: Catalog, name: str, config: Any, choices: Choices) -> Plan:
    """Bind component `name` to its config and the sizes of a pipeline; see `make_plan`."""
    return _bound(catalog, catalog.components[name], NO_TASK, config, choices)


def _bound(catalog: Catalog, selection: Selection, task: str, config: Any, choices: Choices) -> Plan:
    family = catalog.families[selection.family]
    from_config = Dims({}, catalog.normalized_configs[selection.normalized_config], config)
    axes = chosen_axes(selection, family, task, from_config, choices.axes)
    dims = replace(from_config, axes=axes)
    wrapper = wrapper_of(selection, family, task)
    reads_prompts = "prompt_length" in CACHE_AXES.get(wrapper, ())
    binding = _Binding(selection, family, task, dims, choices.options, reads_prompts)
    binding.check_limits()
    binding.check_options()
    inputs = binding.inputs()
    arguments = {**selection.forward_arguments, **dict.fromkeys(binding.arguments, True)}
    if wrapper in CACHE_AXES:
        arguments.pop("use_cache", None)  # the wrapper decides
        _refuse_dynamic_batch(choices)
    return Plan(
        architecture=selection.name,
        task=task,
        library=selection.library,
        model_class=selection.model_classes.get(task) or catalog.tasks[task].auto_class,
        runtime_class=catalog.tasks[task].runtime_class if task else "",
        attn_implementation=_attention(selection, choices.options),
        wrapper=wrapper,
        forward_arguments=arguments,
        axes=dict(binding.dims.axes),
        dynamic_axes=_dynamic_axes(family, inputs) if choices.dynamic_batch_size else (),
        options=tuple(sorted(choices.options)),
        inputs=inputs,
        constants=binding.constants(),
        outputs=binding.outputs(),
        cures=selection.cures,
        atol=choices.atol or selection.atol or family.atol,
        atol_from_caller=choices.atol is not None,
        waivers=binding.waivers(),
        compiler={**family.compiler, **selection.compiler},
    )


@dataclass(frozen=True)
class _Binding:
    """An architecture and a task, or a component, over known sizes."""

    architecture: Selection
    family: Family
    task: str
    dims: Dims
    options: frozenset[str]
    reads_prompts: bool
    """Whether inputs are the beginning of a text, and the output is what follows it."""
    member: int | None = None
    """The number in a series of what is bound."""

    def check_limits(self) -> None:
        require_multiples(self.architecture.name, self.family.axes, self.dims)
        require_bounds(self.family.axes, self.dims.axes)
        for limit in self.architecture.limits:
            if limit.axis not in self.dims.axes:
                continue  # another task's axis
            chosen = self.dims.axes[limit.axis]
            if limit.exactly and chosen != self.dims.size(limit.exactly):
                refuse_size(self.architecture.name, limit.axis, chosen, self.dims.size(limit.exactly))
            if limit.at_most and chosen > (largest := self.dims.size(limit.at_most)):
                raise RequestError(
                    f"{limit.axis} {chosen} is longer than this {self.architecture.name} model "
                    f"allows: its config gives at most {largest} ({limit.at_most}).",
                    f"Use --{limit.axis} {largest} or less.",
                )

    def check_options(self) -> None:
        """Those that are arguments of `forward` are checked with the outputs that they ask for."""
        for option in sorted(self.options - set(ARGUMENTS) - switches(self.architecture)):
            raise not_offered(self.architecture.name, self.task, option)

    def waivers(self) -> tuple[Waiver, ...]:
        return tuple(
            Waiver(check=deviation.check, reason=deviation.reason)
            for deviation in self.architecture.deviations
            if not deviation.tasks or self.task in deviation.tasks
        )

    def inputs(self) -> tuple[InputTensor, ...]:
        selected = [
            use.name if isinstance(use, ConditionalInput) else use
            for use in self.architecture.inputs
            if not isinstance(use, ConditionalInput) or hold(use.when, self.task, self.options, self.dims)
        ]
        selected = [name for name in selected if self._has(self.family.inputs[name])]
        return tuple(each for name in selected for each in self._inputs(name, selected))

    def constants(self) -> tuple[ConstantTensor, ...]:
        return tuple(constants_of(self.architecture, self.family, self.task, self.dims))

    def _has(self, tensor: Input) -> bool:
        return not tensor.only_for or self.task in tensor.only_for

    def _inputs(self, name: str, selected: list[str]) -> Iterator[InputTensor]:
        """Yield an input: one, or one for each member of a series."""
        tensor = self.family.inputs[name]
        for path, binding in self._each(name, tensor.for_each):
            yield binding._input(path, tensor, selected)

    def _each(self, name: str, series: str | None) -> Iterator[tuple[str, _Binding]]:
        """Yield the names of a tensor, each with the sizes that it has."""
        if series is None:
            yield name, self
            return
        for number, dims in enumerate(self.dims.members(series)):
            yield f"{name}.{number}", replace(self, dims=dims, member=number)

    def _numbered(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        """Tell the sizes of one member of a series from those of another."""
        return tuple(f"{axis}.{self.member}" if axis in MEMBER_DIMS else axis for axis in axes)

    def _input(self, name: str, tensor: Input, selected: list[str]) -> InputTensor:
        axes = tensor.shape_for.get(self.task, tensor.shape)
        if self.reads_prompts:
            axes = _renamed(axes, "prompt_length")
        pad = tensor.pad
        return InputTensor(
            name=name,
            axes=self._numbered(axes),
            shape=tuple(self.dims.size(axis) for axis in axes),
            dtype=tensor.dtype,
            fill=tensor.fill,
            below=self.dims.size(tensor.below) if isinstance(tensor.below, str) else tensor.below,
            pad=self.dims.first_set(pad) if isinstance(pad, tuple) else pad,
            default=tensor.default,
            ends_with=None if tensor.ends_with is None else self.dims.size(tensor.ends_with),
            placeholder=None if tensor.holds is None else self.dims.size(tensor.holds.id),
            placeholders=self._placeholders(tensor),
            marks=self._marks(tensor),
            masks=tuple(masked for masked in tensor.masks if masked in selected),
        )

    def _placeholders(self, tensor: Input) -> int:
        times = tensor.holds.times if tensor.holds else tensor.times
        return 0 if times is None else self.dims.size(times)

    def _marks(self, tensor: Input) -> tuple[int, ...]:
        key = tensor.holds.beside if tensor.holds else None
        return tuple(self.dims.value(key)) if key and key in self.dims.aliases else ()

    @property
    def arguments(self) -> list[str]:
        """The options that are arguments of `forward`."""
        return sorted(self.options & set(ARGUMENTS))

    def outputs(self) -> tuple[OutputTensor, ...]:
        names = [
            name for name in self.architecture.tasks[self.task] if not self.reads_prompts or name == SCORES
        ]
        declared = [tensor for name in names for tensor in self._outputs(name)]
        optional = [tensor for option in self.arguments for tensor in self._per_layer(option)]
        return (*declared, *optional)

    def _outputs(self, name: str) -> Iterator[OutputTensor]:
        """Yield an output: one, or one for each member of a series."""
        output = self.family.outputs[name]
        assert not isinstance(output, PerLayer)  # the catalog's checks refuse it
        if isinstance(output, Repeated):
            for path, binding in self._each(name, output.for_each):
                yield binding._tensor(path, output.shape)
            return
        axes = output[self.task] if isinstance(output, Mapping) else output
        yield self._tensor(name, _renamed(axes, "single_token") if self.reads_prompts else axes)

    def _per_layer(self, option: str) -> Iterable[OutputTensor]:
        for name, output in self.family.outputs.items():
            if isinstance(output, PerLayer) and output.option == option:
                if output.only_for and self.task not in output.only_for:
                    break
                count = self.dims.size(output.layers)
                return [self._tensor(f"{name}.{layer}", output.per_layer) for layer in range(count)]
        raise not_offered(self.architecture.name, self.task, option)

    def _tensor(self, name: str, axes: tuple[str, ...]) -> OutputTensor:
        shape = tuple(None if axis in ANY_SIZE else self.dims.size(axis) for axis in axes)
        dtype = INTEGER_DTYPE if name in self.family.integer_outputs else FLOAT_DTYPE
        return OutputTensor(name=name, axes=self._numbered(axes), shape=shape, dtype=dtype)


def _attention(architecture: Selection, options: Iterable[str]) -> str | None:
    """Only the eager attention returns its weights."""
    return "eager" if "output_attentions" in options else architecture.attn_implementation


def _dynamic_axes(family: Family, inputs: tuple[InputTensor, ...]) -> tuple[str, ...]:
    """Return the axis that can be split at run time: the first dimension of every input.

    Raises:
        RequestError: if the inputs have no such dimension in common.
    """
    first = {tensor.axes[0] if tensor.axes else "" for tensor in inputs}
    axis = next(iter(first))
    if len(first) != 1 or axis not in family.axes or not family.axes[axis].dynamic:
        raise RequestError(
            "--dynamic_batch_size needs inputs that all begin with one dynamic axis; these begin with: "
            + ", ".join(sorted(first))
            + ".",
            "Leave it out.",
        )
    return (axis,)


def _renamed(axes: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Give another name to the dimension of a text's positions."""
    return tuple(name if axis == "sequence_length" else axis for axis in axes)


def _refuse_dynamic_batch(choices: Choices) -> None:
    if choices.dynamic_batch_size:
        raise RequestError(
            "--dynamic_batch_size is not for generation: the cache has a place for each row of one batch.",
            "Leave it out, and export with the largest --batch_size; smaller ones are filled up.",
        )
