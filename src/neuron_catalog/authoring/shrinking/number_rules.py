"""How a number of a config shrinks: by a rule that the name of its key chooses, as transformers spells it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from neuron_catalog.authoring.shrinking.limits import IMAGE, LARGE, LAYERS, ROTARY, VOCABULARY
from neuron_catalog.authoring.shrinking.scale import Scale

Shrink = Callable[[Scale, int], int]


@dataclass(frozen=True)
class NumberRule:
    """What the numbers under some names are, and how they shrink."""

    what: str
    names: str
    """Pattern of a part of the name."""
    shrink: Shrink


def _at_most(limit: int) -> Shrink:
    return lambda _scale, value: min(value, limit)


def _at_least(least: int) -> Shrink:
    return lambda _scale, value: least if value >= LARGE else max(value, least)


def _as_it_is(_scale: Scale, value: int) -> int:
    return value


def shrink_number(scale: Scale, name: str, value: int) -> int:
    """Return what a number becomes; one that no rule knows stays."""
    rule = next((rule for rule in RULES if re.search(rule.names, name)), None)
    return rule.shrink(scale, value) if rule else value


TOKEN = r"_token_(id|index|ids)$|_token$"

RULES = (
    NumberRule("token ids", TOKEN, Scale.token),
    NumberRule("kinds of segments", r"type_vocab", _at_most(4)),
    NumberRule("vocabularies", r"vocab_size|n_words|n_token$|vocab$", _at_most(VOCABULARY)),
    NumberRule("groups of experts, and one of those chosen", r"(n_group|topk_group)$", _at_most(1)),
    NumberRule("experts for every token", r"n_shared_experts|num_shared", _at_most(1)),
    NumberRule("layers before those with experts", r"first_k_dense_replace|num_dense_layers", _at_most(1)),
    NumberRule("the best of many", r"experts_per_tok|top_?k|experts_per_token|moe_k$", _at_most(2)),
    NumberRule(
        "periods, and tokens that become one", r"layer_period$|compress_ra(te|tio)|kpool$", _at_most(2)
    ),
    NumberRule("tokens that an indexer chooses", r"indexer_budget", _at_most(4)),
    NumberRule("heads for keys of an indexer", r"indexer_kv_heads", _at_most(1)),
    NumberRule("the first layer of a period", r"layer_offset$", _at_most(1)),
    NumberRule("the layer behind which one is inserted", r"insert_layer_id$", _at_most(LAYERS - 2)),
    NumberRule("experts", r"experts$", _at_most(4)),
    NumberRule("heads for keys and values", r"(key_value|kv)_heads|attention_groups", Scale.kv_heads),
    NumberRule("heads", r"heads$|^n_head$|num_head$", Scale.heads),
    NumberRule("widths of heads that keep a state", r"mamba_(d_head|head_?dim)", Scale.state_head_dim),
    NumberRule("rotated channels of a head", r"rotary_dim|rope_head_dim", _at_most(ROTARY)),
    NumberRule("groups, as many as channels", r"upsample_groups$", Scale.width),
    NumberRule("the first of widths that double", r"num_filters$", _at_most(4)),
    NumberRule("widths of heads with their rotated part", r"^qk_head_dim", Scale.rotated_head_dim),
    NumberRule("steps to predict", r"prediction_length|label_length", _at_most(8)),
    NumberRule("features of a point in time", r"num_time_features", _at_least(2)),
    NumberRule("groups of heads that keep a state", r"n_groups$", _at_most(1)),
    NumberRule("features of a frame", r"feature_projection_input_dim|input_feat", _at_most(16)),
    NumberRule(
        "widths of heads", r"head_dim|d_kv$|kv_channels|key_length|value_length|head_size", Scale.head_dim
    ),
    NumberRule("places on a page", r"max_2d_position", _at_most(1024)),
    NumberRule("parts of a width, one for each coordinate", r"coordinate_size", _at_most(6)),
    NumberRule("kernels", r"kernel_size$", Scale.kernel),
    NumberRule("parts of a width for the shape of a box", r"shape_size", _at_most(4)),
    NumberRule(
        "positions",
        r"position_embeddings|n_positions|_positions$|max_seq|seq_len|seq_length|context_length|max_length|text_length$",
        _at_most(64),
    ),
    NumberRule("layers", r"layers$|n_layer$|^depth$|_depth$|(?<!encoder_)blocks$", _at_most(LAYERS)),
    NumberRule(
        "windows",
        r"sliding_window|attention_window|window_size|local_window|attention_chunk_size",
        _at_most(8),
    ),
    NumberRule(
        "widths between two projections",
        r"intermediate|ffn_dim|ffn_hidden|d_ff$|n_inner|mlp_dim|dim_feedforward|expert_dim|mlp_hidden",
        _at_most(64),
    ),
    NumberRule("sides of spectrograms, halved at each of four stages", r"spec_size$", _at_most(2 * IMAGE)),
    NumberRule("ranks", r"_rank$|lora_dim", _at_most(16)),
    NumberRule("sides of images", r"image_size|img_size|input_size|sample_size|pretrain_size", Scale.image),
    NumberRule("sides of patches", r"patch_size|encoder_stride", Scale.patch),
    NumberRule("bands of spectrograms", r"num_mel_bins|mel_bins|n_mels|feature_size", Scale.bands),
    NumberRule("half widths", r"pos_feats$", Scale.half_width),
    NumberRule("windows of an image", r"num_windows$", _at_most(4)),
    NumberRule("tokens of an image", r"tokens_per_image", _at_most(4)),
    NumberRule("learnt queries", r"num_queries|query_tokens|num_latents|num_query|query_num", _at_most(6)),
    NumberRule("a multiple of what the codec says", r"tokenizer_chunk_size$", _as_it_is),
    NumberRule("the first of four widths that double", r"patch_embeds_hidden_size$", _at_most(4)),
    NumberRule("chunks to look at beside one", r"chunk_\w+_context$", _at_most(2)),
    NumberRule("chunks", r"chunk_size|chunk_length", _at_most(8)),
    NumberRule("entries of a codebook of images", r"num_embeddings$", _at_most(8)),
    NumberRule("groups of channels", r"num_groups$", _at_most(4)),
    NumberRule(
        "widths",
        r"hidden_size|d_model|n_embd|embed_dim|^dim$|emb_dim|hidden_dim|embedding_size|embedding_dim|_dims?$|width$|"
        r"_embed$|d_embed|inner_dim|n_embed|d_latents|_channels$|proj_size|_features$|_size$",
        Scale.width,
    ),
)
"""The first that fits counts: what is special stands before what is common."""
