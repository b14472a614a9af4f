"""The closed word lists and name patterns of the format."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

LOWER_DASHED = r"^[a-z0-9]+(-[a-z0-9]+)*$"
SNAKE_CASE = r"^[a-z][a-z0-9_]*$"
MODEL_TYPE = r"^[a-zA-Z0-9]+([-_.][a-zA-Z0-9]+)*$"
SHAPE_WORD = r"^([a-z][a-z0-9_]*|_|\.\.\.)$"
OUTPUT_NAME = r"^[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)*$"
INPUT_NAME = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$"
DOTTED_PATH = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
CLASS_NAME = r"^[A-Z][A-Za-z0-9_]*$"
BYTES = r"^[1-9][0-9]*[KMGT]$"

SPELLINGS = {
    LOWER_DASHED: "lower-case words joined by dashes, such as fill-mask",
    SNAKE_CASE: "a lower-case name, such as input_ids",
    MODEL_TYPE: "a model type, such as deberta-v2",
    SHAPE_WORD: "a lower-case name such as batch_size, _ for any size, or ... for any further dims",
    INPUT_NAME: "a lower-case name, such as input_ids or added_cond_kwargs.time_ids",
    OUTPUT_NAME: "a lower-case name, such as logits or text_model_output.last_hidden_state",
    DOTTED_PATH: "a path in the config, such as text_config.hidden_size",
    CLASS_NAME: "a class name, such as AutoModel",
    BYTES: "a number with K, M, G or T, such as 8G",
}
"""Pattern → what to write, for messages."""

ArchitectureName = Annotated[str, StringConstraints(pattern=MODEL_TYPE)]
"""A Hugging Face `model_type`, spelled as transformers spells it."""

TaskName = Annotated[str, StringConstraints(pattern=LOWER_DASHED)]
"""A Hugging Face pipeline tag such as `fill-mask`."""

FamilyName = Annotated[str, StringConstraints(pattern=LOWER_DASHED)]

DimName = Annotated[str, StringConstraints(pattern=SNAKE_CASE)]
"""A named size: an axis, a normalized-config key or a derived dim."""

ShapeWord = Annotated[str, StringConstraints(pattern=SHAPE_WORD)]
"""A dim in a shape. In an output, `_` stands for whatever size the eager model gives, and `...` at the end
for any further dimensions."""

TensorName = Annotated[str, StringConstraints(pattern=SNAKE_CASE)]

InputName = Annotated[str, StringConstraints(pattern=INPUT_NAME)]
"""The name of an argument of `forward`, or the path of a tensor in it."""

OutputName = Annotated[str, StringConstraints(pattern=OUTPUT_NAME)]
"""The path of a tensor in what a model returns."""

PartName = Annotated[str, StringConstraints(pattern=SNAKE_CASE)]
"""A folder of a pipeline, such as `text_encoder_2`."""

ConfigPath = Annotated[str, StringConstraints(pattern=DOTTED_PATH)]
"""A dotted path into a Hugging Face config: `text_config.hidden_size`."""

ClassName = Annotated[str, StringConstraints(pattern=CLASS_NAME)]

Sentence = Annotated[str, StringConstraints(min_length=3, max_length=400)]

Size = Annotated[int, Field(ge=1)]

Dtype = Literal["int64", "int32", "float32", "bool"]

Fill = Literal[
    "random_ids",
    "padded_mask",
    "random_normal",
    "random_halves",
    "boxes",
    "ones",
    "span",
    "grid",
    "random_fractions",
]
"""How example values are made: random integers below a bound; ones followed by zeros; normal noise; half of
each row true; boxes of ordered corners from 0 to 1000; ones only, where nothing can be padding; ones in the
places of an image in a text; column and row of each patch of a square image; numbers between 0 and 1."""

Cure = Literal[
    "plain_autograd",
    "integer_padding",
    "integer_scalars",
    "rounded_shapes",
    "broadcast_masks",
    "batched_experts",
    "every_expert",
]
"""What tracing needs for this architecture, entered for one export and undone after it."""

CompilerFact = Literal[
    "model_type",
    "auto_cast",
    "auto_cast_type",
    "optlevel",
    "enable_saturate_infinity",
    "enable_mixed_precision_accumulation",
    "disable_mixed_precision_accumulation",
    "enable_fast_context_switch",
    "enable_fast_loading_neuron_binaries",
    "fuse_softmax",
    "async_load",
    "lazy_load",
]
"""What a Neuron compiler should know of a model: options of neuronx-cc with underscores, then what
torch-neuronx is told."""

AttentionName = Literal["eager"]
"""How attention is computed, where the one that transformers chooses goes wrong."""

Library = Literal["transformers", "sentence_transformers"]
"""The Python package that builds the eager model. An architecture of another library than transformers is
named by the library, with dashes, and serves every model type of its checkpoints; one that also names a model
type serves that one: `sentence-transformers`, `sentence-transformers-clip`."""

ComponentLibrary = Literal["transformers", "diffusers"]
"""The Python package that builds a component."""

TokenizerForm = Literal["byte_pairs", "unigrams"]
"""How a tokenizer makes tokens: like that of CLIP, or like that of T5."""

WrapperName = Literal[
    "forward",
    "sentence",
    "static-cache",
    "shifted-cache",
    "static-encoder-decoder-cache",
]
"""Named code between a model's `forward` and a graph."""

ComponentWrapperName = Literal["forward", "latent-encoder", "latent-decoder"]
"""The same for a component, which is a part of an autoencoder or a whole module."""

CACHE_AXES: dict[str, tuple[str, ...]] = {
    "static-cache": ("sequence_length", "prompt_length", "num_beams"),
    "shifted-cache": ("sequence_length", "prompt_length", "num_beams"),
    "static-encoder-decoder-cache": ("decoder_sequence_length", "num_beams"),
}
"""Wrapper that keeps a cache → its axes: how many tokens the cache holds, how many of them are read at once
(of a decoder, whose inputs are a prompt: what is `sequence_length` in their shapes is `prompt_length` then),
and how many texts go on from each row."""

OptionName = Literal["output_hidden_states", "output_attentions", "controlnet"]

ArgumentName = Literal["output_hidden_states", "output_attentions"]
"""The options that are arguments of `forward`, and ask for more outputs."""

ARGUMENTS: tuple[ArgumentName, ...] = get_args(ArgumentName)

SeriesName = Literal["residual"]
"""What stands once for each member of a series, whose sizes follow from a config."""

SERIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "residual": (
        ("block_out_channels", "layers_per_block", "latent_height", "latent_width"),
        ("residual_channels", "residual_height", "residual_width"),
    ),
}
"""Series → the sizes it is computed from, by a function in `plan/dims.py`, and those that each member has."""

MEMBER_DIMS = frozenset(dim for _, dims in SERIES.values() for dim in dims)
"""The sizes that only a member of a series has."""

WaivableCheck = Literal[
    "inputs_alive", "masked_tokens_dead", "rows_independent", "smaller_inputs", "generation"
]
"""The checks that an architecture may break by design, if it says so with a reason. `smaller_inputs` is
none that fails: it is what a runtime may fill up, found by trials that such a model may pass by chance."""


class Strict(BaseModel):
    """Base of everything read from a catalog: strict types, frozen, no unknown keys."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        validate_default=True,
        defer_build=True,
    )


DERIVED_DIMS: dict[str, tuple[str, ...]] = {
    "box_corners": (),
    "condition_height": ("latent_height", "conditioning_embedding_out_channels"),
    "condition_width": ("latent_width", "conditioning_embedding_out_channels"),
    "decoded_height": ("latent_height", "block_out_channels"),
    "decoded_width": ("latent_width", "block_out_channels"),
    "default_prompt": ("sequence_length",),
    "grid_height": ("height", "patch_size"),
    "grid_width": ("width", "patch_size"),
    "guided_images": ("batch_size", "num_images_per_prompt", "guidance_copies"),
    "image_height": ("image_size",),
    "image_width": ("image_size",),
    "images": ("batch_size", "num_images_per_prompt"),
    "latent_height": ("height", "block_out_channels"),
    "latent_moments": ("latent_channels",),
    "latent_scale": ("block_out_channels",),
    "latent_square": ("block_out_channels",),
    "latent_squares": ("height", "width", "block_out_channels"),
    "latent_width": ("width", "block_out_channels"),
    "mel_frames": ("max_source_positions",),
    "middle_channels": ("block_out_channels",),
    "middle_height": ("latent_height", "block_out_channels"),
    "middle_width": ("latent_width", "block_out_channels"),
    "merged_patch_side": ("patch_size", "spatial_merge_size"),
    "merged_patches": ("height", "width", "patch_size", "spatial_merge_size"),
    "merged_window_side": ("patch_size", "window_kernel_size", "merge_kernel_size"),
    "num_hidden_states": ("num_hidden_layers",),
    "num_patches": ("height", "width", "patch_size"),
    "packed_length": ("batch_size", "height", "width", "patch_size"),
    "packed_patches": ("batch_size", "height", "width", "patch_size"),
    "pair": (),
    "patch_values": ("num_channels", "patch_size"),
    "patch_values_in_time": ("num_channels", "temporal_patch_size", "patch_size"),
    "plane": (),
    "pooled_text_size": ("projection_class_embeddings_input_dim", "addition_time_embed_dim"),
    "positions_after_padding": ("max_position_embeddings", "pad_token_id"),
    "prompt_of_both": ("prompt_positions", "sequence_length"),
    "rotary_sections": ("mrope_section",),
    "sizes_and_corner": (),
    "single_image": (),
    "single_token": (),
    "single_value": (),
    "steps_with_lags": ("context_length", "lags_sequence"),
    "text_and_codes": ("num_codebooks",),
    "time_height_width": (),
    "tokens_and_patches": ("sequence_length", "height", "width", "patch_size"),
    "tokens_and_regions": ("sequence_length", "num_regions"),
    "window_side": ("patch_size", "window_kernel_size"),
}
"""Derived dim → the axes and normalized-config keys it is computed from, by a function in `plan/dims.py`."""

OPEN_DIMS = {"output_frames": "nb_max_frames"}
"""A size in an output that the eager model gives, as `_` does → the axis whose length it stands for: each
position for an equal stretch of it. So it is known which positions belong to padding."""

BEGINS_WITH = {"tokens_and_patches": "sequence_length", "tokens_and_regions": "sequence_length"}
"""Derived dim → the axis whose positions come first in it; those after them are never masked."""

ENDS_WITH = {"image_then_tokens": "sequence_length"}
"""Dim of an output that is as large as the eager model makes it → the axis whose positions come last in it;
those before them are never masked."""

OPEN_SIZES = (*OPEN_DIMS, *ENDS_WITH)
"""All words for a size in an output that the eager model gives, but whose meaning is known."""
