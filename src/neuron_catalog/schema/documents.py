"""Tasks, families, normalized configs and architectures as frozen objects.

Three levels: `tasks.yaml`, then families, then architectures. A family has no parent and an architecture
never names another, so the value of a key is found by looking into at most one other file.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from neuron_catalog.schema.tensors import (
    Axis,
    Constant,
    FrozenMap,
    Input,
    InputUse,
    List,
    NonEmptyList,
    NonEmptyMap,
    Output,
)
from neuron_catalog.schema.words import (
    ArchitectureName,
    AttentionName,
    ClassName,
    CompilerFact,
    ConfigPath,
    Cure,
    DimName,
    FamilyName,
    InputName,
    Library,
    OutputName,
    Sentence,
    Size,
    Strict,
    TaskName,
    TensorName,
    WaivableCheck,
    WrapperName,
)

PositiveFloat = Annotated[float, Field(gt=0)]
Scalar = bool | int | float | str


class Task(Strict):
    """What a task means: the class that loads it and the class that runs it."""

    summary: Sentence
    auto_class: ClassName
    """The transformers auto class with the right head."""
    runtime_class: ClassName
    """The class that runs an artifact of this task."""
    library: Library = "transformers"
    """The library that has this task."""
    causal: bool = False
    """Whether each position must be computed from those before it: it predicts the next token."""
    generates: bool = False
    """Whether its models write texts, token by token."""
    synonyms: List[TaskName] = ()
    """Other spellings that the command line understands."""


class TasksFile(Strict):
    """`tasks.yaml`: every task of the catalog."""

    tasks: NonEmptyMap[TaskName, Task]


class NormalizedConfigsFile(Strict):
    """`normalized_configs.yaml`: named sets of canonical name → path in the Hugging Face config."""

    normalized_configs: NonEmptyMap[FamilyName, NonEmptyMap[DimName, ConfigPath]]


class Family(Strict):
    """`families/<name>.yaml`: the axes, inputs and outputs that architectures of a modality may select."""

    family: FamilyName
    summary: Sentence
    axes: NonEmptyMap[DimName, Axis]
    inputs: NonEmptyMap[InputName, Input]
    constants: FrozenMap[TensorName, Constant] = {}
    """Arguments of `forward` that are fixed when the graph is made."""
    outputs: NonEmptyMap[OutputName, Output]
    integer_outputs: List[OutputName] = ()
    """The outputs that are codes of 64 bits, and either equal or wrong; all others are real numbers."""
    wrappers: FrozenMap[TaskName, WrapperName] = {}
    """Task → its wrapper, if that is not the architecture's own."""
    atol: PositiveFloat
    """Largest absolute difference a device may show; `torchscript` is held to a tighter relative bound."""
    compiler: FrozenMap[CompilerFact, Scalar] = {}
    """Facts for a backend's compiler, where an architecture or component says nothing else."""
    for_components: bool = False
    """Whether components select from it, and no architecture does."""


class Limit(Strict):
    """What the model's config says about an axis: exactly one of `at_most` and `exactly`."""

    axis: DimName
    at_most: DimName | None = None
    exactly: DimName | None = None


class Tiny(Strict):
    """A small model of this architecture, built with seeded random weights for tests and demonstrations."""

    config: FrozenMap[str, JsonValue]
    """Arguments of the Hugging Face config class; in another library than transformers also its
    `model_type`."""
    axes: NonEmptyMap[DimName, Size]


class Deviation(Strict):
    """A check that this architecture truly breaks by design. It is still run, and shown in every report."""

    check: WaivableCheck
    tasks: List[TaskName] = ()
    """The tasks concerned; all if empty."""
    reason: Sentence


class KnownIssue(Strict):
    """Something that is broken elsewhere."""

    backend: TaskName
    ref: Sentence
    effect: Sentence


class VersionBound(Strict):
    """The versions of a package that can run this architecture, and why."""

    version: Sentence
    tasks: List[TaskName] = ()
    """The tasks concerned; all if empty."""
    reason: Sentence


class Architecture(Strict):
    """`architectures/<model_type>.yaml`: a selection from one family."""

    architecture: ArchitectureName
    family: FamilyName
    library: Library = "transformers"
    """The library that builds its models."""
    summary: Sentence
    checkpoint: Sentence | None = None
    """A well-known checkpoint on the Hugging Face hub, if there is one."""
    normalized_config: FamilyName
    inputs: NonEmptyList[InputUse]
    constants: List[TensorName] = ()
    """The family's constants that `forward` takes."""
    mandatory_axes: NonEmptyList[DimName]
    limits: List[Limit] = ()
    tasks: NonEmptyMap[TaskName, NonEmptyList[OutputName]]
    """Task → its outputs, in the order in which the graph returns them."""
    model_classes: FrozenMap[TaskName, ClassName] = {}
    """Task → transformers' class for it, where the task's auto class does not know this model type."""
    wrapper: WrapperName = "forward"
    wrappers: FrozenMap[TaskName, WrapperName] = {}
    """Task → its wrapper, if that is not the family's."""
    forward_arguments: FrozenMap[str, Scalar] = {}
    """Constants passed to `forward`, such as `use_cache: false`."""
    attn_implementation: AttentionName | None = None
    """The attention of the eager model too, for models that compute something else with the usual one."""
    cures: List[Cure] = ()
    """What tracing needs, by name."""
    atol: PositiveFloat | None = None
    """Tolerance on devices, if not the family's."""
    atol_reason: Sentence | None = None
    tiny: Tiny
    deviations: List[Deviation] = ()
    compiler: FrozenMap[CompilerFact, Scalar] = {}
    """Facts for a backend's compiler, such as `model_type: transformer`."""
    requires: FrozenMap[str, VersionBound] = {}
    known_issues: List[KnownIssue] = ()

    @property
    def name(self) -> str:
        """What it is called."""
        return self.architecture
