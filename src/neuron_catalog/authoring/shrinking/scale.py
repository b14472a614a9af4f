"""How a number of a config shrinks: by a rule that the name of its key chooses, as transformers spells it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

HEADS = 4
LAYERS = 2
VOCABULARY = 99
POSITIONS = 64
IMAGE = 32
PATCH = 8
FEED_FORWARD = 64
EXPERTS = 4
COLOURS = 4
"""An image has so many channels at most; such a number in a list of widths stays."""
ROTARY = 4
CODES = 8
"""Entries of a codebook of images."""
CHANNELS = 16
"""Divisor of the widths of convolutions, and the narrowest one where heads stand in a ratio to them."""

MOST_BANDS = 128
LARGEST_PATCH = 64

LARGE = 2**30
"""A number that every rule makes smaller."""

Number = Callable[["Scale", int], int]


def _at_most(limit: int) -> Number:
    return lambda _scale, value: min(value, limit)


def _at_least(least: int) -> Number:
    return lambda _scale, value: least if value >= LARGE else max(value, least)


@dataclass
class Scale:
    """How large numbers may stay. Token ids beyond the small vocabulary are numbered anew, from its top."""

    width: int = 32
    image: int = IMAGE
    patch_side: int = PATCH
    grouped: bool = True
    """Whether there may be fewer heads for keys and values than for queries."""
    even: bool = False
    """Whether all widths shrink by one divisor, for models that compute some of them from others."""
    whole: bool = False
    """Whether widths and their heads stay as they are, for models that fix some of them in code."""
    _ids: dict[int, int] = field(default_factory=dict)

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        return self.width // HEADS

    def number(self, name: str, value: int) -> int:
        """Shrink the number of a key."""
        rule = next((rule for pattern, rule in RULES if pattern.search(name)), None)
        return rule(self, value) if rule else value

    def numbers(self, name: str, values: list[int], *, in_ratio: bool) -> list[int]:
        """Shrink the numbers of a key that has several; heads may stand `in_ratio` to widths."""
        if TOKEN.search(name):
            return [self.token(each) for each in values]
        if re.search(r"feature_layer$|layers_indices$|attn_indexes$", name):
            return [max(each, -LAYERS) if each < 0 else min(each, LAYERS - 1) for each in values]
        if re.search(r"block_indexes$|visual_indexes$", name):
            return [LAYERS - 1]  # one layer as they are, and one as the others
        if REPEATS.search(name):
            return [1] * len(values)
        if re.search(r"out_indices$", name):
            first = 0 if min(values) < 4 or max(values) > len(values) else min(values)
            return list(range(first, first + len(values)))
        if re.search(r"hook_ids$", name):  # numbers of layers
            return [sorted({*values}).index(each) for each in values]
        if re.search(r"image_size|img_size|input_size", name):
            return [min(each, self.image) for each in values]
        if self.whole:
            return values
        if WIDTHS.search(name) and len(values) > 1 and len({*values}) == 1:
            return [self.broad(each) for each in values]  # one width, said of each stage
        if WIDTHS.search(name) and max(values) > NARROW:
            in_ratio = in_ratio and not self.even
            small = [_ratio(each, values) * CHANNELS if in_ratio else _divided(each) for each in values]
            return [new if old > COLOURS else old for old, new in zip(values, small, strict=True)]
        if re.search(r"heads$", name):
            return [_ratio(each, values) for each in values]
        return values

    def token(self, value: int) -> int:
        """Keep a small id, and give a large one the next number from the top of the vocabulary."""
        if value < VOCABULARY:
            return value
        if value not in self._ids:
            self._ids[value] = VOCABULARY - 1 - len(self._ids)
        return self._ids[value]

    def broad(self, value: int) -> int:
        """Shrink a width: all that are larger become one, unless they shrink evenly or not at all."""
        if self.whole:
            return value
        return _divided(value) if self.even and value > NARROW else min(value, self.width)

    def half(self, value: int) -> int:
        """Shrink what is half a width."""
        return self.broad(2 * value) // 2

    def bands(self, value: int) -> int:
        """Shrink the bands of a spectrogram; as there are never so many, a larger number is a width."""
        return min(value, 16) if value <= MOST_BANDS or value >= LARGE else self.broad(value)

    def patch(self, value: int) -> int:
        """Shrink the side of a patch; one that is as large as images are is an image of its own."""
        if LARGEST_PATCH < value < LARGE:
            return self.side(value)
        return min(value, self.patch_side)

    def heads(self, value: int) -> int:
        """Shrink the number of heads."""
        return value if self.whole else min(value, HEADS)

    def kv_heads(self, value: int) -> int:
        """Shrink the number of heads for keys and values."""
        return min(value, HEADS // 2 if self.grouped and value > 1 else value if value == 1 else HEADS)

    def side(self, value: int) -> int:
        """Shrink the side of an image."""
        return min(value, self.image)

    def one_head(self, value: int) -> int:
        """Shrink the width of a head."""
        return min(value, self.head_dim)

    def rotated_head(self, value: int) -> int:
        """Shrink the width of a head of which a part of its own is rotated."""
        return min(value, self.head_dim + ROTARY)

    def rotated_part(self, value: float) -> float:
        """Enlarge the part of a head that is rotated, until it has two channels at least."""
        return max(value, 2 / self.head_dim)

    def kernel(self, value: int) -> int:
        """Shrink the width of a kernel; one that has a middle keeps it."""
        return min(value, self.width - value % 2)

    def state_head(self, value: int) -> int:
        """Shrink the width of a head of a state-space layer, which is twice as wide as the model."""
        return min(value, 2 * self.head_dim)


TOKEN = re.compile(r"_token_(id|index|ids)$|_token$")
REPEATS = re.compile(r"^depths|layers$|repeats$|blocks_per_stage$|num_blocks$")
"""Lists of how often a stage repeats its layer."""
WIDTHS = re.compile(
    r"hidden_sizes|dims?$|channels|channel_list$|embed_dims?|widths?$|conv_dim|neck|out_features$"
)
NARROW = 16
"""A list of widths is small enough if none is above."""

RULES: list[tuple[re.Pattern[str], Number]] = [
    (re.compile(pattern), rule)
    for pattern, rule in (
        (TOKEN.pattern, Scale.token),
        (r"type_vocab", _at_most(4)),
        (r"vocab_size|n_words|n_token$|vocab$", _at_most(VOCABULARY)),
        (
            r"(n_group|topk_group)$|n_shared_experts|num_shared|first_k_dense_replace|num_dense_layers",
            _at_most(1),
        ),
        (r"experts_per_tok|top_?k|experts_per_token|moe_k$", _at_most(2)),
        (r"layer_period$|compress_ra(te|tio)|kpool$", _at_most(2)),
        (r"indexer_budget", _at_most(4)),
        (r"indexer_kv_heads", _at_most(1)),
        (r"layer_offset$", _at_most(1)),
        (r"insert_layer_id$", _at_most(LAYERS - 2)),
        (r"experts$", _at_most(EXPERTS)),
        (r"(key_value|kv)_heads|attention_groups", Scale.kv_heads),
        (r"heads$|^n_head$|num_head$", Scale.heads),
        (r"mamba_(d_head|head_?dim)", Scale.state_head),
        (r"rotary_dim|rope_head_dim", _at_most(ROTARY)),
        (r"upsample_groups$", Scale.broad),  # as many as channels
        (r"num_filters$", _at_most(4)),  # the first of widths that double
        (r"^qk_head_dim", Scale.rotated_head),
        (r"prediction_length|label_length", _at_most(8)),
        (r"num_time_features", _at_least(2)),
        (r"n_groups$", _at_most(1)),
        (r"feature_projection_input_dim|input_feat", _at_most(16)),
        (r"head_dim|d_kv$|kv_channels|key_length|value_length|head_size", Scale.one_head),
        (r"max_2d_position", _at_most(1024)),
        (r"coordinate_size", _at_most(6)),
        (r"kernel_size$", Scale.kernel),
        (r"shape_size", _at_most(4)),
        (
            r"position_embeddings|n_positions|text_length$|max_seq|seq_len|seq_length|context_length|max_length|_positions$",
            _at_most(POSITIONS),
        ),
        (r"layers$|n_layer$|^depth$|_depth$|(?<!encoder_)blocks$", _at_most(LAYERS)),
        (r"sliding_window|attention_window|window_size|local_window|attention_chunk_size", _at_most(8)),
        (
            r"intermediate|ffn_dim|ffn_hidden|d_ff$|n_inner|mlp_dim|dim_feedforward|expert_dim|mlp_hidden",
            _at_most(FEED_FORWARD),
        ),
        (r"spec_size$", _at_most(2 * IMAGE)),  # halved at each of four stages
        (r"_rank$|lora_dim", _at_most(16)),
        (r"image_size|img_size|input_size|sample_size|pretrain_size", Scale.side),
        (r"patch_size|encoder_stride", Scale.patch),
        (r"num_mel_bins|mel_bins|n_mels|feature_size", Scale.bands),
        (r"pos_feats$", Scale.half),
        (r"num_windows$", _at_most(4)),
        (r"tokens_per_image", _at_most(4)),
        (r"num_queries|query_tokens|num_latents|num_query|query_num", _at_most(6)),
        (r"tokenizer_chunk_size$", lambda _scale, value: value),  # a multiple of what the codec says
        (r"patch_embeds_hidden_size$", _at_most(4)),  # the first of four widths that double
        (r"chunk_\w+_context$", _at_most(2)),
        (r"chunk_size|chunk_length", _at_most(8)),
        (r"num_embeddings$", _at_most(CODES)),
        (r"num_groups$", _at_most(4)),
        (
            r"hidden_size|d_model|n_embd|embed_dim|^dim$|emb_dim|hidden_dim|embedding_size|embedding_dim|_dims?$|"
            r"width$|_embed$|d_embed|inner_dim|n_embed|d_latents|_channels$|proj_size|_features$|_size$",
            Scale.broad,
        ),
    )
]
"""Part of a key → how its number shrinks; the first that fits counts."""


def _divided(value: int) -> int:
    return max(8, -(-value // CHANNELS // 8) * 8)


def _ratio(value: int, values: list[int]) -> int:
    return max(1, round(value / min(values)))
