"""What diffusers does by itself, exported pipelines do too: each call gives the images of the eager one."""

import inspect
import warnings

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from PIL import Image
from tests.runtime.diffusion.twins import COPY, agree, images, picture, quiet, shown

from neuron_catalog.exporting import backends

pytestmark = pytest.mark.filterwarnings(COPY)


XL = pytest.param("xl", marks=pytest.mark.slow)
"""It takes twice the time of the others."""


@pytest.fixture(scope="module")
def sd(twins):
    """Stable Diffusion with a ControlNet: (twins, ours, theirs)."""
    twin = twins("stable-diffusion", ("tiny",))
    return twin, twin.ours(), twin.theirs()


@pytest.fixture(scope="module")
def xl(twins):
    twin = twins("stable-diffusion-xl", ("tiny",))
    return twin, twin.ours(), twin.theirs()


@pytest.fixture(scope="module")
def flux(twins):
    twin = twins("flux")
    return twin, twin.ours(), twin.theirs()


@pytest.fixture(scope="module")
def sd3(twins):
    twin = twins("stable-diffusion-3")
    return twin, twin.ours(), twin.theirs()


def hold(trio, **change):
    """Compare the images of a call; returns ours."""
    twin, ours, theirs = trio
    asked = twin.asked(**change)
    asked = {key: value for key, value in asked.items() if value is not ...}
    left_out = {"height", "width", "max_sequence_length", "num_images_per_prompt", "use_resolution_binning"}
    made = images(ours, **{key: value for key, value in asked.items() if key not in left_out})
    agree(made, images(theirs, **asked))
    return made


def test_sizes_that_were_fixed_at_export_may_be_left_out_or_said(sd):
    twin, ours, _ = sd
    assert np.array_equal(hold(sd), images(ours, **twin.asked()))


@pytest.mark.parametrize(
    "change",
    [
        {"negative_prompt": None},
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.0, "negative_prompt": None},
        {"guidance_scale": 12.0},
        {"guidance_rescale": 0.7},
        {"num_inference_steps": 2},
        {"timesteps": [900, 500, 100], "num_inference_steps": None},
    ],
    ids=shown,
)
def test_arguments_of_stable_diffusion(change, sd):
    if "timesteps" in change:
        twin, ours, theirs = sd
        given = {"scheduler": EulerDiscreteScheduler.from_config(ours.scheduler.config)}
        sd = twin, twin.ours(**given), twin.theirs(**given)
    hold(sd, **change)


def another(kind, scheduler):
    """Return a scheduler of another kind with the settings of one."""
    unused = {"clip_sample": False} if kind is DDIMScheduler else {}
    return kind.from_config(scheduler.config, **unused)


@pytest.mark.parametrize("kind", [DDIMScheduler, EulerDiscreteScheduler, EulerAncestralDiscreteScheduler])
def test_a_scheduler_can_be_given_and_set(kind, sd):
    twin, plain, _ = sd
    made = another(kind, plain.scheduler)
    ours, theirs = twin.ours(scheduler=made), twin.theirs(scheduler=made)
    first = hold((twin, ours, theirs))
    later = twin.ours()
    later.scheduler = another(kind, later.scheduler)
    assert np.array_equal(images(later, **twin.asked()), first)
    assert not np.array_equal(images(plain, **twin.asked()), first)


@pytest.mark.parametrize("pipeline", ["sd", XL, "flux"])
def test_a_callback_sees_each_step_and_may_change_the_latents(pipeline, request):
    trio = request.getfixturevalue(pipeline)
    seen = []

    def halve(pipe, step, timestep, given):
        seen.append((type(pipe).__name__, step, int(timestep)))
        return {"latents": given["latents"] * 0.9}

    changed = hold(trio, callback_on_step_end=halve, callback_on_step_end_tensor_inputs=["latents"])
    middle = len(seen) // 2
    assert [each[1:] for each in seen[:middle]] == [each[1:] for each in seen[middle:]]
    assert middle in (4, 5)  # PNDM takes a step twice
    assert seen[0][0].startswith("Neuron")
    assert not np.array_equal(changed, hold(trio))


@pytest.mark.filterwarnings("ignore:`callback:FutureWarning")
def test_the_older_callback_is_taken_where_diffusers_takes_it(sd):
    seen = []
    hold(sd, callback=lambda step, timestep, latents: seen.append(step), callback_steps=2)
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]
    assert seen


def test_a_callback_may_switch_guidance_off(sd):
    """The denoiser has half as many rows from then on."""

    def stop_guiding(pipe, step, timestep, given):
        if step == 1:
            given["prompt_embeds"] = given["prompt_embeds"].chunk(2)[-1]
            pipe._guidance_scale = 0.0
        return given

    names = ["latents", "prompt_embeds"]
    hold(sd, callback_on_step_end=stop_guiding, callback_on_step_end_tensor_inputs=names)


def test_a_run_can_be_interrupted(sd):
    twin, ours, theirs = sd

    def stop(pipe, step, timestep, given):
        pipe._interrupt = step == 1
        return given

    agree(
        images(ours, **twin.asked(callback_on_step_end=stop)),
        images(theirs, **twin.asked(callback_on_step_end=stop)),
    )


@pytest.mark.parametrize("pipeline", ["sd", XL, "flux"])
def test_one_generator_for_each_image(pipeline, request):
    twin, ours, theirs = request.getfixturevalue(pipeline)
    answers = [
        images(each, **twin.asked(generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)]))
        for each in (ours, theirs)
    ]
    agree(*answers)


@pytest.mark.parametrize("pipeline", ["sd", XL, "flux"])
def test_latents_can_be_given(pipeline, request):
    trio = request.getfixturevalue(pipeline)
    shape = trio[1](**trio[0].asked(output_type="latent")).images.shape
    hold(trio, latents=torch.randn(shape, generator=torch.Generator().manual_seed(8)))


def test_a_prompt_may_be_given_as_embeddings(sd):
    twin, ours, theirs = sd
    found = ours.encode_prompt(twin.asked()["prompt"], "cpu", 1, True, twin.asked()["negative_prompt"])
    named = {"prompt": None, "negative_prompt": None, "prompt_embeds": found[0]}
    same = hold(sd, **named, negative_prompt_embeds=found[1])
    assert np.abs(same - images(ours, **twin.asked())).max() <= 1e-5


def test_a_prompt_may_be_given_as_embeddings_to_xl(xl):
    twin, ours, theirs = xl
    names = ("prompt", "negative_prompt", "pooled_prompt", "negative_pooled_prompt")
    found = ours.encode_prompt(twin.asked()["prompt"], negative_prompt=twin.asked()["negative_prompt"])
    given = {f"{name}_embeds": each for name, each in zip(names, found, strict=True)}
    hold(xl, prompt=None, negative_prompt=None, **given)


def test_a_prompt_may_be_given_as_embeddings_to_flux(flux):
    twin, ours, theirs = flux
    prompt, pooled, _ = ours.encode_prompt(twin.asked()["prompt"], None, max_sequence_length=24)
    hold(flux, prompt=None, negative_prompt=None, prompt_embeds=prompt, pooled_prompt_embeds=pooled)


def test_a_negative_text_may_be_one_for_all_prompts(xl):
    hold(xl, negative_prompt="blurred")
    hold(xl, negative_prompt="blurred", negative_prompt_2="dark", prompt_2=["a cat", "a dog"])


@pytest.mark.parametrize(
    "change",
    [
        {"clip_skip": 1},
        {"guidance_scale": 1.0},
        {"guidance_rescale": 0.5},
        {"denoising_end": 0.5},
        {"original_size": (100, 80), "crops_coords_top_left": (10, 4), "target_size": (64, 40)},
        {"negative_original_size": (32, 32), "negative_target_size": (90, 90)},
        {"negative_prompt": None},
    ],
    ids=shown,
)
def test_arguments_of_stable_diffusion_xl(change, xl):
    plain = images(xl[1], **xl[0].asked())
    assert not np.array_equal(hold(xl, **change), plain)


def test_one_pipeline_begins_what_another_ends(xl):
    twin, ours, theirs = xl
    second = twin.kind("image-to-image").from_pipe(ours), twin.theirs("image-to-image")
    made = []
    for first, last in zip((ours, theirs), second, strict=True):
        last.set_progress_bar_config(disable=True)
        begun = images_of_latents(first, twin, denoising_end=0.6)
        asked = twin.asked("image-to-image", denoising_start=0.6, image=begun, strength=0.5)
        made.append(images(last, **asked))
    agree(*made)


def images_of_latents(pipeline, twin, **change):
    generator = torch.Generator().manual_seed(3)
    return pipeline(**twin.asked(**change), generator=generator, output_type="latent").images


@pytest.mark.parametrize(
    "change", [{"true_cfg_scale": 3.0}, {"guidance_scale": 1.0}, {"negative_prompt": None}], ids=shown
)
def test_arguments_of_flux(change, flux):
    hold(flux, **change)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"clip_skip": 1}, {"guidance_scale": 1.0}, {"negative_prompt": "blurred"}, {"prompt_3": ["a", "b c d"]}],
    ids=shown,
)
def test_arguments_of_stable_diffusion_3(change, sd3):
    plain = images(sd3[1], **sd3[0].asked())
    assert np.array_equal(hold(sd3, **change), plain) == (change == {"negative_prompt": "blurred"})


def test_several_images_of_one_prompt(twins):
    twin = twins("stable-diffusion", batch_size=1, num_images_per_prompt=2, guidance_copies=1)
    trio = twin, twin.ours(), twin.theirs()
    for prompt, negative in ((["a cat"], None), ("a cat", None)):
        made = hold(trio, prompt=prompt, negative_prompt=negative, guidance_scale=1.0)
        assert len(made) == 2
    assert not np.array_equal(made[0], made[1])


@pytest.mark.slow
def test_several_images_of_each_prompt_of_flux(twins):
    twin = twins("flux", num_images_per_prompt=2)
    made = hold((twin, twin.ours(), twin.theirs()), true_cfg_scale=2.0)
    assert len(made) == 4


def test_images_come_as_they_are_asked_for(sd):
    twin, ours, theirs = sd
    latent = [images_of_latents(each, twin) for each in (ours, theirs)]
    assert latent[0].shape == (2, 4, 8, 6)
    assert torch.allclose(*latent, atol=1e-4)
    pictures = ours(**twin.asked(), output_type="pil").images
    assert [(type(each), each.size) for each in pictures] == [(Image.Image, (48, 64))] * 2
    answer = ours(**twin.asked(), output_type="np", return_dict=False)
    assert isinstance(answer, tuple)
    assert answer[0].shape == (2, 64, 48, 3)


def test_a_prompt_may_come_first_as_with_diffusers(sd):
    twin, ours, _ = sd
    prompts = twin.asked()["prompt"]
    asked = {"num_inference_steps": 2}
    assert np.array_equal(images(ours, prompt=prompts, **asked), first(ours, prompts, **asked))


def first(pipeline, *args, **asked):
    generator = torch.Generator().manual_seed(3)
    return pipeline(*args, **asked, generator=generator, output_type="np").images


def test_progress_is_shown_as_by_diffusers(sd, capsys):
    twin, _, _ = sd
    loud = twin.ours()
    loud.set_progress_bar_config(disable=False)
    loud(**twin.asked(num_inference_steps=2), output_type="latent")
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize("pipeline", ["sd", XL])
@pytest.mark.parametrize(
    "change",
    [
        {"controlnet_conditioning_scale": 0.0},
        {"controlnet_conditioning_scale": 1.7},
        {"control_guidance_start": 0.3, "control_guidance_end": 0.6},
        {"guess_mode": True},
        {"guess_mode": True, "controlnet_conditioning_scale": 0.6, "guidance_scale": 1.0},
        {"image": [picture(64, 48, 1), picture(64, 48, 2)]},
    ],
    ids=shown,
)
def test_arguments_of_a_controlnet(change, pipeline, request):
    twin, plain, _ = request.getfixturevalue(pipeline)
    ours, theirs = quiet(twin.kind("controlnet").from_pipe(plain)), twin.theirs("controlnet")
    asked = twin.asked("controlnet", **change)
    made = images(ours, **asked)
    agree(made, images(theirs, **asked))
    assert not np.array_equal(made, images(ours, **twin.asked("controlnet")))


@pytest.mark.parametrize("pipeline", ["sd", XL])
@pytest.mark.parametrize("use", ["image-to-image", "inpainting"])
@pytest.mark.parametrize("change", [{"strength": 0.4}, {"guidance_scale": 1.0}], ids=str)
def test_arguments_of_images_that_are_changed(pipeline, use, change, request):
    twin, plain, _ = request.getfixturevalue(pipeline)
    asked = twin.asked(use, **change)
    agree(images(twin.kind(use).from_pipe(plain), **asked), images(twin.theirs(use), **asked))


@pytest.mark.filterwarnings("ignore:You have passed 2 text prompts:FutureWarning")
def test_an_image_may_be_an_array_a_tensor_or_latents(sd):
    twin, plain, _ = sd
    use = "image-to-image"
    ours, theirs = twin.kind(use).from_pipe(plain), twin.theirs(use)
    array = np.stack([np.asarray(picture(64, 48, seed)) for seed in (0, 1)]) / np.float32(255)
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
    latents = torch.randn(2, 4, 8, 6, generator=torch.Generator().manual_seed(4))
    for image in (array, tensor, latents, picture(64, 48)):
        asked = twin.asked(use, image=image)
        agree(images(ours, **asked), images(theirs, **asked))


def test_what_only_saves_memory_changes_nothing(sd):
    twin, plain, _ = sd
    ours = twin.ours()
    ours.enable_attention_slicing()
    ours.vae.enable_tiling()
    ours.vae.enable_slicing()
    ours.enable_model_cpu_offload()
    ours.enable_sequential_cpu_offload()
    ours.enable_xformers_memory_efficient_attention()
    assert ours.to("cpu") is ours
    assert ours.to(torch.float32, device="cpu") is ours
    assert np.array_equal(images(ours, **twin.asked()), images(plain, **twin.asked()))


def test_it_describes_itself_as_diffusers_does(sd):
    twin, ours, theirs = sd
    assert (ours.device.type, ours.dtype) == ("cpu", torch.float32)
    assert repr(ours).startswith("NeuronStableDiffusionPipeline {")
    assert isinstance(ours, diffusers.StableDiffusionPipeline)
    assert set(ours.components) == set(theirs.components)
    own, eager = dict(ours.config), dict(theirs.config)
    for name in ours.components:
        assert own[name] == eager[name]
    assert {name: type(each).__name__ for name, each in ours.components.items()} == {
        name: type(each).__name__ for name, each in theirs.components.items()
    }
    kept = {name: value for name, value in ours.unet.config.items() if name in theirs.unet.config}
    assert kept | {"_name_or_path": None} == theirs.unet.config | {"_name_or_path": None}
    assert all(each.device.type == "meta" for each in ours.unet.parameters())


def test_parts_are_shared_by_another_use(sd):
    twin, ours, _ = sd
    scheduler = another(DDIMScheduler, ours.scheduler)
    other = twin.kind("image-to-image").from_pipe(ours, scheduler=scheduler)
    assert other.unet is ours.unet
    assert isinstance(other.scheduler, DDIMScheduler)
    theirs = twin.theirs("image-to-image", scheduler=other.scheduler)
    asked = twin.asked("image-to-image")
    agree(images(other, **asked), images(theirs, **asked))


def test_a_warm_call_builds_nothing_anew(sd, monkeypatch):
    twin, ours, _ = sd
    expected = images(ours, **twin.asked())

    def refuse(*args, **kwargs):
        raise AssertionError("something is built")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    monkeypatch.setattr(torch.jit, "load", refuse)
    monkeypatch.setattr(backends, "backend_of", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    assert np.array_equal(images(ours, **twin.asked()), expected)


def test_the_classes_of_other_packages_are_left_alone(twins):
    """Each shell has a class of its own: those of diffusers and transformers are as they were."""
    import transformers

    kinds = [
        diffusers.UNet2DConditionModel,
        diffusers.AutoencoderKL,
        diffusers.ControlNetModel,
        diffusers.MultiControlNetModel,
        diffusers.StableDiffusionPipeline,
        diffusers.StableDiffusionControlNetPipeline,
        diffusers.DiffusionPipeline,
        diffusers.ModelMixin,
        diffusers.models.modeling_utils.ModelMixin,
        transformers.CLIPTextModel,
        transformers.PreTrainedModel,
        torch.nn.Module,
    ]
    before = [dict(vars(kind)) for kind in kinds]
    filters = list(warnings.filters)
    twin = twins("stable-diffusion", ("tiny",))
    images(twin.ours("controlnet"), **twin.asked("controlnet"))
    for kind, own in zip(kinds, before, strict=True):
        now = dict(vars(kind))
        assert set(now) == set(own), kind
        assert [name for name in own if now[name] is not own[name]] == [], kind
    assert warnings.filters == filters
    assert type(twin.modules["unet"]) is diffusers.UNet2DConditionModel
    assert "forward" not in vars(twin.modules["unet"])
    assert inspect.getmodule(diffusers.UNet2DConditionModel.forward).__name__.startswith("diffusers")
