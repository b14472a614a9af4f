"""Select from a family what a model's forward takes and gives: the first draft of an architecture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from transformers import PretrainedConfig

from neuron_catalog.authoring.anatomy import Anatomy, Head
from neuron_catalog.authoring.draft import Draft
from neuron_catalog.authoring.prose import summary
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.selection import axes_in_use, dims_of_constant, has_default
from neuron_catalog.errors import RequestError
from neuron_catalog.plan.dims import Dims
from neuron_catalog.schema.documents import Architecture, Family
from neuron_catalog.schema.tensors import Output, PerLayer, Repeated, shape_of
from neuron_catalog.schema.words import DERIVED_DIMS, OPEN_SIZES

TINY_AXES = {
    "batch_size": 2,
    "text_batch_size": 3,
    "image_batch_size": 2,
    "video_batch_size": 2,
    "sequence_length": 16,
    "decoder_sequence_length": 12,
    "qformer_sequence_length": 10,
    "protein_sequence_length": 14,
    "image_patches": 36,
    "num_choices": 3,
    "point_batch_size": 2,
    "points_per_object": 4,
    "height": 64,
    "width": 64,
    "audio_sequence_length": 6400,
    "audio_channels": 1,
    "audio_batch_size": 2,
    "frame_size": 64,
    "audio_tokens": 16,
    "nb_max_frames": 24,
    "num_frames": 4,
    "num_mel_bins": 16,
    "num_channels": 3,
    "image_tokens": 16,
    "num_images": 2,
    "max_num_tiles": 4,
    "num_tiles": 3,
    "original_height": 48,
    "original_width": 24,
    "context_length": 32,
    "num_input_channels": 2,
    "num_regions": 5,
    "num_queries": 6,
    "features_length": 9,
    "episode_length": 12,
}
"""Axis → size in tiny models."""


SENSES = {
    "pixel_values",
    "input_features",
    "input_values",
    "past_values",
    "audio_input_features",
    "audio_prompt_latents",
    "flattened_patches",
    "hidden_states",
    "image_pixel_values",
    "high_res_pixel_values",
    "visual_embeds",
    "visual_feats",
    "protein_input_ids",
    "input_points",
    "task_inputs",
}
"""What a model sees or hears must be in its family: a row that leaves it out would prove nothing."""

SWITCHED_OFF = ("use_cache", "sample")
"""Arguments of a forward that are false here: a cache kept from call to call, numbers drawn by chance."""
SOUNDS = {"input_features", "input_values"}
"""A model that sees as well may be served for images and texts alone."""

NUMBERED = {"position_ids": "get_rope_index"}
"""Inputs that only a model with such a method is given, which numbers tokens by their place in an image: made
within the graph the numbers would be those of the traced texts."""

PARTNERS = {"decoder_input_ids", "bbox", "input_points", "task_inputs"}
"""Inputs that make a family another one: a model without them does not belong there."""


def families_for(anatomy: Anatomy, catalog: Catalog) -> Iterator[Family]:
    """Yield the families that have the model's main input, those that share most inputs with it first."""
    taken = set(_parameters(anatomy))
    senses = _senses(anatomy.heads[0])
    constants = taken & {name for family in catalog.families.values() for name in family.constants}

    def fits(family: Family) -> bool:
        inputs = set(family.inputs)
        sees = senses <= inputs and (not inputs & SENSES or bool(inputs & (senses | {anatomy.main_input})))
        partners = inputs & PARTNERS | {name for name, tensor in family.inputs.items() if tensor.holds}
        told = set(family.constants) in (constants, set())
        return anatomy.main_input in inputs and sees and told and partners <= taken

    tasks = {head.task for head in anatomy.heads}
    decodes = "fill-mask" not in tasks  # an encoder has a head for the next token, too
    counted = taken - {"token_type_ids"} if decodes else taken  # decoders take them and were not taught any

    def rank(family: Family) -> tuple[int, int, int, int, int]:
        inputs = set(family.inputs)
        cached = len(tasks & set(family.wrappers)) if decodes else 0
        served = {task for each in family.outputs.values() if isinstance(each, Mapping) for task in each}
        return (
            -len(counted & inputs),
            -cached,
            len(family.constants),
            -len(tasks & served),
            len(inputs - taken),
        )

    own = (family for family in catalog.families.values() if not family.for_components)
    yield from sorted(filter(fits, own), key=rank)


def _senses(head: Head) -> set[str]:
    """What the forward of a head sees, or hears if it does not see."""
    senses = SENSES & set(head.parameters)
    return senses - SOUNDS if "pixel_values" in senses else senses


def first_draft(
    anatomy: Anatomy, family: Family, catalog: Catalog, tiny: Mapping[str, Any], config: PretrainedConfig
) -> Draft | None:
    """Select every input that the forward takes, and every output that the family knows for each task.

    None if the config lacks a size that the main input needs, or what the model sees or hears.
    """
    inputs = tuple(name for name in _parameters(anatomy) if name in family.inputs)
    inputs = tuple(name for name in inputs if name not in NUMBERED or _has_method(anatomy, NUMBERED[name]))
    alias_set = _best_alias_set(catalog, family, inputs, config)
    dims = Dims({}, catalog.normalized_configs[alias_set], config)
    inputs = tuple(name for name in inputs if _known(_dims_of(family, name), family, dims))
    if not {anatomy.main_input, *_senses(anatomy.heads[0])} <= set(inputs):
        return None
    taken = {name for head in anatomy.heads for name in head.parameters}
    heads = [head for head in anatomy.heads if _fits(head, family, catalog)]
    draft = Draft(
        architecture=anatomy.model_type,
        family=family.family,
        summary=summary(anatomy, family.family, [head.task for head in heads]),
        checkpoint=anatomy.checkpoint,
        normalized_config=alias_set,
        inputs=inputs,
        constants=tuple(name for name in _parameters(anatomy) if name in family.constants),
        mandatory_axes=("batch_size",),
        tasks={head.task: ("unknown",) for head in heads},
        model_classes={head.task: head.model_class.__name__ for head in heads if head.by_name},
        forward_arguments={name: False for name in SWITCHED_OFF if name in taken},
        tiny={"config": dict(tiny), "axes": _sides(family, dims)},
    )
    tasks = {task: tuple(_outputs(family, task, dims, _axes(draft, catalog, task))) for task in draft.tasks}
    tasks = {task: outputs for task, outputs in tasks.items() if outputs}
    return with_axes(draft.with_tasks(tasks), catalog) if tasks else None


def _fits(head: Head, family: Family, catalog: Catalog) -> bool:
    """Whether a family has all that a head may see or hear, and says what comes out if any family does."""
    if not _senses(head) <= set(family.inputs):
        return False
    if catalog.tasks[head.task].auto_class == "AutoModel" or _says(family, head.task):
        return True
    return not any(_says(other, head.task) for other in catalog.families.values())


def _says(family: Family, task: str) -> bool:
    return any(task in output for output in family.outputs.values() if isinstance(output, Mapping))


def _has_method(anatomy: Anatomy, name: str) -> bool:
    return any(hasattr(head.model_class, name) for head in anatomy.heads)


def _sides(family: Family, dims: Dims) -> dict[str, int]:
    """Sizes of axes that must be multiples of one that the config gives; no two are alike."""
    parts = {name: axis.multiple_of for name, axis in family.axes.items() if axis.multiple_of}
    known = {name: part for name, part in parts.items() if _known([part], family, dims)}
    defaults = {name: axis.default for name, axis in family.axes.items() if isinstance(axis.default, int)}
    dims = replace(dims, axes=defaults)
    return {name: 2**power * dims.size(part) for power, (name, part) in enumerate(known.items(), 1)}


def with_axes(draft: Draft, catalog: Catalog) -> Draft:
    """List the axes that its tasks use and that have no default, with sizes for the tiny model."""
    family = catalog.families[draft.family]
    aliases = catalog.normalized_configs[draft.normalized_config]
    used = _axes(draft, catalog)
    mandatory = tuple(
        axis for axis in family.axes if axis in used and not has_default(axis, family.axes, aliases)
    )
    sizes = TINY_AXES | draft.tiny["axes"]
    sizes = {axis: sizes[axis] for axis in mandatory}
    return replace(draft, mandatory_axes=mandatory, tiny={**draft.tiny, "axes": sizes})


def _axes(draft: Draft, catalog: Catalog, task: str | None = None) -> set[str]:
    bare = draft.document() | {"tiny": {"config": {}, "axes": {"batch_size": 2}}}
    aliases = catalog.normalized_configs[draft.normalized_config]
    return axes_in_use(Architecture.model_validate(bare), catalog.families[draft.family], aliases, task)


def with_inputs_in_use(draft: Draft, family: Family) -> Draft:
    """Drop the inputs that none of its tasks has."""
    only_for = {name: family.inputs[name].only_for for name in draft.inputs}
    kept = (name for name, tasks in only_for.items() if not tasks or set(tasks) & set(draft.tasks))
    return replace(draft, inputs=tuple(kept))


def _parameters(anatomy: Anatomy) -> tuple[str, ...]:
    """The names that the forwards take, in the order of the longest."""
    longest_first = sorted(anatomy.heads, key=lambda head: -len(head.parameters))
    return tuple(dict.fromkeys(name for head in longest_first for name in head.parameters))


def _best_alias_set(catalog: Catalog, family: Family, inputs: Iterable[str], config: PretrainedConfig) -> str:
    """The set that knows most sizes; of several, the one with fewest paths that lead nowhere."""
    needed = {dim for name in inputs for dim in (*_dims_of(family, name), *_ids_of(family, name))}
    needed |= {dim for output in family.outputs.values() for dim in _all_dims(output)}
    needed |= {dim for constant in family.constants.values() for dim in dims_of_constant(constant)}
    needed |= {axis.multiple_of for axis in family.axes.values() if axis.multiple_of}
    needed = {part for dim in needed for part in DERIVED_DIMS.get(dim, (dim,))} - set(family.axes)
    defaults = {axis.default for axis in family.axes.values() if isinstance(axis.default, str)}
    needed |= {part for dim in defaults for part in DERIVED_DIMS.get(dim, (dim,))}
    needed |= {"max_position_embeddings"}

    def rank(name: str) -> tuple[int, int]:
        aliases = catalog.normalized_configs[name]
        dims = Dims({}, aliases, config)
        known = {key for key in needed & set(aliases) if _has_value(key, dims)}
        misleading = needed & set(aliases) - known
        return 3 * len(misleading) - len(known), sum(not _has_value(key, dims) for key in aliases)

    return min(catalog.normalized_configs, key=rank)


def _dims_of(family: Family, name: str) -> list[str]:
    tensor = family.inputs[name]
    held = [tensor.holds.id, tensor.holds.times] if tensor.holds else []
    return [*tensor.shape, *tensor.bounds, *held]


def _ids_of(family: Family, name: str) -> list[str]:
    tensor = family.inputs[name]
    pads = tensor.pad if isinstance(tensor.pad, tuple) else ()
    beside = [tensor.holds.beside] if tensor.holds and tensor.holds.beside else []
    return [*pads, *([tensor.ends_with] if tensor.ends_with else []), *beside]


def _all_dims(output: Output) -> set[str]:
    if isinstance(output, PerLayer):
        return {*output.per_layer, output.layers}
    if isinstance(output, Repeated):
        return {*output.shape}
    shapes = output.values() if isinstance(output, Mapping) else [output]
    return {dim for shape in shapes for dim in shape}


def _outputs(family: Family, task: str, dims: Dims, axes: set[str]) -> Iterator[str]:
    foreign = set(family.axes) - axes
    for name, output in family.outputs.items():
        shape = shape_of(output, task)
        if shape is not None and not foreign & set(shape) and _known(shape, family, dims):
            yield name


def _known(names: Iterable[str], family: Family, dims: Dims) -> bool:
    return all(_resolves(name, family, dims) for name in names if name not in ("_", "...", *OPEN_SIZES))


def _resolves(name: str, family: Family, dims: Dims) -> bool:
    if name in family.axes:
        return True
    if name in DERIVED_DIMS:
        return all(part in family.axes or _has_value(part, dims) for part in DERIVED_DIMS[name])
    try:
        return name in dims.aliases and dims.size(name) > 0
    except RequestError:
        return False


def _has_value(name: str, dims: Dims) -> bool:
    try:
        return name in dims.aliases and dims.value(name) is not None
    except RequestError:
        return False
