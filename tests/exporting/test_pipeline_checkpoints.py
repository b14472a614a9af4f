"""Folders that `save_pretrained` of diffusers wrote are exported, or refused before anything is compiled."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
from tests.conftest import leftovers
from tests.diffusion import CONTROLNET, SIZES, UNET, Steps, edit_json, save_adapter, save_component

from neuron_catalog import RequestError, load_artifact
from neuron_catalog.digests import record_file
from neuron_catalog.exporting.pipeline import export_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest, resolve_pipeline
from neuron_catalog.manifest import Manifest
from neuron_catalog.models.adapters import Adapter, make_adapters
from neuron_catalog.models.fills import make_inputs

WEIGHTS = "diffusion_pytorch_model.safetensors"
TEXTS = {"sequence_length": 8}
DENOISERS = {"unet": ["to_q", "to_out.0"]}


def request(model, **more):
    return PipelineRequest(model=str(model), **{"axes": SIZES, **more})


def resolved(catalog, model, **more):
    return resolve_pipeline(request(model, **more), catalog)


def refusal(catalog, model, **more):
    """Export what must be refused; return the message, and what was written or compiled: nothing."""
    out = model.parent / "out"
    before, steps = leftovers(model.parent), Steps()
    with pytest.raises(RequestError) as refused:
        export_pipeline(request(model, out=out, **more), catalog, steps)
    assert steps.compiled == []
    assert leftovers(model.parent) == before
    return str(refused.value)


@pytest.fixture(scope="module")
def adapter(saved_pipelines, tmp_path_factory):
    """A folder with an adapter for the denoiser and the text encoder of Stable Diffusion."""
    parts = {**DENOISERS, "text_encoder": ["q_proj"]}
    return save_adapter(saved_pipelines("stable-diffusion"), tmp_path_factory.mktemp("lora"), parts)


@pytest.fixture(scope="module")
def exported(saved_pipelines, catalog, tmp_path_factory):
    """Stable Diffusion with another denoiser, two ControlNets and two adapters: the request, the export."""
    around = tmp_path_factory.mktemp("exported")
    checkpoint = saved_pipelines("stable-diffusion")
    style = save_adapter(checkpoint, around / "style", DENOISERS, seed=1, weight_name="style.safetensors")
    light = save_adapter(checkpoint, around / "light", DENOISERS, seed=2, weight_name="light.safetensors")
    others = {
        name: save_component(catalog, "controlnet", around / name, CONTROLNET, seed)
        for name, seed in (("canny", 3), ("depth", 4))
    }
    asked = request(
        checkpoint,
        out=around / "out",
        unet=str(save_component(catalog, "unet", around / "other", UNET, seed=5)),
        controlnets=tuple(map(str, others.values())),
        adapters=make_adapters(
            [str(style), str(light)],
            ["style.safetensors", "light.safetensors"],
            ["style", "light"],
            [0.5, 1.5],
        ),
    )
    return asked, export_pipeline(asked, catalog)


def test_parts_that_are_given_take_the_place_of_those_in_the_checkpoint(exported, catalog):
    asked, made = exported
    controlnets = ["controlnet", "controlnet_1"]
    assert list(made.composition.parts) == [
        "text_encoder",
        "vae_encoder",
        "vae_decoder",
        *controlnets,
        "unet",
    ]
    named = {name: Manifest.read(made.folder / name).source.model for name in made.composition.parts}
    assert named == {
        "text_encoder": f"{asked.model}/text_encoder",
        "vae_encoder": f"{asked.model}/vae",
        "vae_decoder": f"{asked.model}/vae",
        "controlnet": asked.controlnets[0],
        "controlnet_1": asked.controlnets[1],
        "unet": asked.unet,
    }
    weights = [Manifest.read(made.folder / name).source.weights_sha256 for name in controlnets]
    assert weights[0] != weights[1]
    assert all(Manifest.read(made.folder / name).verified for name in made.composition.parts)


def test_what_was_taken_from_elsewhere_is_recorded(exported):
    asked, made = exported
    source = made.composition.source
    assert source.others == {
        "unet": asked.unet,
        "controlnet": asked.controlnets[0],
        "controlnet_1": asked.controlnets[1],
    }
    assert [(each.name, each.model, each.scale) for each in source.adapters] == [
        ("style", asked.adapters[0].model, 0.5),
        ("light", asked.adapters[1].model, 1.5),
    ]
    files = [record_file(made.folder.parent / each / f"{each}.safetensors") for each in ("style", "light")]
    assert [each.sha256 for each in source.adapters] == [file.sha256 for file in files]


@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute:UserWarning")  # two adapters
def test_the_graph_of_the_denoiser_equals_the_eager_one_that_diffusers_fuses(exported):
    asked, made = exported
    eager = UNet2DConditionModel.from_pretrained(asked.unet)
    pipeline = StableDiffusionPipeline.from_pretrained(asked.model, unet=eager, safety_checker=None)
    for each in asked.adapters:
        pipeline.load_lora_weights(each.model, weight_name=each.weight_name, adapter_name=each.name)
    pipeline.set_adapters(["style", "light"], [0.5, 1.5])
    pipeline.fuse_lora(components=["unet"])
    graph = load_artifact(made.folder / "unet")
    given = make_inputs(graph.manifest.plan, 7)
    sample, timestep, prompt, *residuals, middle = given.values()
    steering = {
        "down_block_additional_residuals": tuple(residuals),
        "mid_block_additional_residual": middle,
    }
    with torch.no_grad():
        expected = pipeline.unet(sample, timestep, prompt, **steering).sample
        unmerged = UNet2DConditionModel.from_pretrained(asked.unet)
        plain = unmerged(sample, timestep, prompt, **steering).sample
    answer = graph(**given)["sample"]
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-4)
    assert (answer - plain).abs().max() > 0.01, "the adapters make a difference"


def test_tokenizers_and_schedulers_come_along_unchanged(exported):
    asked, made = exported
    for name in ("model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json"):
        assert (made.folder / name).read_bytes() == (made.folder.parents[0] / asked.model / name).read_bytes()


def test_the_pipeline_is_told_from_its_index(saved_pipelines, catalog):
    told = resolved(catalog, saved_pipelines("stable-diffusion"))
    assert told.plan.pipeline == "stable-diffusion"
    said = resolved(catalog, saved_pipelines("stable-diffusion"), pipeline="stable-diffusion")
    assert said.plan == told.plan


def test_any_class_that_a_pipeline_is_used_by_tells_it(saved, catalog):
    folder = saved()
    edit_json(folder / "model_index.json", _class_name="StableDiffusionInpaintPipeline")
    assert resolved(catalog, folder).plan.pipeline == "stable-diffusion"


@pytest.mark.parametrize("pipeline", ["flux", "latent-consistency"])
def test_a_checkpoint_of_another_pipeline_is_refused(pipeline, saved, catalog):
    folder = saved()
    classes = ", ".join(use.pipeline_class for use in catalog.pipelines[pipeline].uses.values())
    assert refusal(catalog, folder, pipeline=pipeline) == (
        f"{folder} is a StableDiffusionPipeline, and {pipeline} is one of: {classes}.\n"
        "Leave --task out to have it told from the checkpoint."
    )


def test_a_class_that_the_catalog_does_not_serve(saved, catalog):
    folder = saved()
    edit_json(folder / "model_index.json", _class_name="StableDiffusionPipelin")
    assert refusal(catalog, folder) == (
        "No pipeline of the catalog is a StableDiffusionPipelin; did you mean StableDiffusionPipeline or "
        "StableDiffusion3Pipeline or StableDiffusionXLPipeline?\n`neuron-catalog list` shows all."
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "holds no pipeline of diffusers: model_index.json: Expecting property name"),
        ("[]", "model_index.json names no class of a pipeline.\nCopy the checkpoint again."),
        ("{}", "model_index.json names no class of a pipeline.\nCopy the checkpoint again."),
        ('{"_class_name": ["a", "b"]}', "model_index.json names no class of a pipeline."),
        (b"\x80", "holds no pipeline of diffusers: model_index.json: 'utf-8' codec can't decode"),
    ],
)
def test_a_broken_index_is_refused(content, said, saved, catalog):
    folder = saved()
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "model_index.json").write_bytes(raw)
    assert said in refusal(catalog, folder)


def test_a_folder_without_an_index_is_refused(saved, catalog):
    folder = saved()
    (folder / "model_index.json").unlink()
    said = refusal(catalog, folder)
    assert said.startswith(f"{folder} holds no pipeline of diffusers: model_index.json: ")
    assert said.endswith("Give a folder that save_pretrained of a pipeline wrote, or an id of the hub.")


def test_a_folder_that_does_not_exist_is_no_id_of_the_hub(tmp_path, catalog):
    assert refusal(catalog, tmp_path / "nowhere") == (
        f"There is no folder {tmp_path / 'nowhere'}.\nCheck the path."
    )


@pytest.mark.parametrize("option", ["unet", "controlnets"])
def test_a_part_that_does_not_exist_is_no_id_of_the_hub(option, saved, catalog):
    place = "./nowhere"
    given = {option: (place,) if option == "controlnets" else place}
    assert refusal(catalog, saved(), **given) == "There is no folder ./nowhere.\nCheck the path."


@pytest.mark.parametrize("name", ["../outside", "unet/../../outside"])
def test_an_index_cannot_name_what_lies_outside(name, saved, catalog, tmp_path):
    """Otherwise a checkpoint of a stranger could have files of this machine copied."""
    folder = saved()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    edit_json(folder / "model_index.json", **{name: ["transformers", "CLIPTokenizer"]})
    source = resolved(catalog, folder).source
    (tmp_path / "deep" / "out").mkdir(parents=True)
    source.write_rest(tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.rglob("secret")] == ["secret"]


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_part_whose_folder_is_missing(part, saved, catalog):
    folder = saved()
    shutil.rmtree(folder / part)
    first = "vae_encoder" if part == "vae" else part
    said = refusal(catalog, folder)
    assert said.startswith(f"The part {first} cannot be read: {folder / part / 'config.json'}: ")
    assert said.endswith("Give a folder that save_pretrained of a pipeline wrote.")


@pytest.mark.parametrize("entry", [[None, None], ...])
def test_a_part_that_a_pipeline_must_have(entry, saved, catalog):
    folder = saved()
    edit_json(folder / "model_index.json", unet=entry)
    assert refusal(catalog, folder) == (
        f"{folder} has no unet, which this pipeline is made of.\n"
        "Copy the checkpoint again, or export it as another pipeline."
    )


def test_a_part_that_is_given_need_not_be_in_the_checkpoint(saved, catalog, tmp_path):
    folder = saved()
    shutil.move(folder / "unet", tmp_path / "other")
    edit_json(folder / "model_index.json", unet=[None, None])
    parts = resolved(catalog, folder, unet=str(tmp_path / "other")).parts
    assert parts["unet"].source.folder == tmp_path / "other"


def test_a_part_of_another_class_is_refused(saved, catalog):
    folder = saved()
    shutil.rmtree(folder / "vae")
    channels = {"encoder_block_out_channels": (4, 4), "decoder_block_out_channels": (4, 4)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(**channels, **blocks).save_pretrained(folder / "vae")
    assert refusal(catalog, folder) == (
        f"vae_encoder in {folder}/vae is AutoencoderTiny, and vae-encoder is AutoencoderKL.\n"
        "Only this class is served as this part."
    )


def test_pickles_are_not_read(saved, catalog):
    folder = saved()
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / "diffusion_pytorch_model.bin")
    assert refusal(catalog, folder) == (
        f"The folder {folder}/unet has no weights (*.safetensors).\n"
        "Give a checkpoint that was saved with safe_serialization=True."
    )


def test_a_part_without_weights_is_refused(saved, catalog):
    folder = saved()
    (folder / "text_encoder" / "model.safetensors").unlink()
    assert refusal(catalog, folder).startswith(f"The folder {folder}/text_encoder has no weights")


@pytest.mark.parametrize("part", ["text_encoder", "vae"])
def test_a_part_that_lacks_some_weights_is_refused(part, saved, catalog):
    from safetensors.torch import load_file, save_file

    folder = saved()
    (file,) = (folder / part).glob("*.safetensors")
    weights = load_file(file)
    lost = next(name for name in weights if name.endswith("bias"))
    del weights[lost]
    save_file(weights, file, {"format": "pt"})
    name = "vae_encoder" if part == "vae" else part
    steps = Steps()
    with pytest.raises(RequestError) as refused:
        export_pipeline(request(folder, out=folder.parent / "out"), catalog, steps)
    built = "CLIPTextModel" if part == "text_encoder" else "AutoencoderKL"
    assert refused.value.cause == f"{name}: {folder}/{part} lacks 1 weights of {built}: {lost}, …"
    assert name not in steps.compiled
    assert not (folder.parent / "out").exists()


def test_weights_of_another_size_are_refused(saved, catalog):
    folder = saved()
    edit_json(folder / "text_encoder" / "config.json", intermediate_size=48)
    with pytest.raises(RequestError, match=r"^text_encoder: transformers .* refuses ") as refused:
        export_pipeline(request(folder, out=folder.parent / "out"), catalog)
    assert "Check that the checkpoint is whole" in refused.value.remedy
    assert leftovers(folder.parent) == ["checkpoint"], "not even an empty folder for finished parts is left"


def module_of(catalog, folder, part="unet"):
    return resolved(catalog, folder).parts[part].source.module().state_dict()


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in theirs) and set(ours) == set(theirs)


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_weights_in_several_files_are_those_of_one(part, saved, saved_pipelines, catalog):
    folder = saved()
    source = resolved(catalog, folder).parts[part].source
    module, before = source.module(), source.identity()
    for file in source.weights:
        file.unlink()
    module.save_pretrained(folder / part, max_shard_size="40KB")
    after = resolved(catalog, folder).parts[part].source
    assert len(after.weights) > 1
    assert same(after.module().state_dict(), module.state_dict())
    assert after.identity() != before


@pytest.mark.parametrize("shards", [None, "20KB"])
@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_half_precision_is_read_where_there_is_nothing_else(part, shards, saved, catalog):
    folder = saved()
    source = resolved(catalog, folder).parts[part].source
    module = source.module()
    for file in source.weights:
        file.unlink()
    sharded = {"max_shard_size": shards} if shards else {}
    module.half().save_pretrained(folder / part, variant="fp16", **sharded)
    expected = {name: value.float() for name, value in module.state_dict().items()}
    read = module_of(catalog, folder, part)
    assert same(read, expected)
    assert {value.dtype for value in read.values() if value.is_floating_point()} == {torch.float32}


def test_full_precision_is_preferred(saved, catalog):
    folder = saved()
    source = resolved(catalog, folder).parts["unet"].source
    before = source.module()
    UNet2DConditionModel(**UNET).half().save_pretrained(folder / "unet", variant="fp16")
    assert same(module_of(catalog, folder), before.state_dict())
    assert [file.name for file in source.weights] == [WEIGHTS]


@pytest.mark.slow
def test_stable_diffusion_3_without_its_largest_text_encoder(saved, catalog, tmp_path):
    folder = saved("stable-diffusion-3")
    shutil.rmtree(folder / "text_encoder_3")
    edit_json(folder / "model_index.json", text_encoder_3=[None, None], tokenizer_3=[None, None])
    made = export_pipeline(request(folder, axes=SIZES | TEXTS, out=tmp_path / "out"), catalog)
    assert list(made.composition.parts) == ["text_encoder", "text_encoder_2", "vae_decoder", "transformer"]
    assert all(Manifest.read(made.folder / name).verified for name in made.composition.parts)


@pytest.mark.parametrize(
    ("pipeline", "part", "axes"),
    [
        ("stable-diffusion-3", "text_encoder_3", SIZES | TEXTS),
        ("stable-diffusion-xl", "text_encoder", SIZES),
    ],
)
def test_an_optional_part_may_be_null(pipeline, part, axes, saved, catalog):
    folder = saved(pipeline)
    whole = resolved(catalog, folder, axes=axes)
    shutil.rmtree(folder / part)
    edit_json(folder / "model_index.json", **{part: [None, None]})
    without = resolved(catalog, folder, axes=axes)
    assert set(whole.parts) - set(without.parts) == {part}
    assert without.plan.axes == whole.plan.axes


def test_safety_checkers_are_neither_exported_nor_copied(saved, catalog, tmp_path):
    folder = saved()
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "config.json").write_text("{}")
    (folder / "safety_checker" / "model.safetensors").write_bytes(b"much")
    (folder / "feature_extractor").mkdir()
    (folder / "feature_extractor" / "preprocessor_config.json").write_text('{"size": 8}')
    edit_json(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
    )
    made = resolved(catalog, folder)
    assert "safety_checker" not in made.parts
    (tmp_path / "rest").mkdir()
    made.source.write_rest(tmp_path / "rest")
    assert leftovers(tmp_path / "rest") == ["feature_extractor", "model_index.json", "scheduler", "tokenizer"]


@pytest.mark.parametrize("pipeline", ["flux", "pixart", "stable-diffusion-3"])
def test_a_controlnet_for_a_pipeline_without_such_a_part(pipeline, saved, catalog):
    folder = saved(pipeline)
    assert refusal(catalog, folder, controlnets=("someone/canny",)) == (
        f"{pipeline} has no part for a ControlNet.\nLeave --controlnet_ids out."
    )


def test_a_unet_for_a_pipeline_without_such_a_part(saved, catalog):
    assert refusal(catalog, saved("pixart"), unet="someone/unet") == (
        "pixart has no part unet.\nLeave --unet out."
    )


def test_another_denoiser_must_be_of_the_same_class(saved, catalog, tmp_path):
    save_component(catalog, "vae-decoder", tmp_path / "other")
    said = refusal(catalog, saved(), unet=str(tmp_path / "other"))
    assert said.startswith(f"unet in {tmp_path}/other is AutoencoderKL, and unet is UNet2DConditionModel.")


def test_an_adapter_that_does_not_fit_is_refused_before_anything_is_compiled(saved, catalog, tmp_path):
    folder = saved()
    adapter = save_adapter(folder, tmp_path / "lora", DENOISERS)
    wider = save_component(catalog, "unet", tmp_path / "wider", UNET | {"block_out_channels": [16, 32]})
    said = refusal(catalog, folder, unet=str(wider), adapters=(Adapter(model=str(adapter), name="style"),))
    assert said.startswith(f"The adapter style ({adapter}) was made for another model: ")
    assert said.endswith("Choose an adapter that was trained for this checkpoint, or one like it.")


def test_an_adapter_for_a_part_that_is_null_is_refused(saved, catalog, tmp_path):
    folder = saved("stable-diffusion-xl")
    adapter = save_adapter(folder, tmp_path / "lora", {"text_encoder": ["q_proj"]})
    edit_json(folder / "model_index.json", text_encoder=[None, None])
    assert "changes text_encoder, which this pipeline lacks" in refusal(
        catalog, folder, adapters=(Adapter(model=str(adapter)),)
    )


def test_adapters_change_the_digest_of_the_parts_that_they_change(saved_pipelines, adapter, catalog):
    folder = saved_pipelines("stable-diffusion")

    def digests(*adapters):
        parts = resolved(catalog, folder, adapters=adapters).parts
        return {name: part.source.identity() for name, part in parts.items()}

    plain, merged, more = (
        digests(),
        digests(Adapter(model=str(adapter))),
        digests(Adapter(model=str(adapter), scale=2)),
    )
    changed = {name for name in plain if plain[name] != merged[name]}
    assert changed == {"unet", "text_encoder"} == {name for name in plain if merged[name] != more[name]}


def test_the_plan_reads_no_weights(saved, catalog):
    folder = saved()
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    assert list(resolved(catalog, folder).plan.parts) == [
        "text_encoder",
        "vae_encoder",
        "vae_decoder",
        "unet",
    ]


def test_a_checkpoint_in_half_precision_is_exported_in_float32(saved, catalog, tmp_path):
    folder = saved("pixart")
    for part in ("vae", "transformer", "text_encoder"):
        config = json.loads((folder / part / "config.json").read_bytes())
        edit_json(folder / part / "config.json", **{**config, "dtype": "float16"})
    module = resolved(catalog, folder, axes=SIZES | TEXTS).parts["text_encoder"].source.module()
    assert {value.dtype for value in module.state_dict().values() if value.is_floating_point()} == {
        torch.float32
    }
