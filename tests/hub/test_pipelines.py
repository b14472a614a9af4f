"""Pipelines and adapters are read from a hub: no more than is needed, and from one exact revision."""

import json

import pytest
from tests.diffusion import SIZES, UNET, save_adapter, save_component, save_pipeline
from tests.hub.server import HubServer

from neuron_catalog.digests import record_file

MODEL, STYLE, OTHER = "owner/tiny-diffusion", "owner/style", "owner/other-unet"

RESOLVE = f"""
    from neuron_catalog.catalog.index import load_catalog
    from neuron_catalog.errors import NeuronCatalogError
    from neuron_catalog.exporting.pipeline import export_pipeline
    from neuron_catalog.exporting.pipeline_request import PipelineRequest, resolve_pipeline
    from neuron_catalog.models.adapters import Adapter

    def resolved(**more):
        asked = dict(model={MODEL!r}, axes={SIZES!r}) | more
        return resolve_pipeline(PipelineRequest(**asked), load_catalog())

    def interrupted(until, **more):
        asked = dict(model={MODEL!r}, axes={SIZES!r}, out=Path("out")) | more
        def on_step(step):
            if step.startswith(until):
                raise KeyboardInterrupt
        try:
            export_pipeline(PipelineRequest(**asked), on_step=on_step)
        except KeyboardInterrupt:
            return
        raise AssertionError("it ended")

    def manifest_of(part):
        (folder,) = Path(".out.parts").glob(part + "-*")
        return json.loads((folder / "neuron_catalog.json").read_bytes())
"""


def content(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def checkpoint(catalog, tmp_path_factory):
    folder = save_pipeline(catalog, "stable-diffusion", tmp_path_factory.mktemp("sd") / "sd", {"unet": UNET})
    for part in ("safety_checker", "feature_extractor"):
        (folder / part).mkdir()
    (folder / "safety_checker" / "config.json").write_text("{}")
    (folder / "safety_checker" / "model.safetensors").write_bytes(b"much")
    (folder / "feature_extractor" / "preprocessor_config.json").write_text("{}")
    return folder


@pytest.fixture
def commits(hub: HubServer, checkpoint):
    """Two commits of a repository with all that is usually found beside what is needed."""
    files = content(checkpoint)
    needed = {name for name in files if not name.startswith("safety_checker/model")}
    for name in [name for name in files if name.endswith(".safetensors")]:
        stem = name.removesuffix(".safetensors")
        files[f"{stem}.fp16.safetensors"] = files[f"{stem}.bin"] = files[f"{stem}.fp16.bin"] = (
            b"half or pickled"
        )
    files |= {"v1-5-pruned.ckpt": b"old", "v1-5-pruned.safetensors": b"single", "README.md": b"# A model"}
    first = hub.add(MODEL, files)
    return first, hub.add(MODEL, {"README.md": b"# Better"}), needed


def downloaded(hub, model=MODEL):
    """The files of a repository that were asked for: each begins with a HEAD, also the large ones."""
    paths = (line.split()[1] for line in hub.requests if line.startswith("HEAD"))
    return {
        path.partition("/resolve/")[2].partition("/")[2] for path in paths if f"/{model}/resolve/" in path
    }


def test_only_what_is_needed_is_downloaded(commits, hub, client):
    first, last, needed = commits
    revision, sources, unet = client(
        RESOLVE
        + """
    interrupted("unet: Loading", validation=False)
    sources = [manifest_of(part)["source"] for part in ("text_encoder", "vae_encoder", "vae_decoder")]
    made = resolved()
    result = made.source.commit, sources, made.parts["unet"].source.identity()
    """
    )
    assert downloaded(hub) == needed
    assert revision == last
    assert [source["revision"] for source in sources] == [last] * 3
    assert sources[0]["model"] == f"{MODEL}/text_encoder"


@pytest.mark.slow
def test_the_exact_revision_is_recorded_in_the_composition(commits, client):
    first, _, _ = commits
    source = client(
        RESOLVE
        + f"""
    asked = PipelineRequest(model={MODEL!r}, axes={SIZES!r}, out=Path("out"), revision={first!r})
    result = export_pipeline(asked).composition.source.model_dump(mode="json")
    """
    )
    assert (source["model"], source["revision"]) == (MODEL, first)


def test_a_plan_downloads_no_weights_and_names_a_repository_that_is_not_there(commits, hub, client):
    parts, cause = client(
        RESOLVE
        + """
    try:
        resolved(model="owner/absent")
    except NeuronCatalogError as error:
        result = list(resolved().plan.parts), error.cause
    """
    )
    assert parts == ["text_encoder", "vae_encoder", "vae_decoder", "unet"]
    assert cause.startswith("owner/absent could not be read: ")
    assert not [name for name in downloaded(hub) if name.endswith((".safetensors", ".bin", ".ckpt"))]


def test_a_branch_that_moves_in_between_does_not_mix_revisions(commits, hub, client, checkpoint):
    """Descriptions are read first, and weights later: both are those of one commit."""
    _, last, _ = commits
    config = json.loads((checkpoint / "unet" / "config.json").read_bytes())
    revision, folder, channels = client(
        RESOLVE
        + f"""
    made = resolved()
    from huggingface_hub import HfApi
    api = HfApi(token="secret")
    api.upload_file(path_or_fileobj=b"other", path_in_repo="unet/config.json", repo_id={MODEL!r})
    source = made.parts["unet"].source
    module = source.module()
    result = source.revision, str(source.folder), module.config.block_out_channels
    """
    )
    assert revision == last
    assert f"/snapshots/{last}/" in folder
    assert channels == config["block_out_channels"]


def test_half_precision_is_downloaded_where_there_is_nothing_else(hub, client, checkpoint):
    files = content(checkpoint)
    name = "unet/diffusion_pytorch_model.safetensors"
    files[name.replace(".safe", ".fp16.safe")] = files.pop(name)
    hub.add(MODEL, files)
    read = client(
        RESOLVE
        + """
    source = resolved().parts["unet"].source
    result = [path.name for path in source.weights], str(source.module().dtype)
    """
    )
    assert read == [["diffusion_pytorch_model.fp16.safetensors"], "torch.float32"]


def test_the_pipeline_is_told_from_its_index_on_the_command_line(commits, client):
    code, out = client(
        """
    import contextlib, io
    from neuron_catalog.cli.main import main
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(["plan", "--model", "owner/tiny-diffusion", "--height", "16", "--width", "32", "--json"])
    result = code, out.getvalue()
    """
    )
    assert (code, json.loads(out)["pipeline"]) == (0, "stable-diffusion")


def test_another_denoiser_comes_from_its_own_repository_and_revision(
    commits, hub, client, catalog, tmp_path, checkpoint
):
    folder = save_component(catalog, "unet", tmp_path / "other", UNET, seed=9)
    commit = hub.add(OTHER, content(folder) | {"diffusion_pytorch_model.bin": b"pickled"})
    title, revision, others = client(
        RESOLVE
        + f"""
    made = resolved(unet={OTHER!r}, revision={commits[0]!r})
    source = made.parts["unet"].source
    source.module()
    result = source.name, source.revision, made.request.others
    """
    )
    assert (title, revision, others) == (OTHER, commit, {"unet": OTHER})
    assert downloaded(hub, OTHER) == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert "unet/diffusion_pytorch_model.safetensors" not in downloaded(hub), "theirs is not needed"


def test_an_adapter_comes_from_the_hub(commits, hub, client, checkpoint, tmp_path):
    layers = {"text_encoder": ["q_proj"]}
    folder = save_adapter(checkpoint, tmp_path / "style", layers, weight_name="style.safetensors")
    hub.add(STYLE, content(folder) | {"pytorch_lora_weights.bin": b"pickled", "README.md": b"# Style"})
    sha256, name, changed, manifest = client(
        RESOLVE
        + f"""
    adapters = (Adapter(model={STYLE!r}, name="style", scale=0.5),)
    plain, made = resolved(), resolved(adapters=adapters)
    digests = [each.parts["text_encoder"].source.identity() for each in (plain, made)]
    interrupted("vae_encoder: Loading", adapters=adapters)
    (weights,) = made.adapters
    record = weights.record.sha256, weights.adapter.name
    result = *record, digests[0] != digests[1], manifest_of("text_encoder")
    """
    )
    assert sha256 == record_file(folder / "style.safetensors").sha256
    assert (name, changed) == ("style", True)
    assert downloaded(hub, STYLE) == {"style.safetensors"}
    assert all(check["status"] != "failed" for check in manifest["graphs"][0]["checks"])
