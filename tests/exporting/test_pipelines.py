"""A pipeline is exported part by part; each part is an artifact, and a manifest holds them together."""

import gc
import json
import shutil
import weakref

import pytest
import torch
from tests.conftest import leftovers

from neuron_catalog import RequestError, UsageError, VerificationError, load_artifact
from neuron_catalog.composition import Composition, intact_files, is_composition
from neuron_catalog.digests import record_file
from neuron_catalog.exporting.pipeline import default_pipeline_target, export_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest, resolve_pipeline
from neuron_catalog.inventory import CARD_NAME
from neuron_catalog.manifest import MANIFEST_NAME, Manifest
from neuron_catalog.models.components import TinyComponentSource
from neuron_catalog.models.fills import make_inputs

PARTS = {
    "flux": ["text_encoder", "text_encoder_2", "vae_decoder", "transformer"],
    "latent-consistency": ["text_encoder", "vae_decoder", "unet"],
    "pixart": ["text_encoder", "vae_decoder", "transformer"],
    "stable-diffusion": ["text_encoder", "vae_encoder", "vae_decoder", "unet"],
    "stable-diffusion-3": ["text_encoder", "text_encoder_2", "text_encoder_3", "vae_decoder", "transformer"],
    "stable-diffusion-xl": ["text_encoder", "text_encoder_2", "vae_encoder", "vae_decoder", "unet"],
}
"""What is exported of each pipeline, in this order: texts first, the largest last."""
ARTIFACT = ["config.json", "model.pt", MANIFEST_NAME]


@pytest.fixture(scope="module")
def tiny(catalog, tmp_path_factory):
    """The tiny Stable Diffusion, and the folder around it."""
    around = tmp_path_factory.mktemp("tiny")
    request = PipelineRequest(pipeline="stable-diffusion", out=around / "out")
    return export_pipeline(request, catalog)


def test_every_pipeline_of_the_catalog_is_listed_here(catalog):
    assert set(PARTS) == set(catalog.pipelines)


def test_the_folder_holds_an_artifact_for_each_part_and_what_is_no_part(tiny):
    assert leftovers(tiny.folder.parent) == ["out"]
    rest = [CARD_NAME, "model_index.json", MANIFEST_NAME, "scheduler", "tokenizer"]
    assert leftovers(tiny.folder) == sorted([*PARTS["stable-diffusion"], *rest])
    for part in PARTS["stable-diffusion"]:
        assert leftovers(tiny.folder / part) == ARTIFACT
    assert leftovers(tiny.folder / "scheduler") == ["scheduler_config.json"]
    assert leftovers(tiny.folder / "tokenizer") == ["tokenizer.json", "tokenizer_config.json"]


def test_a_part_that_is_a_link_out_of_the_folder_is_refused(tiny, tmp_path):
    folder = shutil.copytree(tiny.folder, tmp_path / "copy")
    shutil.move(folder / "unet", tmp_path / "elsewhere")
    (folder / "unet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VerificationError, match=r"unet: neuron_catalog\.json is a link out of the artifact"):
        intact_files(folder)


def test_the_composition_says_how_the_parts_belong_together(tiny):
    said = Composition.read(tiny.folder)
    assert said == tiny.composition
    assert (said.pipeline, said.seed) == ("stable-diffusion", 0)
    assert said.uses == {
        "text-to-image": "NeuronStableDiffusionPipeline",
        "image-to-image": "NeuronStableDiffusionImg2ImgPipeline",
        "inpainting": "NeuronStableDiffusionInpaintPipeline",
    }
    assert said.axes == {
        "batch_size": 2,
        "num_images_per_prompt": 1,
        "guidance_copies": 2,
        "height": 64,
        "width": 48,
    }
    assert {name: (part.component, part.source) for name, part in said.parts.items()} == {
        "text_encoder": ("clip-text-model", "text_encoder"),
        "vae_encoder": ("vae-encoder", "vae"),
        "vae_decoder": ("vae-decoder", "vae"),
        "unet": ("unet", "unet"),
    }
    assert said.source.model_dump() == {
        "kind": "tiny",
        "model": "tiny stable-diffusion",
        "revision": None,
        "others": {},
        "adapters": (),
    }


def test_every_file_has_its_digest(tiny):
    paths = [path for path in tiny.folder.rglob("*") if path.is_file()]
    own = {path.relative_to(tiny.folder).as_posix() for path in paths} - {MANIFEST_NAME, CARD_NAME}
    digests = tiny.composition.all_files(tiny.folder)
    assert set(digests) == own
    assert all(record_file(tiny.folder / name) == record for name, record in digests.items())


def test_the_parts_are_compiled_for_what_the_pipeline_calls_them_with(tiny):
    sizes = {name: Manifest.read(tiny.folder / name).plan.axes for name in tiny.composition.parts}
    assert sizes == {
        "text_encoder": {"batch_size": 2, "sequence_length": 77},
        "vae_encoder": {"batch_size": 1, "height": 64, "width": 48},
        "vae_decoder": {"batch_size": 2, "latent_height": 8, "latent_width": 6},
        "unet": {"batch_size": 4, "sequence_length": 77, "latent_height": 8, "latent_width": 6},
    }


@pytest.mark.parametrize("part", PARTS["stable-diffusion"])
def test_a_part_is_a_verified_artifact_of_its_own(part, tiny, catalog):
    loaded = load_artifact(tiny.folder / part)
    assert loaded.manifest.verified
    checks = {check.name: check.status for graph in loaded.manifest.graphs for check in graph.checks}
    assert checks["oracle"] == checks["values"] == checks["inputs_alive"] == "passed"
    plan = loaded.manifest.plan
    answers = loaded(**make_inputs(plan, 5))
    assert list(answers) == [tensor.name for tensor in plan.outputs]
    for tensor in plan.outputs:
        sizes = zip(answers[tensor.name].shape, tensor.shape, strict=True)
        assert all(planned in (None, size) for size, planned in sizes)
    config = json.loads((tiny.folder / part / "config.json").read_bytes())
    assert config["neuron"]["model_type"] == tiny.composition.parts[part].component


def test_a_denoiser_answers_as_the_eager_one(tiny, catalog):
    loaded = load_artifact(tiny.folder / "unet")
    given = make_inputs(loaded.manifest.plan, 9)
    eager = TinyComponentSource.of(catalog.components["unet"], 0).module()
    with torch.no_grad():
        expected = eager(**given).sample
    torch.testing.assert_close(loaded(**given)["sample"], expected, rtol=0, atol=1e-4)


def test_the_same_export_gives_the_same_weights_and_another_seed_others(tiny, catalog, tmp_path):
    def weights(folder):
        return {p: Manifest.read(folder / p).source.weights_sha256 for p in PARTS["stable-diffusion"]}

    again = resolve_pipeline(PipelineRequest(pipeline="stable-diffusion"), catalog)
    other = resolve_pipeline(PipelineRequest(pipeline="stable-diffusion", seed=1), catalog)
    for part in PARTS["stable-diffusion"]:
        assert again.parts[part].source.identity() != other.parts[part].source.identity()
    digests = {Manifest.read(tiny.folder / part).source.weights_sha256 for part in PARTS["stable-diffusion"]}
    assert len(digests) == 3, "the two halves of the autoencoder have the weights of one"
    assert weights(tiny.folder)["vae_encoder"] == weights(tiny.folder)["vae_decoder"]


def test_a_whole_pipeline_is_no_artifact_of_one_graph(tiny):
    with pytest.raises(RequestError, match="is a whole pipeline, whose parts are artifacts each"):
        load_artifact(tiny.folder)
    assert is_composition(tiny.folder)
    assert not is_composition(tiny.folder / "unet")
    with pytest.raises(RequestError, match="unet is one model, unet, not a whole pipeline"):
        Composition.read(tiny.folder / "unet")


def test_a_pipeline_of_a_newer_version_is_told_from_a_broken_one(tiny, tmp_path):
    said = tiny.composition.model_dump(mode="json")
    for content, cause in (
        (said | {"format": 2, "new": 1}, "was written by a newer neuron-catalog: its format is 2, not 1"),
        (said | {"new": 1}, "cannot be read: new: Extra inputs are not permitted"),
    ):
        (tmp_path / "neuron_catalog.json").write_text(json.dumps(content))
        with pytest.raises(RequestError, match=cause):
            Composition.read(tmp_path)


def test_the_eager_module_of_a_part_is_gone_when_the_next_is_loaded(catalog, monkeypatch, tmp_path):
    loaded, alive = [], []
    original = TinyComponentSource.load

    def load(source, plan):
        gc.collect()
        alive.append([module() for module in loaded if module() is not None])
        eager = original(source, plan)
        loaded.append(weakref.ref(eager.module))
        return eager

    monkeypatch.setattr(TinyComponentSource, "load", load)
    export_pipeline(PipelineRequest(pipeline="pixart", out=tmp_path / "out"), catalog)
    assert alive == [[]] * len(PARTS["pixart"])


def test_a_folder_is_named_when_none_is_given(catalog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resolved = resolve_pipeline(PipelineRequest(pipeline="pixart"), catalog)
    assert str(default_pipeline_target(resolved)) == "tiny-pixart-neuron"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {},
            "Nothing to export: neither a pipeline nor --model was given.\n"
            "Try: neuron-catalog export --task stable-diffusion",
        ),
        (
            {"pipeline": "stable-diffusion", "unet": "somewhere"},
            "The tiny pipeline has seeded random weights: no other parts and adapters suit it.\n"
            "Add --model, or leave --unet and --lora_model_ids out.",
        ),
    ],
)
def test_what_the_tiny_pipeline_cannot_have(asked, message, catalog):
    with pytest.raises(UsageError) as refused:
        resolve_pipeline(PipelineRequest(**asked), catalog)
    assert str(refused.value) == message


def test_the_tiny_pipeline_has_a_controlnet_of_its_own_and_no_other(catalog):
    """A ControlNet that is named must not be replaced by a random one in silence."""
    request = PipelineRequest(pipeline="stable-diffusion", controlnets=("someone/canny",))
    with pytest.raises(UsageError) as refused:
        resolve_pipeline(request, catalog)
    assert str(refused.value) == (
        "The tiny pipeline has seeded random weights: the ControlNet someone/canny does not suit it.\n"
        "Add --model, or write --controlnet_ids tiny for one with random weights."
    )


@pytest.mark.parametrize("count", [1, 2])
def test_the_tiny_pipeline_has_as_many_controlnets_as_asked_for(count, catalog):
    request = PipelineRequest(pipeline="stable-diffusion", controlnets=("tiny",) * count)
    resolved = resolve_pipeline(request, catalog)
    named = ["controlnet", "controlnet_1"][:count]
    assert list(resolved.parts) == ["text_encoder", "vae_encoder", "vae_decoder", *named, "unet"]
    inputs = [tensor.name for tensor in resolved.plan.parts["unet"].inputs]
    assert "mid_block_additional_residual" in inputs
    assert resolved.plan.uses["controlnet"] == "NeuronStableDiffusionControlNetPipeline"


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_every_tiny_pipeline_is_exported(name, catalog, tmp_path):
    composition = export_pipeline(PipelineRequest(pipeline=name, out=tmp_path / "out"), catalog).composition
    assert list(composition.parts) == PARTS[name]
    composition.require_intact(tmp_path / "out")
    assert all(Manifest.read(tmp_path / "out" / part).verified for part in PARTS[name])
    assert leftovers(tmp_path) == ["out"]
