"""What an exported pipeline cannot do is refused, before any graph runs, with the cause and a remedy."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.runtime.diffusion.twins import COPY, picture, shown

import neuron_catalog
from neuron_catalog import (
    NeuronAutoModel,
    NeuronModelForFeatureExtraction,
    RequestError,
    UsageError,
    VerificationError,
    load_artifact,
)
from neuron_catalog.exporting.exporter import export
from neuron_catalog.exporting.request import ExportRequest

pytestmark = pytest.mark.filterwarnings(COPY)

LONG = "cat " * 90


def refused(call, *args, kind=RequestError, **given):
    """Return what a refusal says."""
    with pytest.raises(kind) as error:
        call(*args, **given)
    return error.value.cause, error.value.remedy


@pytest.fixture(scope="module")
def sd(twins):
    return twins("stable-diffusion", ("tiny",)).ours()


@pytest.fixture(scope="module")
def flux(twins):
    return twins("flux").ours()


TWO = ["a cat", "a dog"]


@pytest.mark.parametrize(
    ("given", "cause", "remedy"),
    [
        (
            {"height": 72},
            "height is 72; the pipeline was exported for 64.",
            "Leave height out, or export with --height 72.",
        ),
        (
            {"width": 64},
            "width is 64; the pipeline was exported for 48.",
            "Leave width out, or export with --width 64.",
        ),
        (
            {"num_images_per_prompt": 2},
            "num_images_per_prompt is 2; the pipeline was exported for 1.",
            "Leave num_images_per_prompt out, or export with --num_images_per_prompt 2.",
        ),
        (
            {"prompt": "a cat"},
            "prompt has 1; the pipeline was exported for 2 prompts at a time.",
            "Give 2 prompts, or export with --batch_size 1.",
        ),
        (
            {"prompt": ["a", "b", "c"]},
            "prompt has 3; the pipeline was exported for 2 prompts at a time.",
            "Give 2 prompts, or export with --batch_size 3.",
        ),
        (
            {"negative_prompt": ["blurred"]},
            "negative_prompt has 1; the pipeline was exported for 2 prompts at a time.",
            "Give 2 prompts, or export with --batch_size 1.",
        ),
        (
            {"prompt": None, "prompt_embeds": torch.zeros(1, 77, 32)},
            "prompt_embeds has 1; the pipeline was exported for 2 prompts at a time.",
            "Give 2 prompts, or export with --batch_size 1.",
        ),
        (
            {"latents": torch.zeros(2, 4, 8, 8)},
            "latents has 2 x … x 8 x 8; the pipeline was exported for 2 x … x 8 x 6.",
            "Leave latents out, or draw them of this size.",
        ),
        (
            {"ip_adapter_image": picture(64, 48)},
            "IP-Adapters are not exported.",
            "Leave ip_adapter_image out.",
        ),
        (
            {"cross_attention_kwargs": {"scale": 0.5}},
            "Attention has no further arguments in a compiled graph.",
            "Leave cross_attention_kwargs out.",
        ),
        (
            {"clip_skip": 0},
            "clip_skip takes an inner state of the text encoder, which is not exported.",
            "Leave clip_skip out.",
        ),
        (
            {"clip_skip": 1},
            "clip_skip takes an inner state of the text encoder, which is not exported.",
            "Leave clip_skip out.",
        ),
    ],
    ids=shown,
)
def test_arguments_that_do_not_fit_stable_diffusion(given, cause, remedy, sd, idle):
    assert refused(sd, **{"prompt": TWO} | given) == (cause, remedy)


def test_an_unknown_argument_is_not_dropped(sd, flux, idle):
    for pipeline in (sd, flux):
        cause, remedy = refused(pipeline, TWO, guidance_scal=3.0, kind=UsageError)
        assert cause.startswith("The pipeline takes no argument 'guidance_scal'; did you mean guidance_scale")
        assert remedy == "Leave it out."
    assert "takes no argument 'callback'" in refused(flux, TWO, callback=print, kind=UsageError)[0]


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_a_prompt_that_would_be_cut(name, sd, idle):
    cause, remedy = refused(sd, **{"prompt": TWO, name: ["short", LONG]})
    assert cause.startswith(f"{name} has ")
    assert cause.endswith(f" tokens; the pipeline reads at most 77: {LONG[:40]!r}…")
    assert remedy == "Shorten it."


def test_a_prompt_that_only_one_of_two_encoders_cuts(twins, idle):
    flux = twins("flux", sequence_length=400).ours()
    asked = {"prompt": [LONG, "short"]}
    limits = [name for name, plan in flux._exported.plans.items() if plan.axes.get("sequence_length") == 400]
    assert "text_encoder_2" in limits
    assert flux.completed(**asked)["prompt"] == asked["prompt"]
    cause, _ = refused(flux, **asked, prompt_2=["a", "b"])
    assert cause.startswith("prompt has ") and "at most 77" in cause  # noqa: PT018
    cause, _ = refused(flux, prompt=TWO, prompt_2=[LONG * 3, "b"])
    assert cause.startswith("prompt_2 has ") and "at most 400" in cause  # noqa: PT018


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"max_sequence_length": 512}, "max_sequence_length is 512; the pipeline was exported for 24."),
        (
            {"joint_attention_kwargs": {"scale": 2.0}},
            "Attention has no further arguments in a compiled graph.",
        ),
        ({"negative_ip_adapter_image": picture(64, 48)}, "IP-Adapters are not exported."),
        ({"prompt_2": ["one"]}, "prompt_2 has 1; the pipeline was exported for 2 prompts at a time."),
        ({"prompt_2": "one"}, "prompt_2 has 1; the pipeline was exported for 2 prompts at a time."),
        (
            {"latents": torch.zeros(2, 16, 64)},
            "latents has 2 x … x 16 x 64; the pipeline was exported for 2 x … x 12 x 64.",
        ),
    ],
    ids=shown,
)
def test_arguments_that_do_not_fit_flux(given, cause, flux, idle):
    assert refused(flux, TWO, **given)[0] == cause


def test_layers_cannot_be_skipped(twins, idle):
    pipeline = twins("stable-diffusion-3").ours()
    assert refused(pipeline, TWO, skip_guidance_layers=[1]) == (
        "A compiled graph cannot leave out layers.",
        "Leave skip_guidance_layers out.",
    )


def test_sizes_are_not_rounded(twins, idle):
    pipeline = twins("pixart").ours()
    assert refused(pipeline, TWO, use_resolution_binning=True) == (
        "use_resolution_binning can only be False: sizes are fixed at export.",
        "Leave it out.",
    )


@pytest.mark.parametrize(
    "image",
    [
        picture(72, 48),
        [picture(64, 48), picture(64, 56)],
        np.zeros((2, 72, 48, 3), dtype=np.float32),
        torch.zeros(2, 3, 64, 56),
        torch.zeros(2, 4, 8, 8),
    ],
    ids=["larger", "second larger", "array", "tensor", "latents"],
)
@pytest.mark.parametrize("name", ["stable-diffusion", "stable-diffusion-xl"])
def test_an_image_of_another_size(image, name, twins, idle):
    pipeline = twins(name, ("tiny",)).ours("image-to-image")
    cause, remedy = refused(pipeline, TWO, image=image)
    assert cause.startswith("The image has ")
    assert cause.endswith("the pipeline was exported for 64 x 48 (height x width).")
    assert remedy == "Resize it."


def test_guidance_without_room_for_it(twins, idle):
    twin = twins("stable-diffusion", batch_size=1, num_images_per_prompt=2, guidance_copies=1)
    for given in ({}, {"guidance_scale": 3.0}):
        assert refused(twin.ours(), "a cat", **given) == (
            f"guidance_scale is {given.get('guidance_scale', 7.5)}; "
            "the pipeline was exported without room for guidance.",
            "Give guidance_scale=1.0, or export with --guidance_copies 2.",
        )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda pipe: pipe.to("cuda"), "cannot be moved to cuda"),
        (lambda pipe: pipe.to(torch.float16), "computes in float32, not in torch.float16"),
        (lambda pipe: pipe.to("cpu", torch.bfloat16), "computes in float32, not in torch.bfloat16"),
        (lambda pipe: pipe.unet.to("cuda"), "cannot be moved to cuda"),
        (lambda pipe: pipe.unet.half(), "computes in float32"),
        (lambda pipe: pipe.unet.cuda(), "cannot be moved to cuda"),
        (lambda pipe: pipe.vae.to(dtype=torch.float16), "computes in float32"),
        (lambda pipe: pipe.load_lora_weights("x"), "LoRA adapters are merged at export only"),
        (lambda pipe: pipe.load_ip_adapter("x"), "IP-Adapters are not exported"),
        (lambda pipe: pipe.load_textual_inversion("x"), "embeddings of a compiled text encoder are fixed"),
        (lambda pipe: pipe.enable_freeu(0.9, 0.2, 1.2, 1.4), "enable_freeu of UNet2DConditionModel"),
        (lambda pipe: pipe.fuse_qkv_projections(), "fuse_qkv_projections of UNet2DConditionModel"),
        (lambda pipe: pipe.vae.fuse_qkv_projections(), "fuse_qkv_projections of AutoencoderKL"),
        (lambda pipe: pipe.unet.add_adapter(None), "add_adapter of UNet2DConditionModel"),
        (lambda pipe: pipe.unet.set_attn_processor(None), "set_attn_processor of UNet2DConditionModel"),
        (lambda pipe: pipe.unet.load_state_dict({}), "load_state_dict of UNet2DConditionModel"),
        (lambda pipe: pipe.text_encoder.load_state_dict({}), "load_state_dict of CLIPTextModel"),
        (lambda pipe: pipe.unet.save_pretrained("x"), "has no weights to save"),
        (lambda pipe: pipe.from_single_file("x.safetensors"), "is a folder, not a single file"),
        (lambda pipe: pipe.from_pipe(object()), "object is no exported pipeline"),
    ],
)
def test_what_would_change_compiled_parts(call, said, sd, idle):
    cause, remedy = refused(call, sd)
    assert said in cause
    assert remedy


def test_the_half_of_a_vae_that_is_not_exported(flux):
    assert refused(flux.vae.encode, torch.zeros(1, 3, 64, 48)) == (
        "The part of the VAE that can encode is not exported.",
        "Do it with diffusers.",
    )


def test_another_use_takes_only_components(sd, twins):
    kind = twins("stable-diffusion", ("tiny",)).kind("inpainting")
    assert "strength can be chosen" in refused(kind.from_pipe, sd, strength=0.3, kind=UsageError)[0]


def test_a_class_that_does_not_serve_an_artifact(twins, idle):
    twin = twins("stable-diffusion", ("tiny",))
    assert refused(neuron_catalog.NeuronFluxPipeline.from_pretrained, twin.folder) == (
        f"{twin.folder} is an exported stable-diffusion, which NeuronFluxPipeline does not serve.",
        "Load it with NeuronStableDiffusionPipeline or NeuronStableDiffusionImg2ImgPipeline or "
        "NeuronStableDiffusionInpaintPipeline or NeuronStableDiffusionControlNetPipeline.",
    )
    assert "does not serve" in refused(neuron_catalog.NeuronFluxPipeline.from_pipe, twin.ours())[0]


def test_an_artifact_without_a_controlnet(twins):
    twin = twins("stable-diffusion", batch_size=1, num_images_per_prompt=2, guidance_copies=1)
    kind = neuron_catalog.NeuronStableDiffusionControlNetPipeline
    for call, what in ((kind.from_pretrained, twin.folder), (kind.from_pipe, twin.ours())):
        assert refused(call, what) == (
            f"{kind.__name__} needs a part that {twin.folder} is exported without: controlnet.",
            "Load it with NeuronStableDiffusionPipeline or NeuronStableDiffusionImg2ImgPipeline or "
            "NeuronStableDiffusionInpaintPipeline, or export with controlnet_ids.",
        )


@pytest.fixture
def copy(twins, tmp_path):
    """A copy of an artifact that may be damaged: (folder, load)."""
    folder = shutil.copytree(twins("flux").folder, tmp_path / "flux")
    return folder, lambda: neuron_catalog.NeuronFluxPipeline.from_pretrained(folder)


def test_a_part_that_is_missing(copy):
    folder, load = copy
    shutil.rmtree(folder / "vae_decoder")
    assert refused(load, kind=VerificationError) == (
        f"The artifact {folder} was altered after it was exported: "
        "vae_decoder: neuron_catalog.json is missing.",
        "Do not use it; copy it again or export again.",
    )


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("transformer/model.pt", "transformer: model.pt has another digest"),
        ("transformer/neuron_catalog.json", "transformer: neuron_catalog.json has another digest"),
        ("scheduler/scheduler_config.json", "scheduler/scheduler_config.json has another digest"),
        ("model_index.json", "model_index.json has another digest"),
    ],
)
def test_a_damaged_file(file, said, copy):
    folder, load = copy
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).unlink()
    (folder / file).write_bytes(content)
    loaded = refused(load, kind=VerificationError)[0]
    assert loaded == f"The artifact {folder} was altered after it was exported: {said}."


def test_a_damaged_artifact_is_not_saved(copy, tmp_path):
    folder, load = copy
    pipeline = load()
    (folder / "vae_decoder" / "config.json").unlink()
    refused(pipeline.save_pretrained, tmp_path / "saved", kind=VerificationError)
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    "content", ["{", '{"pipeline": "flux"}', '{"pipeline": "flux", "format": 99}', "[]", '"pipeline"']
)
def test_a_manifest_that_cannot_be_read(content, copy):
    folder, load = copy
    (folder / "neuron_catalog.json").unlink()
    (folder / "neuron_catalog.json").write_text(content)
    cause, remedy = refused(load)
    assert str(folder) in cause
    assert remedy


@pytest.fixture(scope="module")
def bert(catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert") / "bert"
    return export(ExportRequest(architecture="bert", task="fill-mask", out=folder), catalog).folder


def test_one_model_is_no_pipeline(bert):
    assert refused(neuron_catalog.NeuronFluxPipeline.from_pretrained, bert) == (
        f"{bert} is one model, bert for fill-mask, not a whole pipeline.",
        "Load it with NeuronModelForMaskedLM.",
    )


def test_a_part_is_no_pipeline(twins):
    part = twins("flux").folder / "transformer"
    cause, remedy = refused(neuron_catalog.NeuronFluxPipeline.from_pretrained, part)
    assert cause == f"{part} is one model, flux-transformer-2d, not a whole pipeline."
    assert remedy == "Load it with load_artifact."
    assert load_artifact(part).manifest.plan.architecture == "flux-transformer-2d"


@pytest.mark.parametrize(
    "load",
    [NeuronModelForFeatureExtraction.from_pretrained, NeuronAutoModel.from_pretrained, load_artifact],
    ids=["NeuronModelForFeatureExtraction", "NeuronAutoModel", "load_artifact"],
)
def test_a_pipeline_is_not_one_model(load, twins):
    folder = twins("flux").folder
    assert refused(load, folder) == (
        f"{folder} is a whole pipeline, whose parts are artifacts each.",
        "Load it with NeuronFluxPipeline.",
    )


def test_nothing_at_all(tmp_path):
    kind = neuron_catalog.NeuronFluxPipeline
    assert refused(kind.from_pretrained, tmp_path)[0] == (
        f"{tmp_path} is no exported pipeline: it has no neuron_catalog.json of one."
    )
    assert refused(kind.from_pretrained, tmp_path / "nowhere")[1]


def test_arguments_of_an_export_for_an_artifact(twins):
    folder = twins("flux").folder
    cause, remedy = refused(
        neuron_catalog.NeuronFluxPipeline.from_pretrained, folder, height=64, lora_scales=1, kind=UsageError
    )
    assert cause == (
        "height, lora_scales can be chosen at export only; an artifact has its sizes and options in it."
    )
    assert remedy == "Leave them out, or add export=True to export a checkpoint."


def test_without_diffusers_the_extra_is_named():
    code = """
import sys
sys.modules["diffusers"] = None
import neuron_catalog
try:
    neuron_catalog.NeuronFluxPipeline
except neuron_catalog.RequestError as error:
    print(error)
neuron_catalog.NeuronModelForMaskedLM, neuron_catalog.NeuronAutoModel
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "NeuronFluxPipeline needs the package diffusers, which is not installed.\n"
        'Install it with: pip install "neuron-catalog[diffusion]"\n'
    )
