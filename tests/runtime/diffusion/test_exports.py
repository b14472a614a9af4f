"""`from_pretrained(export=True)` on a checkpoint of diffusers, and what becomes of the artifact."""

import copy
import gc
import re

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    EulerDiscreteScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict
from tests.runtime.diffusion.twins import COPY, agree, images, picture, quiet, shown
from transformers import CLIPConfig, CLIPImageProcessor

import neuron_catalog
from neuron_catalog import RequestError, UsageError
from neuron_catalog.models.components import TinyComponentSource
from neuron_catalog.signing import SIGNATURE

pytestmark = pytest.mark.filterwarnings(COPY)

SIZES = {"height": 64, "width": 48}


@pytest.fixture(scope="module")
def checkpoint(twins, tmp_path_factory):
    """A folder that save_pretrained of the eager pipeline wrote."""
    folder = tmp_path_factory.mktemp("checkpoint") / "sd"
    twins("stable-diffusion", ("tiny",)).theirs().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def nets(catalog, tmp_path_factory):
    """Folders of two ControlNets with different weights."""
    folders = [tmp_path_factory.mktemp("nets") / str(seed) for seed in (11, 12)]
    for seed, folder in zip((11, 12), folders, strict=True):
        TinyComponentSource.of(catalog.components["controlnet"], seed).module().save_pretrained(folder)
    return folders


@pytest.fixture(scope="module")
def adapter(twins, tmp_path_factory):
    """A folder with a LoRA adapter of the U-Net."""
    unet = copy.deepcopy(twins("stable-diffusion", ("tiny",)).modules["unet"])
    torch.manual_seed(5)
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    folder = tmp_path_factory.mktemp("adapter")
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return folder


@pytest.fixture(scope="module")
def ours(checkpoint):
    return quiet(
        neuron_catalog.NeuronStableDiffusionPipeline.from_pretrained(checkpoint, export=True, **SIZES)
    )


@pytest.fixture(scope="module")
def theirs(checkpoint):
    return quiet(StableDiffusionPipeline.from_pretrained(checkpoint))


ASKED = {"prompt": "a cat on a mat", "num_inference_steps": 3}


def test_a_checkpoint_is_exported_and_makes_its_images(ours, theirs):
    assert ours.composition.source.kind == "checkpoint"
    agree(images(ours, **ASKED), images(theirs, **ASKED, **SIZES))


def test_several_controlnets_adapters_and_another_scheduler(checkpoint, nets, adapter):
    scheduler = EulerDiscreteScheduler()
    ours = quiet(
        neuron_catalog.NeuronStableDiffusionControlNetPipeline.from_pretrained(
            checkpoint,
            export=True,
            controlnet_ids=nets,
            lora_model_ids=str(adapter),
            lora_scales=0.7,
            scheduler=scheduler,
            **SIZES,
        )
    )
    assert list(ours.composition.parts)[-3:] == ["controlnet", "controlnet_1", "unet"]
    assert [each.scale for each in ours.composition.source.adapters] == [0.7]
    modules = [ControlNetModel.from_pretrained(folder) for folder in nets]
    theirs = quiet(
        StableDiffusionControlNetPipeline.from_pretrained(checkpoint, controlnet=modules, scheduler=scheduler)
    )
    theirs.load_lora_weights(adapter, adapter_name="style")
    theirs.set_adapters(["style"], [0.7])
    asked = ASKED | {"image": [picture(64, 48, 1), picture(64, 48, 2)]}
    made = []
    for scales in ([0.4, 1.3], [1.3, 0.4]):
        change = {"controlnet_conditioning_scale": scales, "control_guidance_end": [1.0, 0.7]}
        made.append(images(ours, **asked, **change))
        agree(made[-1], images(theirs, **asked, **change))
    assert not np.allclose(*made, atol=0.01)
    guessed = asked | {"guess_mode": True}
    agree(images(ours, **guessed), images(theirs, **guessed))
    theirs.unload_lora_weights()
    assert np.abs(images(theirs, **asked, **change) - made[-1]).max() > 0.01


def test_an_artifact_is_saved_byte_for_byte_and_loaded_again(ours, tmp_path):
    folder = ours.save_pretrained(tmp_path / "saved")
    assert content(folder) == content(ours.folder)
    loaded = quiet(neuron_catalog.NeuronStableDiffusionPipeline.from_pretrained(str(folder)))
    assert loaded.composition == ours.composition
    assert np.array_equal(images(loaded, **ASKED), images(ours, **ASKED))
    with pytest.raises(RequestError, match="is not empty"):
        ours.save_pretrained(folder)
    loaded.save_pretrained(folder, overwrite=True)  # onto itself
    assert content(folder) == content(ours.folder)


def test_the_signature_of_a_pipeline_is_saved_with_it(ours, tmp_path):
    folder = ours.save_pretrained(tmp_path / "signed")
    (folder / SIGNATURE).write_text("a signature")
    loaded = quiet(neuron_catalog.NeuronStableDiffusionPipeline.from_pretrained(str(folder)))
    assert content(loaded.save_pretrained(tmp_path / "saved")) == content(folder)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_unsaved_export_lives_as_long_as_its_pipelines(checkpoint):
    pipeline = neuron_catalog.NeuronStableDiffusionPipeline.from_pretrained(
        checkpoint, export=True, validation=False, **SIZES
    )
    other = neuron_catalog.NeuronStableDiffusionImg2ImgPipeline.from_pipe(pipeline)
    folder = pipeline.folder
    del pipeline
    gc.collect()
    assert folder.is_dir()
    del other
    gc.collect()
    assert not folder.exists()


def test_a_safety_checker_can_be_given(ours, tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=sizes, vision_config=sizes | {"image_size": 16, "patch_size": 8}, projection_dim=8
    )
    torch.manual_seed(0)
    checker = StableDiffusionSafetyChecker(config).eval()
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2.0)  # everything is a concept
        checker.special_care_embeds_weights.fill_(-2.0)
    sides = {"height": 16, "width": 16}
    extractor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=sides)
    folder = ours.save_pretrained(tmp_path / "saved")
    guarded = quiet(
        neuron_catalog.NeuronStableDiffusionPipeline.from_pretrained(
            folder, safety_checker=checker, feature_extractor=extractor
        )
    )
    answer = guarded(**ASKED, output_type="np")
    assert answer.nsfw_content_detected == [True]
    assert not answer.images.any()
    assert ours(**ASKED, output_type="np").nsfw_content_detected is None


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"height": 64}, RequestError, "width"),
        ({**SIZES, "hight": 64}, RequestError, "did you mean height"),
        ({**SIZES, "torch_dtype": torch.float16}, UsageError, "no argument torch_dtype=torch.float16"),
        ({**SIZES, "height": 60}, RequestError, "height"),
        ({**SIZES, "auto_cast": "matmul"}, RequestError, "torchscript cannot do auto_cast=matmul"),
        ({**SIZES, "lora_scales": 1.0}, UsageError, "lora"),
    ],
    ids=shown,
)
def test_an_export_that_cannot_be_is_refused(arguments, kind, said, checkpoint, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(kind, match=re.escape(said)):
        neuron_catalog.NeuronStableDiffusionPipeline.from_pretrained(checkpoint, export=True, **arguments)
    gc.collect()  # an error and the frames that it came through hold each other
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_not_taken_for_an_artifact(checkpoint):
    with pytest.raises(RequestError) as refused:
        neuron_catalog.NeuronStableDiffusionPipeline.from_pretrained(checkpoint)
    assert refused.value.cause == (
        f"{checkpoint} is a checkpoint, not an exported model: the folder has no neuron_catalog.json."
    )
    assert refused.value.remedy.startswith("Add export=True to export it first")


def test_a_checkpoint_of_another_pipeline_is_refused(checkpoint):
    with pytest.raises(RequestError, match="is a StableDiffusionPipeline, and flux is one of: FluxPipeline"):
        neuron_catalog.NeuronFluxPipeline.from_pretrained(
            checkpoint, export=True, **SIZES, sequence_length=24
        )


def test_a_controlnet_pipeline_needs_a_controlnet(checkpoint, monkeypatch):
    """That is said before anything is compiled."""
    monkeypatch.setattr("neuron_catalog.runtime.diffusion.pipeline.export_resolved_pipeline", None)
    kind = neuron_catalog.NeuronStableDiffusionControlNetPipeline
    with pytest.raises(RequestError) as refused:
        kind.from_pretrained(checkpoint, export=True, **SIZES)
    assert refused.value.cause == (
        f"{kind.__name__} needs a part that {checkpoint} is exported without: controlnet."
    )
    assert refused.value.remedy.endswith("or export with controlnet_ids.")
