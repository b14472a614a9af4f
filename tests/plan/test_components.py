"""Plans of components: what a U-Net, a ControlNet and an autoencoder take and give."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_catalog import RequestError
from neuron_catalog.plan.plan import Choices, make_component_plan

configs = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("diffusion_configs.py"))))

LATENTS = {"batch_size": 2, "latent_height": 64, "latent_width": 64}
SIZES = {**LATENTS, "sequence_length": 77}
CONTROLLED = frozenset({"controlnet"})


def plan(catalog, name, config, axes=SIZES, options=()):
    return make_component_plan(catalog, name, config, Choices(axes=axes, options=frozenset(options)))


def shapes(tensors):
    return {tensor.name: tensor.shape for tensor in tensors}


def on_meta(model_class, config):
    with torch.device("meta"):
        return model_class(**{key: value for key, value in config.items() if key != "latent_channels"})


def empty(tensors):
    """Make tensors of the planned shapes that hold nothing: all that is asked of the model is shapes."""
    return {tensor.name: torch.empty(tensor.shape, device="meta") for tensor in tensors}


def test_a_component_has_no_task_and_needs_no_auto_class(catalog):
    made = plan(catalog, "unet", configs.UNET)
    assert (made.architecture, made.task, made.runtime_class) == ("unet", "", "")
    assert (made.library, made.model_class) == ("diffusers", "UNet2DConditionModel")
    assert made.compiler == {"model_type": "unet-inference", "async_load": True, "lazy_load": True}
    assert made.atol == 1e-3


def test_unet_of_stable_diffusion(catalog):
    made = plan(catalog, "unet", configs.UNET)
    assert shapes(made.inputs) == {
        "sample": (2, 4, 64, 64),
        "timestep": (2,),
        "encoder_hidden_states": (2, 77, 768),
    }
    assert shapes(made.outputs) == {"sample": (2, 4, 64, 64)}
    assert {tensor.dtype for tensor in made.inputs} == {"float32"}
    assert made.inputs[1].below == 1000


def test_unet_of_stable_diffusion_xl_reads_sizes_and_a_pooled_text(catalog):
    made = plan(catalog, "unet", configs.UNET_XL)
    assert shapes(made.inputs) == {
        "sample": (2, 4, 64, 64),
        "timestep": (2,),
        "encoder_hidden_states": (2, 77, 2048),
        "added_cond_kwargs.text_embeds": (2, 1280),
        "added_cond_kwargs.time_ids": (2, 6),
    }


def test_unet_of_a_latent_consistency_model_reads_the_guidance(catalog):
    assert shapes(plan(catalog, "unet", configs.UNET_LCM).inputs)["timestep_cond"] == (2, 256)


def test_unet_with_a_controlnet_reads_thirteen_residuals(catalog):
    made = plan(catalog, "unet", configs.UNET, options=CONTROLLED)
    found = shapes(made.inputs)
    # the first convolution, then two layers of each block and what ends each block but the last
    assert [found[f"down_block_additional_residuals.{n}"] for n in range(12)] == [
        *((2, 320, 64, 64),) * 3,
        (2, 320, 32, 32),
        *((2, 640, 32, 32),) * 2,
        (2, 640, 16, 16),
        *((2, 1280, 16, 16),) * 2,
        *((2, 1280, 8, 8),) * 3,
    ]
    assert found["mid_block_additional_residual"] == (2, 1280, 8, 8)
    residuals = [tensor for tensor in made.inputs if "residual" in tensor.name]
    assert len(residuals) == 13
    assert {tensor.default for tensor in residuals} == {0}
    assert made.options == ("controlnet",)


def test_sizes_of_one_residual_are_told_from_those_of_another(catalog):
    made = plan(catalog, "unet", configs.UNET, options=CONTROLLED)
    names = {t.name: t.axes for t in made.inputs}
    first = names["down_block_additional_residuals.0"]
    assert first == ("batch_size", "residual_channels.0", "residual_height.0", "residual_width.0")
    sizes = {}
    for tensor in made.inputs:
        for axis, size in zip(tensor.axes, tensor.shape, strict=True):
            assert sizes.setdefault(axis, size) == size


def test_residuals_may_differ_from_block_to_block(catalog):
    config = {**configs.UNET, "layers_per_block": [1, 2, 1, 3]}
    made = plan(catalog, "unet", config, options=CONTROLLED)
    assert len([tensor for tensor in made.inputs if "additional_residuals" in tensor.name]) == 11


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 33), (7, 90)])
def test_unet_takes_what_a_controlnet_gives(catalog, height, width):
    sizes = {**SIZES, "latent_height": height, "latent_width": width}
    steering = plan(catalog, "controlnet", configs.CONTROLNET, sizes)
    given_values = empty(steering.inputs)
    given_values.pop("conditioning_scale")
    model = on_meta(ControlNetModel, {"cross_attention_dim": 768})
    down, middle = model(**given_values, return_dict=False)
    assert [tensor.shape for tensor in steering.outputs] == [tuple(each.shape) for each in (*down, middle)]

    made = plan(catalog, "unet", configs.UNET, sizes, CONTROLLED)
    taken = empty(made.inputs)
    residuals = [taken.pop(f"down_block_additional_residuals.{number}") for number in range(12)]
    unet = on_meta(UNet2DConditionModel, {"cross_attention_dim": 768})
    (sample,) = unet(**taken, down_block_additional_residuals=residuals, return_dict=False)
    assert sample.shape == made.outputs[0].shape


@settings(max_examples=25, deadline=None)
@given(
    channels=st.lists(st.sampled_from([4, 8, 12]), min_size=1, max_size=4),
    layers=st.integers(1, 2),
    widened=st.integers(1, 3),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
)
def test_residuals_are_those_that_diffusers_gives(catalog, channels, layers, widened, height, width):
    config = {
        "in_channels": 4,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "norm_num_groups": 2,
        "block_out_channels": channels,
        "down_block_types": ["DownBlock2D"] * len(channels),
        "layers_per_block": layers,
        "conditioning_embedding_out_channels": [4] * widened,
    }
    model = on_meta(ControlNetModel, config)
    sizes = {"batch_size": 2, "sequence_length": 3, "latent_height": height, "latent_width": width}
    made = plan(catalog, "controlnet", model.config, sizes)
    taken = empty(made.inputs)
    taken.pop("conditioning_scale")
    down, middle = model(**taken, return_dict=False)
    assert [tensor.shape for tensor in made.outputs] == [tuple(each.shape) for each in (*down, middle)]
    assert [tensor.name for tensor in made.outputs] == [
        *(f"down_block_res_samples.{number}" for number in range(len(down))),
        "mid_block_res_sample",
    ]


def test_picture_of_a_controlnet_has_the_size_of_the_image(catalog):
    found = {tensor.name: tensor for tensor in plan(catalog, "controlnet", configs.CONTROLNET).inputs}
    assert found["controlnet_cond"].shape == (2, 3, 512, 512)
    assert found["conditioning_scale"].shape == (2, 1, 1, 1)
    assert found["conditioning_scale"].default == 1


@pytest.mark.parametrize(("height", "width"), [(64, 48), (8, 88)])
def test_autoencoder_divides_and_multiplies_sides(catalog, height, width):
    config = {
        **configs.VAE,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    }
    model = on_meta(AutoencoderKL, config)
    packed = plan(catalog, "vae-encoder", configs.VAE, {"batch_size": 2, "height": height, "width": width})
    (image,) = empty(packed.inputs).values()
    moments = model.quant_conv(model.encoder(image))
    assert packed.outputs[0].fits(tuple(moments.shape))
    assert not packed.outputs[0].fits((2, 4, *moments.shape[2:]))

    axes = {"batch_size": 2, "latent_height": height // 8, "latent_width": width // 8}
    unpacked = plan(catalog, "vae-decoder", configs.VAE, axes)
    (latents,) = empty(unpacked.inputs).values()
    assert latents.shape == (2, 4, height // 8, width // 8)
    assert model.decode(latents).sample.shape == unpacked.outputs[0].shape == (2, 3, height, width)


def test_image_that_an_autoencoder_cannot_halve_often_enough_is_refused(catalog):
    axes = {"batch_size": 1, "height": 68, "width": 64}
    with pytest.raises(
        RequestError, match="height 68 is no multiple of 8, as this vae-encoder model"
    ) as caught:
        plan(catalog, "vae-encoder", configs.VAE, axes)
    assert caught.value.remedy == "Use --height 64."


def test_text_encoder_gives_all_layers_where_that_is_asked_for(catalog):
    axes = {"batch_size": 1, "sequence_length": 77}
    made = plan(catalog, "clip-text-model", configs.CLIP_L, axes, ["output_hidden_states"])
    assert [t.name for t in made.outputs[:2]] == ["last_hidden_state", "pooler_output"]
    assert shapes(made.outputs[2:]) == {f"hidden_states.{n}": (1, 77, 768) for n in range(13)}
    assert made.inputs[0].pad == 1


def test_prompt_longer_than_its_encoder_is_refused(catalog):
    with pytest.raises(RequestError, match="sequence_length 78 is longer than this clip-text-model model"):
        plan(catalog, "clip-text-model", configs.CLIP_L, {"batch_size": 1, "sequence_length": 78})


@pytest.mark.parametrize("size", [128, 64])
def test_pixart_reads_sizes_of_the_image_in_its_larger_form_only(catalog, size):
    found = shapes(plan(catalog, "pixart-transformer-2d", {**configs.PIXART, "sample_size": size}).inputs)
    assert found["encoder_hidden_states"] == (2, 77, 4096)
    assert found.get("added_cond_kwargs.resolution") == ((2, 2) if size == 128 else None)
    assert found.get("added_cond_kwargs.aspect_ratio") == ((2, 1) if size == 128 else None)


@pytest.mark.parametrize("guided", [True, False])
def test_flux_reads_the_guidance_if_it_was_distilled(catalog, guided):
    axes = {"batch_size": 1, "sequence_length": 512, "latent_tokens": 4096}
    found = plan(catalog, "flux-transformer-2d", {**configs.FLUX, "guidance_embeds": guided}, axes)
    assert ("guidance" in shapes(found.inputs)) is guided
    assert shapes(found.inputs)["img_ids"] == (4096, 3)
    assert shapes(found.inputs)["txt_ids"] == (512, 3)
    assert shapes(found.outputs) == {"sample": (1, 4096, 64)}


def test_missing_size_of_a_component_is_asked_for(catalog):
    with pytest.raises(RequestError) as caught:
        plan(catalog, "unet", configs.UNET, LATENTS)
    assert caught.value.cause == "unet needs sequence_length: a compiled graph has fixed shapes."
    assert caught.value.remedy == (
        "Add for example: --batch_size 2 --sequence_length 77 --latent_height 64 --latent_width 64"
    )


@pytest.mark.parametrize(
    ("name", "config", "option"),
    [("controlnet", "CONTROLNET", "controlnet"), ("unet", "UNET", "output_attentions")],
)
def test_option_that_a_component_does_not_offer_is_refused(catalog, name, config, option):
    with pytest.raises(RequestError, match=rf"--{option} is not offered by {name}\."):
        plan(catalog, name, getattr(configs, config), options=[option])


def test_config_without_a_key_names_the_path(catalog):
    config = {key: value for key, value in configs.UNET.items() if key != "layers_per_block"}
    assert plan(catalog, "unet", config)
    with pytest.raises(RequestError, match="config has no 'layers_per_block'"):
        plan(catalog, "unet", config, options=CONTROLLED)
