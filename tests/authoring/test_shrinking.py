"""Shrinking keeps sizes that must agree in agreement."""

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

from neuron_catalog.authoring.shrinking.config_facts import fields
from neuron_catalog.authoring.shrinking.list_rules import map_sides
from neuron_catalog.authoring.shrinking.number_rules import shrink_number
from neuron_catalog.authoring.shrinking.scale import Scale
from neuron_catalog.authoring.shrinking.shrinker import Shrinker
from neuron_catalog.authoring.shrinking.ways import WAYS

TYPES = ("bert", "llama", "t5", "swin", "segformer", "clip", "deepseek_v3", "mamba2", "llava", "gpt_neo")


@pytest.mark.parametrize("model_type", TYPES)
def test_what_is_shrunk_can_be_built_and_is_small(model_type):
    way = "ungrouped" if model_type == "deepseek_v3" else "plain"
    arguments = Shrinker(WAYS[way]).arguments(CONFIG_MAPPING[model_type]())
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(model_type, **arguments))
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_500_000


def test_nothing_is_said_that_the_defaults_say():
    config = CONFIG_MAPPING["llama"]()
    arguments = Shrinker().arguments(config)
    assert all(getattr(config, name) != value for name, value in arguments.items())
    assert set(arguments) <= {name for name, _ in fields(config)}


def test_one_large_id_becomes_one_small_id_wherever_it_stands():
    arguments = Shrinker().arguments(CONFIG_MAPPING["gpt2"]())
    assert arguments["bos_token_id"] == arguments["eos_token_id"] == 98
    assert arguments["pad_token_id"] not in (98, None)


def test_different_large_ids_stay_different():
    scale = Scale()
    assert len({scale.token(value) for value in (50256, 50257, 50256, 151643)}) == 3


def test_one_layer_of_each_kind_is_kept():
    arguments = Shrinker().arguments(CONFIG_MAPPING["gemma3_text"]())
    assert set(arguments["layer_types"]) == {"sliding_attention", "full_attention"}
    assert len(arguments["layer_types"]) == arguments["num_hidden_layers"]


def test_a_config_is_not_changed_by_shrinking_it():
    config = CONFIG_MAPPING["llava"]()
    before = config.to_dict()
    Shrinker().arguments(config)
    assert config.to_dict() == before


def test_heads_divide_widths():
    arguments = Shrinker().arguments(CONFIG_MAPPING["swin"]())
    widths = [arguments["embed_dim"] * 2**stage for stage in range(len(arguments["depths"]))]
    assert all(width % heads == 0 for width, heads in zip(widths, arguments["num_heads"], strict=True))


def test_what_is_said_of_each_layer_is_kept_for_the_layers_that_are_left():
    arguments = Shrinker().arguments(CONFIG_MAPPING["gemma3n_text"]())
    kinds = arguments["layer_types"]
    assert arguments["num_hidden_layers"] == len(kinds) == len(arguments["intermediate_size"])
    shared = arguments["num_kv_shared_layers"]
    assert set(kinds[-shared:]) == set(kinds[:-shared])


def test_each_pair_of_kinds_of_layer_is_kept_and_what_numbers_the_layers_numbers_those():
    arguments = Shrinker().arguments(CONFIG_MAPPING["mistral_large4_text"]())
    assert set(arguments["mlp_layer_types"]) == {"dense", "sparse"}
    assert arguments["kv_source_layers"] == list(range(arguments["num_hidden_layers"]))


@pytest.mark.parametrize("model_type", ["zamba2", "lfm2_moe", "dots1", "nemotron", "deepseek_v4"])
def test_what_the_defaults_leave_open_can_be_said(model_type):
    arguments = Shrinker(WAYS["open_said"]).arguments(CONFIG_MAPPING[model_type]())
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(model_type, **arguments))
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_500_000


def test_open_numbers_are_said_on_request_only():
    config = CONFIG_MAPPING["dots1"]()
    assert "n_routed_experts" not in Shrinker().arguments(config)
    assert Shrinker(WAYS["open_said"]).arguments(config)["n_routed_experts"] == 4


def test_a_default_is_the_first_of_the_choices():
    assert Shrinker().arguments(CONFIG_MAPPING["xmod"]())["default_language"] == "en_XX"


def test_a_part_of_a_head_that_is_rotated_has_two_channels():
    arguments = Shrinker().arguments(CONFIG_MAPPING["deepseek_v4"]())
    assert arguments["head_dim"] * arguments["partial_rotary_factor"] >= 2
    assert arguments["rope_parameters"]["main"]["partial_rotary_factor"] == arguments["partial_rotary_factor"]


def test_a_kernel_keeps_its_middle():
    assert shrink_number(Scale(), "conv_kernel_size", 65) == 31
    assert shrink_number(Scale(), "conv_kernel_size", 3) == 3
    assert shrink_number(Scale(), "conv_kernel_size", 128) == 32


def test_what_is_twice_as_wide_stays_twice_as_wide():
    arguments = Shrinker().arguments(CONFIG_MAPPING["zamba"]())
    assert arguments["attention_hidden_size"] == 2 * arguments["hidden_size"]


def test_layers_that_a_config_names_exist_in_the_small_model():
    layers = Shrinker().arguments(CONFIG_MAPPING["vipllava"]())["vision_feature_layer"]
    assert all(-2 <= each < 2 for each in layers)


def test_a_placeholder_that_the_defaults_leave_open_gets_an_id_of_its_own():
    arguments = Shrinker().arguments(CONFIG_MAPPING["blip-2"]())
    assert 0 < arguments["image_token_index"] < 99


def test_eyes_that_the_defaults_leave_out_are_added():
    assert CONFIG_MAPPING["gemma4"]().vision_config is None
    assert Shrinker().arguments(CONFIG_MAPPING["gemma4"]())["vision_config"]["hidden_size"] == 32


def test_widths_in_lists_and_alone_shrink_evenly_on_request():
    config = CONFIG_MAPPING["rt_detr"]()
    arguments = Shrinker(WAYS["divided_widths"]).arguments(config)
    assert arguments["backbone_config"]["hidden_sizes"][1:] == arguments["encoder_in_channels"]


def test_widths_stay_whole_on_request_and_depths_do_not():
    arguments = Shrinker(WAYS["kept_widths"]).arguments(CONFIG_MAPPING["efficientnet"]())
    assert "in_channels" not in arguments
    assert set(arguments["num_block_repeats"]) == {1}


def test_maps_shrink_with_the_image_that_they_are_made_of():
    config = CONFIG_MAPPING["vit"](image_size=224)
    assert map_sides(config, [[56, 56], [14, 28]], 32) == [[8, 8], [2, 4]]
