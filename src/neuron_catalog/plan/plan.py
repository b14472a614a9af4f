"""Make the plan: decide every condition, choose every axis, turn every name into a number.

A wrong axis or option fails here, before any weight is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.selection import wrapper_of
from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import ConstantTensor, InputTensor, OutputTensor, Plan, Waiver
from neuron_catalog.plan.axes import chosen_axes, refuse_size
from neuron_catalog.plan.dims import Dims
from neuron_catalog.plan.grids import constants_of, require_multiples
from neuron_catalog.schema.conditions import (
    Condition,
    ConfigAbove,
    ConfigEquals,
    ConfigIsSet,
    OptionOn,
    TaskIs,
    all_of,
)
from neuron_catalog.schema.documents import Architecture, Family
from neuron_catalog.schema.tensors import ConditionalInput, Input, PerLayer
from neuron_catalog.schema.words import CACHE_AXES, OPEN_SIZES

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
    architecture = catalog.get(name)
    family = catalog.families[architecture.family]
    task = catalog.supported_task(name, task)
    from_config = Dims({}, catalog.normalized_configs[architecture.normalized_config], config)
    axes = chosen_axes(architecture, family, task, from_config, choices.axes)
    dims = replace(from_config, axes=axes)
    wrapper = wrapper_of(architecture, family, task)
    reads_prompts = "prompt_length" in CACHE_AXES.get(wrapper, ())
    binding = _Binding(architecture, family, task, dims, choices.options, reads_prompts)
    binding.check_limits()
    inputs = binding.inputs()
    arguments = {**architecture.forward_arguments, **dict.fromkeys(sorted(choices.options), True)}
    if wrapper in CACHE_AXES:
        arguments.pop("use_cache", None)  # the wrapper decides
        _refuse_dynamic_batch(choices)
    return Plan(
        architecture=name,
        task=task,
        library=architecture.library,
        model_class=catalog.model_class(name, task),
        runtime_class=catalog.tasks[task].runtime_class,
        attn_implementation=_attention(architecture, choices.options),
        wrapper=wrapper,
        forward_arguments=arguments,
        axes=dict(binding.dims.axes),
        dynamic_axes=_dynamic_axes(family, inputs) if choices.dynamic_batch_size else (),
        options=tuple(sorted(choices.options)),
        inputs=inputs,
        constants=binding.constants(),
        outputs=binding.outputs(),
        cures=architecture.cures,
        atol=choices.atol or architecture.atol or family.atol,
        atol_from_caller=choices.atol is not None,
        waivers=binding.waivers(),
        compiler=dict(architecture.compiler),
    )


@dataclass(frozen=True)
class _Binding:
    """An architecture and a task over known sizes."""

    architecture: Architecture
    family: Family
    task: str
    dims: Dims
    options: frozenset[str]
    reads_prompts: bool
    """Whether inputs are the beginning of a text, and the output is what follows it."""

    def check_limits(self) -> None:
        require_multiples(self.architecture.architecture, self.family, self.dims)
        for axis, size in self.dims.axes.items():
            bound = self.family.axes[axis].at_most
            if bound and bound in self.dims.axes and size > self.dims.axes[bound]:
                raise RequestError(
                    f"{axis} {size} is larger than {bound} {self.dims.axes[bound]}.",
                    f"Use --{axis} {self.dims.axes[bound]} or less, or a larger --{bound}.",
                )
        for limit in self.architecture.limits:
            if limit.axis not in self.dims.axes:
                continue  # another task's axis
            chosen = self.dims.axes[limit.axis]
            if limit.exactly and chosen != self.dims.size(limit.exactly):
                refuse_size(self.architecture.architecture, limit.axis, chosen, self.dims.size(limit.exactly))
            if limit.at_most and chosen > (largest := self.dims.size(limit.at_most)):
                raise RequestError(
                    f"{limit.axis} {chosen} is longer than this {self.architecture.architecture} model "
                    f"allows: its config gives at most {largest} ({limit.at_most}).",
                    f"Use --{limit.axis} {largest} or less.",
                )

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
            if not isinstance(use, ConditionalInput) or self._hold(all_of(use.when))
        ]
        selected = [name for name in selected if self._has(self.family.inputs[name])]
        return tuple(self._input(name, self.family.inputs[name], selected) for name in selected)

    def constants(self) -> tuple[ConstantTensor, ...]:
        return tuple(constants_of(self.architecture, self.family, self.task, self.dims))

    def _has(self, tensor: Input) -> bool:
        return not tensor.only_for or self.task in tensor.only_for

    def _input(self, name: str, tensor: Input, selected: list[str]) -> InputTensor:
        axes = tensor.shape_for.get(self.task, tensor.shape)
        if self.reads_prompts:
            axes = _renamed(axes, "prompt_length")
        pad = tensor.pad
        return InputTensor(
            name=name,
            axes=axes,
            shape=tuple(self.dims.size(axis) for axis in axes),
            dtype=tensor.dtype,
            fill=tensor.fill,
            below=None if tensor.below is None else self.dims.size(tensor.below),
            pad=self.dims.first_set(pad) if isinstance(pad, tuple) else pad,
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

    def outputs(self) -> tuple[OutputTensor, ...]:
        names = [
            name for name in self.architecture.tasks[self.task] if not self.reads_prompts or name == SCORES
        ]
        declared = [self._output(name) for name in names]
        optional = [tensor for option in sorted(self.options) for tensor in self._per_layer(option)]
        return (*declared, *optional)

    def _output(self, name: str) -> OutputTensor:
        output = self.family.outputs[name]
        assert not isinstance(output, PerLayer)  # the catalog's checks refuse it
        axes = output[self.task] if isinstance(output, Mapping) else output
        return self._tensor(name, _renamed(axes, "single_token") if self.reads_prompts else axes)

    def _per_layer(self, option: str) -> Iterable[OutputTensor]:
        for name, output in self.family.outputs.items():
            if isinstance(output, PerLayer) and output.option == option:
                if output.only_for and self.task not in output.only_for:
                    break
                count = self.dims.size(output.layers)
                return [self._tensor(f"{name}.{layer}", output.per_layer) for layer in range(count)]
        raise RequestError(
            f"--{option} is not offered for {self.task} of {self.architecture.architecture}.",
            "Leave it out.",
        )

    def _tensor(self, name: str, axes: tuple[str, ...]) -> OutputTensor:
        shape = tuple(None if axis in ANY_SIZE else self.dims.size(axis) for axis in axes)
        dtype = INTEGER_DTYPE if name in self.family.integer_outputs else FLOAT_DTYPE
        return OutputTensor(name=name, axes=axes, shape=shape, dtype=dtype)

    def _hold(self, conditions: tuple[Condition, ...]) -> bool:
        return all(self._holds(condition) for condition in conditions)

    def _holds(self, condition: Condition) -> bool:
        if isinstance(condition, TaskIs):
            return condition.task == self.task
        if isinstance(condition, OptionOn):
            return condition.option in self.options
        value = self.dims.value(condition.config)
        if isinstance(condition, ConfigEquals):
            return type(value) is type(condition.equals) and bool(value == condition.equals)
        if isinstance(condition, ConfigAbove):
            return self.dims.size(condition.config) > condition.above
        assert isinstance(condition, ConfigIsSet)
        return (value is not None) == condition.is_set


def _attention(architecture: Architecture, options: Iterable[str]) -> str | None:
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
