"""Plans of pipelines: what a caller says of images becomes what each part is compiled for."""

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_catalog import RequestError
from neuron_catalog.plan.pipeline import PipelineChoices, make_pipeline_plan, parts_of

PIPELINES = runpy.run_path(str(Path(__file__).with_name("diffusion_configs.py")))["PIPELINES"]
IMAGE = {"height": 512, "width": 512}
TEXT_TO_IMAGE = ["stable-diffusion", "stable-diffusion-xl", "latent-consistency"]


def plan(catalog, name, *, options=(), several=1, without=(), configs=None, **axes):
    """Plan a published pipeline, with changed configs or without some of its parts."""
    chosen = frozenset(options)
    said = {**PIPELINES[name], **(configs or {})}
    wanted = parts_of(catalog.pipelines[name], chosen, several)
    parts = {part: told for part, told in wanted.items() if part not in without}
    kinds = {part: said[part.rpartition("_")[0] if part[:-2] == "controlnet" else part] for part in parts}
    return make_pipeline_plan(catalog, name, parts, kinds, PipelineChoices(axes=axes, options=chosen))


def shapes(tensors):
    return {tensor.name: tensor.shape for tensor in tensors}


def rows(made):
    return {name: part.axes["batch_size"] for name, part in made.parts.items()}


def refused(catalog, name, **wanted):
    with pytest.raises(RequestError) as caught:
        plan(catalog, name, **wanted)
    return caught.value


def test_every_pipeline_is_planned_here(catalog):
    assert set(PIPELINES) == set(catalog.pipelines)
    for name, pipeline in catalog.pipelines.items():
        assert set(PIPELINES[name]) == set(pipeline.parts)


def test_parts_stand_in_the_order_of_the_file_and_controlnets_only_if_asked_for(catalog):
    pipeline = catalog.pipelines["stable-diffusion"]
    plain = ["text_encoder", "vae_encoder", "vae_decoder", "unet"]
    assert list(parts_of(pipeline, frozenset())) == plain
    assert list(parts_of(pipeline, frozenset(), 3)) == plain
    controlled = parts_of(pipeline, frozenset({"controlnet"}), 3)
    assert list(controlled) == [*plain[:3], "controlnet", "controlnet_1", "controlnet_2", "unet"]
    assert controlled["controlnet"] is pipeline.parts["controlnet"]
    assert controlled["controlnet_2"].component == "controlnet"
    assert controlled["controlnet_2"].source == "controlnet"


def test_stable_diffusion(catalog):
    made = plan(catalog, "stable-diffusion", **IMAGE)
    assert made.axes == {
        "batch_size": 1,
        "num_images_per_prompt": 1,
        "guidance_copies": 2,
        "height": 512,
        "width": 512,
    }
    assert shapes(made.parts["text_encoder"].inputs) == {"input_ids": (1, 77)}
    assert shapes(made.parts["vae_encoder"].inputs) == {"sample": (1, 3, 512, 512)}
    assert shapes(made.parts["vae_decoder"].inputs) == {"latent_sample": (1, 4, 64, 64)}
    assert shapes(made.parts["unet"].inputs) == {
        "sample": (2, 4, 64, 64),
        "timestep": (2,),
        "encoder_hidden_states": (2, 77, 768),
    }
    assert made.uses == {
        "text-to-image": "NeuronStableDiffusionPipeline",
        "image-to-image": "NeuronStableDiffusionImg2ImgPipeline",
        "inpainting": "NeuronStableDiffusionInpaintPipeline",
    }


def test_guidance_doubles_the_rows_of_a_denoiser_only(catalog):
    wanted = {**IMAGE, "batch_size": 3, "num_images_per_prompt": 2}
    guided = plan(catalog, "stable-diffusion", **wanted)
    assert rows(guided) == {"text_encoder": 3, "vae_encoder": 1, "vae_decoder": 6, "unet": 12}
    alone = plan(catalog, "stable-diffusion", **wanted, guidance_copies=1)
    assert rows(alone) == {"text_encoder": 3, "vae_encoder": 1, "vae_decoder": 6, "unet": 6}


def test_images_are_packed_one_at_a_time(catalog):
    made = plan(catalog, "stable-diffusion", **IMAGE, batch_size=3)
    assert made.parts["vae_encoder"].dynamic_axes == ("batch_size",)
    assert made.parts["vae_decoder"].dynamic_axes == ()


@given(
    batch=st.integers(1, 5), images=st.integers(1, 5), height=st.integers(1, 200), width=st.integers(1, 200)
)
def test_every_size_reaches_its_parts(catalog, batch, images, height, width):
    made = plan(
        catalog,
        "stable-diffusion",
        batch_size=batch,
        num_images_per_prompt=images,
        height=8 * height,
        width=8 * width,
    )
    latents = (4, height, width)
    assert made.parts["unet"].inputs[0].shape == (2 * batch * images, *latents)
    assert made.parts["vae_decoder"].inputs[0].shape == (batch * images, *latents)
    assert made.parts["vae_decoder"].outputs[0].shape == (batch * images, 3, 8 * height, 8 * width)
    assert made.parts["text_encoder"].inputs[0].shape == (batch, 77)


def test_every_part_of_a_pipeline_gives_what_the_next_one_takes(catalog):
    made = plan(catalog, "stable-diffusion-xl", height=1024, width=768, batch_size=2)
    first, second, unet = (made.parts[name] for name in ("text_encoder", "text_encoder_2", "unet"))
    texts = [dict(shapes(part.outputs)) for part in (first, second)]
    last = [encoder["hidden_states.0"][-1] for encoder in texts]
    taken = shapes(unet.inputs)
    assert taken["encoder_hidden_states"] == (4, 77, sum(last))
    assert taken["added_cond_kwargs.text_embeds"] == (4, texts[1]["text_embeds"][-1])
    assert taken["sample"] == (4, 4, 128, 96)
    assert {part.options for part in (first, second)} == {("output_hidden_states",)}
    assert unet.options == ()


def test_part_that_a_checkpoint_may_lack_is_left_out(catalog):
    made = plan(catalog, "stable-diffusion-xl", height=1024, width=1024, without=["text_encoder"])
    assert list(made.parts) == ["text_encoder_2", "vae_encoder", "vae_decoder", "unet"]


def test_latent_consistency_carries_its_guidance_in_an_input(catalog):
    made = plan(catalog, "latent-consistency", **IMAGE, batch_size=2, num_images_per_prompt=2)
    assert rows(made) == {"text_encoder": 2, "vae_decoder": 4, "unet": 4}
    assert shapes(made.parts["unet"].inputs)["timestep_cond"] == (4, 256)
    assert "guidance_copies" in str(refused(catalog, "latent-consistency", **IMAGE, guidance_copies=1))


@pytest.mark.parametrize("name", ["stable-diffusion", "stable-diffusion-xl"])
def test_controlnets_steer_the_unet(catalog, name):
    made = plan(catalog, name, **IMAGE, options=["controlnet"], several=2)
    given_by = made.parts["controlnet_1"]
    assert given_by == made.parts["controlnet"]
    residuals = [t.shape for t in made.parts["unet"].inputs if "residual" in t.name]
    assert residuals == [t.shape for t in given_by.outputs]
    assert len(residuals) == (13 if name == "stable-diffusion" else 10)
    assert shapes(given_by.inputs)["controlnet_cond"] == (2, 3, 512, 512)
    assert made.parts["unet"].options == ("controlnet",)
    assert made.parts["controlnet"].options == made.parts["text_encoder"].options[1:] == ()
    assert made.uses["controlnet"] == catalog.pipelines[name].uses["controlnet"].runtime_class
    assert "controlnet" not in plan(catalog, name, **IMAGE).uses


@pytest.mark.parametrize("name", ["latent-consistency", "pixart", "stable-diffusion-3", "flux"])
def test_option_that_no_part_knows_is_refused(catalog, name):
    found = refused(catalog, name, height=512, width=512, options=["controlnet"])
    assert found.cause == f"--controlnet is not offered by {name}."


def test_pixart_guides_and_reads_texts_of_a_chosen_length(catalog):
    made = plan(catalog, "pixart", height=1024, width=512, sequence_length=120, batch_size=2)
    assert shapes(made.parts["text_encoder"].inputs) == {
        "input_ids": (2, 120),
        "attention_mask": (2, 120),
    }
    assert shapes(made.parts["transformer"].inputs) == {
        "hidden_states": (4, 4, 128, 64),
        "encoder_hidden_states": (4, 120, 4096),
        "timestep": (4,),
        "encoder_attention_mask": (4, 120),
        "added_cond_kwargs.resolution": (4, 2),
        "added_cond_kwargs.aspect_ratio": (4, 1),
    }
    assert shapes(made.parts["transformer"].outputs) == {"sample": (4, 8, 128, 64)}


def test_stable_diffusion_3_reads_a_prompt_of_clip_and_behind_it_one_of_t5(catalog):
    made = plan(catalog, "stable-diffusion-3", height=1024, width=1024, sequence_length=256)
    assert shapes(made.parts["text_encoder_3"].inputs)["input_ids"] == (1, 256)
    assert shapes(made.parts["transformer"].inputs) == {
        "hidden_states": (2, 16, 128, 128),
        "encoder_hidden_states": (2, 77 + 256, 4096),
        "pooled_projections": (2, 768 + 1280),
        "timestep": (2,),
    }


def test_stable_diffusion_3_without_t5_keeps_the_place_of_its_prompt(catalog):
    """`StableDiffusion3Pipeline.encode_prompt` puts zeros there."""
    without = ["text_encoder_3"]
    made = plan(catalog, "stable-diffusion-3", height=512, width=512, sequence_length=9, without=without)
    assert "text_encoder_3" not in made.parts
    assert shapes(made.parts["transformer"].inputs)["encoder_hidden_states"] == (2, 86, 4096)


def test_flux_packs_two_by_two_latents_into_a_token(catalog):
    made = plan(catalog, "flux", height=1024, width=768, sequence_length=512, batch_size=2)
    assert rows(made) == {"text_encoder": 2, "text_encoder_2": 2, "vae_decoder": 2, "transformer": 2}
    assert shapes(made.parts["vae_decoder"].inputs) == {"latent_sample": (2, 16, 128, 96)}
    taken = shapes(made.parts["transformer"].inputs)
    assert taken["hidden_states"] == (2, 64 * 48, 64)
    assert taken["img_ids"] == (64 * 48, 3)
    assert taken["encoder_hidden_states"] == (2, 512, 4096)
    assert taken["guidance"] == (2,)


def test_an_autoencoder_with_fewer_blocks_divides_less(catalog):
    vae = {**PIPELINES["stable-diffusion"]["vae_decoder"], "block_out_channels": [64, 64]}
    configs = {"vae_encoder": vae, "vae_decoder": vae}
    made = plan(catalog, "stable-diffusion", configs=configs, height=66, width=64)
    assert made.parts["unet"].inputs[0].shape == (2, 4, 33, 32)


@pytest.mark.parametrize(
    ("name", "height", "unit", "factor", "instead"),
    [
        ("stable-diffusion", 516, 8, "latent_scale", 512),
        ("stable-diffusion", 5, 8, "latent_scale", 8),
        ("flux", 520, 16, "latent_square", 512),
    ],
)
def test_size_that_is_no_multiple_is_refused_with_one_that_is(catalog, name, height, unit, factor, instead):
    sizes = {"sequence_length": 16} if name == "flux" else {}
    found = refused(catalog, name, height=height, width=512, **sizes)
    expected = f"height {height} is no multiple of {unit}, as this {name} model needs it ({factor})."
    assert (found.cause, found.remedy) == (expected, f"Use --height {instead}.")


def test_all_missing_sizes_are_named_with_a_ready_command(catalog):
    found = refused(catalog, "stable-diffusion", batch_size=3)
    assert found.cause == "stable-diffusion needs height and width: a compiled graph has fixed shapes."
    assert found.remedy == "Add for example: --batch_size 3 --height 512 --width 512"
    found = refused(catalog, "flux", width=768, height=512)
    assert found.cause == "flux needs sequence_length: a compiled graph has fixed shapes."
    assert found.remedy == "Add for example: --sequence_length 512 --height 512 --width 768"


def test_unknown_size_is_refused_with_those_that_there_are(catalog):
    found = refused(catalog, "stable-diffusion", **IMAGE, heigth=512)
    assert found.cause == "stable-diffusion has no axis 'heigth'; did you mean height?"
    assert found.remedy == (
        "Its axes are: batch_size, num_images_per_prompt, guidance_copies, height, width."
    )
    found = refused(catalog, "stable-diffusion", **IMAGE, latent_height=64)
    assert found.cause.startswith("stable-diffusion has no axis 'latent_height'; did you mean height")


@pytest.mark.parametrize("size", [0, -8, 512.0, "512", True])
def test_size_must_be_a_positive_whole_number(catalog, size):
    found = refused(catalog, "stable-diffusion", height=size, width=512)
    assert found.cause == f"height must be a positive whole number, not {size!r}."


def test_prompts_are_as_long_as_the_text_encoder_reads_them(catalog):
    clip = {**PIPELINES["stable-diffusion"]["text_encoder"], "max_position_embeddings": 32}
    made = plan(catalog, "stable-diffusion", configs={"text_encoder": clip}, **IMAGE)
    assert shapes(made.parts["unet"].inputs)["encoder_hidden_states"] == (2, 32, 768)


def test_config_of_a_folder_that_lacks_a_key_is_named(catalog):
    found = refused(catalog, "stable-diffusion", configs={"vae_encoder": {}, "vae_decoder": {}}, **IMAGE)
    assert found.cause.startswith("The model's config has no 'vae.block_out_channels'")


def test_tolerance_of_the_caller_counts_for_every_part(catalog):
    configs = PIPELINES["flux"]
    parts = parts_of(catalog.pipelines["flux"], frozenset())
    choices = PipelineChoices(axes={**IMAGE, "sequence_length": 16}, atol=1e-2)
    made = make_pipeline_plan(catalog, "flux", parts, configs, choices)
    assert {(part.atol, part.atol_from_caller) for part in made.parts.values()} == {(1e-2, True)}


@pytest.mark.parametrize("name", PIPELINES)
def test_tiny_pipeline_can_be_planned(catalog, name):
    pipeline = catalog.pipelines[name]
    options = {condition.option for part in pipeline.parts.values() if (condition := part.when)}
    parts = parts_of(pipeline, frozenset(options))
    tiny = {
        each: pipeline.tiny.configs.get(part.source or each, catalog.components[part.component].tiny.config)
        for each, part in parts.items()
    }
    defaults = {
        "addition_embed_type": None,
        "time_cond_proj_dim": None,
        "num_channels": 3,
        "conditioning_channels": 3,
    }
    configs = {each: {**defaults, **config} for each, config in tiny.items()}
    choices = PipelineChoices(axes=pipeline.tiny.axes, options=frozenset(options))
    made = make_pipeline_plan(catalog, name, parts, configs, choices)
    assert list(made.parts) == list(parts)
    assert made.axes.items() >= pipeline.tiny.axes.items()
