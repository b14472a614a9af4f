"""Rules of shrinking: one number is decided by its name, or by a neighbour if that says more."""

from types import SimpleNamespace

import pytest

from neuron_catalog.authoring.shrinking import neighbour_rules, number_rules
from neuron_catalog.authoring.shrinking.limits import LARGE
from neuron_catalog.authoring.shrinking.list_rules import shrink_list
from neuron_catalog.authoring.shrinking.mapping_rules import shrink_mapping
from neuron_catalog.authoring.shrinking.neighbour_rules import shrink_beside
from neuron_catalog.authoring.shrinking.number_rules import shrink_number
from neuron_catalog.authoring.shrinking.scale import Scale
from neuron_catalog.authoring.shrinking.values import shrink_value
from neuron_catalog.authoring.shrinking.ways import PLAIN, WAYS


def config_of(**values):
    """Return what rules see of a config with these arguments."""
    return SimpleNamespace(__dataclass_fields__=dict.fromkeys(values), **values)


BESIDE = [
    ("attention_hidden_size", 1536, {"hidden_size": 768}, 64),
    ("intermediate_size", 192, {"hidden_size": 768}, 8),
    ("intermediate_size", 4096, {"hidden_size": 768, "pixel_shuffle_ratio": 0.5}, 128),
    ("vision_output_dim", 7680, {"intermediate_layers_indices": [3, 7]}, 96),
    ("window_size", 112, {"spatial_merge_size": 2}, 32),
    ("window_size", 7, {"image_size": 224}, 2),
    ("window_size", 100, {"downsample_rate": 5}, 10),
    ("num_mel_bins", 64, {"spec_size": 256}, 32),
    ("head_dim", 64, {"expand": 2}, 16),
    ("head_dim", 64, {"qk_rope_head_dim": 64}, 4),
]


@pytest.mark.parametrize(("name", "value", "neighbours", "small"), BESIDE)
def test_a_neighbour_changes_what_a_number_becomes(name, value, neighbours, small):
    alone, beside = config_of(), config_of(**neighbours)
    assert shrink_value(Scale(), beside, name, value) == small
    assert shrink_number(Scale(), name, value) != small
    if name != "attention_hidden_size":  # it stands beside a hidden size always
        assert shrink_beside(Scale(), alone, name, value) is None


def test_each_rule_of_neighbours_has_a_case_above_and_a_reason():
    cases = [(name, config_of(**neighbours), value) for name, value, neighbours, _ in BESIDE]
    first = [
        next(rule for rule in neighbour_rules.RULES if rule.name == name and rule.fits(config, value))
        for name, config, value in cases
    ]
    assert first == list(neighbour_rules.RULES)
    assert all(rule.why.endswith(".") for rule in neighbour_rules.RULES)


def test_a_neighbour_that_is_computed_from_the_number_does_not_count():
    config = SimpleNamespace(__dataclass_fields__={"head_dim": None}, qk_rope_head_dim=64)
    assert shrink_beside(Scale(), config, "head_dim", 512) is None


@pytest.mark.parametrize(
    ("special", "small"),
    [
        ("tokenizer_chunk_size", 5000),
        ("max_2d_position_embeddings", 1024),
        ("upsample_groups", 32),
        ("qk_rope_head_dim", 4),
        ("patch_embeds_hidden_size", 4),
        ("a_name_without_a_rule", 5000),
    ],
)
def test_what_is_special_is_decided_before_what_is_common(special, small):
    assert shrink_number(Scale(), special, 5000) == small


@pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.says_open])
def test_an_open_number_becomes_small_or_stays_open(way):
    for rule in number_rules.RULES:
        small = rule.shrink(Scale(WAYS[way]), LARGE)
        assert small == LARGE or small <= 1024, rule.what


@pytest.mark.parametrize("way", WAYS)
def test_one_size_becomes_one_size_under_each_name_for_it(way):
    scale = Scale(WAYS[way])
    names = ("hidden_size", "d_model", "n_embd", "encoder_hidden_size", "projection_dim")
    assert len({shrink_number(scale, name, 768) for name in names}) == 1


def test_ways_differ_and_say_why_and_the_plain_one_comes_first():
    assert next(iter(WAYS.values())) is PLAIN
    assert len({*WAYS.values()}) == len({way.why for way in WAYS.values()}) == len(WAYS)
    assert all(way.why.endswith(".") for way in WAYS.values())


def test_a_number_named_like_bands_or_patches_that_is_too_large_is_something_else():
    assert shrink_number(Scale(), "feature_size", 80) == 16
    assert shrink_number(Scale(), "feature_size", 768) == 32
    assert shrink_number(Scale(WAYS["large_patches"]), "patch_size", 32) == 16
    assert shrink_number(Scale(WAYS["large_patches"]), "patch_size", 224) == 64


def test_widths_of_stages_stand_in_the_ratio_of_their_heads_if_there_are_any():
    widths = [96, 192, 384]
    with_heads, without = config_of(num_heads=[3, 6, 12]), config_of(num_heads=3)
    assert shrink_list(Scale(), with_heads, "hidden_sizes", widths) == [16, 32, 64]
    assert shrink_list(Scale(), without, "hidden_sizes", widths) == [8, 16, 24]
    assert shrink_list(Scale(WAYS["divided_widths"]), with_heads, "hidden_sizes", widths) == [8, 16, 24]
    assert shrink_list(Scale(WAYS["kept_widths"]), with_heads, "hidden_sizes", widths) is widths


def test_colours_stay_among_widths():
    assert shrink_list(Scale(), config_of(), "channels", [3, 64, 128]) == [3, 8, 8]


def test_sections_fill_the_rotated_half_of_a_head():
    embedding = {"rope_type": "default", "mrope_section": [16, 24, 24]}
    for way in WAYS.values():
        assert (
            sum(shrink_mapping(Scale(way), "rope_parameters", embedding)["mrope_section"])
            == way.head_dim // 2
        )
