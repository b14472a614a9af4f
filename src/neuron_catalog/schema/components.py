"""Components, which are no models of their own, and pipelines, which are made of them, as frozen objects.

A component selects from a family, as an architecture does, but has no task: it is a part of pipelines. A
pipeline names its parts and says which of its sizes each of them is compiled for.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from neuron_catalog.schema.conditions import OptionWhen, When
from neuron_catalog.schema.documents import (
    Architecture,
    Deviation,
    KnownIssue,
    Limit,
    PositiveFloat,
    Scalar,
    Tiny,
    VersionBound,
)
from neuron_catalog.schema.tensors import Axis, FrozenMap, InputUse, List, NonEmptyList, NonEmptyMap
from neuron_catalog.schema.words import (
    ArgumentName,
    ClassName,
    CompilerFact,
    ComponentLibrary,
    ComponentWrapperName,
    Cure,
    DimName,
    FamilyName,
    OutputName,
    PartName,
    Sentence,
    Size,
    Strict,
    TaskName,
    TokenizerForm,
    WrapperName,
)

NO_TASK = ""
"""Where an architecture has tasks, a component has one use: as a part of a pipeline."""


class Component(Strict):
    """`components/<name>.yaml`: a part that is no model of its own; a selection from one family."""

    component: FamilyName
    family: FamilyName
    library: ComponentLibrary = "diffusers"
    """The library that builds it."""
    model_class: ClassName
    """The library's class for it."""
    summary: Sentence
    normalized_config: FamilyName
    inputs: NonEmptyList[InputUse]
    mandatory_axes: NonEmptyList[DimName]
    limits: List[Limit] = ()
    outputs: NonEmptyList[OutputName]
    """In the order in which the graph returns them."""
    wrapper: ComponentWrapperName = "forward"
    forward_arguments: FrozenMap[str, Scalar] = {}
    """Constants passed to `forward`."""
    cures: List[Cure] = ()
    """What tracing needs, by name."""
    atol: PositiveFloat | None = None
    """Tolerance on devices, if not the family's."""
    atol_reason: Sentence | None = None
    tiny: Tiny
    deviations: List[Deviation] = ()
    compiler: FrozenMap[CompilerFact, Scalar] = {}
    """Facts for a backend's compiler, such as `model_type: unet-inference`."""
    requires: FrozenMap[str, VersionBound] = {}
    known_issues: List[KnownIssue] = ()

    @property
    def name(self) -> str:
        """What it is called."""
        return self.component

    @property
    def tasks(self) -> Mapping[str, tuple[str, ...]]:
        """Its outputs, under no task."""
        return {NO_TASK: self.outputs}

    @property
    def model_classes(self) -> Mapping[str, str]:
        """Its class, under no task."""
        return {NO_TASK: self.model_class}

    @property
    def wrappers(self) -> Mapping[str, WrapperName]:
        """It has one wrapper only."""
        return {}

    @property
    def constants(self) -> tuple[str, ...]:
        """A component has no constants: what is fixed in it follows from its sizes."""
        return ()

    @property
    def attn_implementation(self) -> None:
        """The library chooses it."""
        return None


Selection = Architecture | Component
"""What selects from a family."""


class Part(Strict):
    """A component of a pipeline: one folder of the artifact, with a graph of its own."""

    component: FamilyName
    source: PartName | None = None
    """The folder of a checkpoint that it is read from, if that has another name than the part."""
    when: OptionWhen | None = None
    """The part is there only while these options are on. The configs are those of the parts that are there,
    so none can decide it."""
    optional: bool = False
    """Whether checkpoints may lack it."""
    several: bool = False
    """Whether there may be more of its kind, beside each other: `controlnet`, `controlnet_1`, …"""
    dynamic_batch_size: bool = False
    """Whether it serves any number of rows, by splitting."""
    options: List[ArgumentName] = ()
    """Options that it is always exported with."""
    bind: NonEmptyMap[DimName, DimName]
    """Its axes → sizes of the pipeline."""


class Use(Strict):
    """A way to use the parts: a class of diffusers, and the class that runs an artifact like it."""

    pipeline_class: ClassName
    runtime_class: ClassName
    when: When | None = None
    """The use is possible only while this holds."""


class TinyTokenizer(Strict):
    """A tokenizer that is made when it is needed, and knows the bytes of a text only."""

    form: TokenizerForm
    model_max_length: Size
    pad_token: str | None = None


class TinyScheduler(Strict):
    """The scheduler of diffusers that a tiny pipeline has."""

    scheduler_class: ClassName
    config: FrozenMap[str, JsonValue] = {}


class TinyPipeline(Strict):
    """A small pipeline with seeded random weights, for tests and demonstrations."""

    configs: FrozenMap[PartName, FrozenMap[str, JsonValue]] = {}
    """Part, or folder that several parts are read from → its config, where the component's own does not
    suit."""
    tokenizers: NonEmptyMap[PartName, TinyTokenizer]
    scheduler: TinyScheduler
    settings: FrozenMap[str, JsonValue] = {}
    """Further arguments of the pipeline's class that are no components."""
    axes: NonEmptyMap[DimName, Size]


class Pipeline(Strict):
    """`pipelines/<name>.yaml`: several components that are sold together."""

    pipeline: TaskName
    summary: Sentence
    checkpoint: Sentence | None = None
    """A well-known checkpoint on the Hugging Face hub, if there is one."""
    normalized_config: FamilyName
    """Its paths begin with the name of a part's folder: `vae.block_out_channels`."""
    axes: NonEmptyMap[DimName, Axis]
    parts: NonEmptyMap[PartName, Part]
    """In the order in which they are exported: the cheap ones first."""
    uses: NonEmptyMap[TaskName, Use]
    tiny: TinyPipeline
    known_issues: List[KnownIssue] = ()
