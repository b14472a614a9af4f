"""Checkpoints are read from a hub, artifacts written to it and read back, with the real client."""

import pytest
from huggingface_hub import ModelCard
from tests.hub.server import HubServer

EXPORT = """
    from neuron_catalog import NeuronModelForMaskedLM, NeuronAutoModel
    SIZES = dict(batch_size=2, sequence_length=16)

    def refusal(call, *arguments, **options):
        from neuron_catalog import NeuronCatalogError
        try:
            call(*arguments, **options)
        except NeuronCatalogError as error:
            return [error.cause, error.remedy]
"""
MODEL = "owner/tiny-bert"


@pytest.fixture
def commits(hub: HubServer, checkpoint):
    """Two commits of a checkpoint that differ in their weights."""
    folder = checkpoint("bert", "fill-mask")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    first = hub.add(MODEL, files, private=True)
    weights = bytearray(files["model.safetensors"])
    weights[-1] ^= 0x80  # the sign of a number
    return first, hub.add(MODEL, {"model.safetensors": bytes(weights)}), files


def test_a_checkpoint_is_exported_with_its_exact_revision(commits, client):
    first, last, _ = commits
    newest, older = client(
        EXPORT
        + f"""
    result = []
    for revision in (None, {first!r}):
        model = NeuronModelForMaskedLM.from_pretrained({MODEL!r}, export=True, revision=revision, **SIZES)
        result.append([model.manifest.source.revision, model.manifest.source.weights_sha256])
    """,
        token="secret",
    )
    assert (newest[0], older[0]) == (last, first)
    assert newest[1] != older[1]


def test_a_token_can_be_given_by_hand_and_is_needed(commits, client):
    cause, task = client(
        EXPORT
        + f"""
    cause, _ = refusal(NeuronModelForMaskedLM.from_pretrained, {MODEL!r}, export=True, **SIZES)
    model = NeuronModelForMaskedLM.from_pretrained({MODEL!r}, export=True, token="secret", **SIZES)
    result = [cause, model.manifest.plan.task]
    """
    )
    assert cause.startswith(f"{MODEL} could not be read: ")
    assert task == "fill-mask"


def test_an_artifact_goes_to_the_hub_and_comes_back_whole(commits, hub, client, tmp_path):
    sent, received, same, kind = client(
        EXPORT
        + f"""
    import torch
    from neuron_catalog.models.fills import make_inputs
    model = NeuronModelForMaskedLM.from_pretrained({MODEL!r}, export=True, **SIZES)
    address = model.push_to_hub("saved", "owner/bert-neuron", private=True)
    loaded = NeuronAutoModel.from_pretrained("owner/bert-neuron")
    inputs = make_inputs(model.manifest.plan, 3)
    same = torch.equal(model(**inputs).logits, loaded(**inputs).logits)
    kind = isinstance(loaded, NeuronModelForMaskedLM)
    result = [model.manifest.model_dump_json(), loaded.manifest.model_dump_json(), same, kind]
    """,
        token="secret",
    )
    assert (sent == received, same, kind) == (True, True, True)
    stored = hub.repository("owner/bert-neuron").files()
    assert {"config.json", "model.pt", "neuron_catalog.json"} <= set(stored)
    assert stored["model.pt"] == (tmp_path / "saved" / "model.pt").read_bytes()
    assert hub.repository("owner/bert-neuron").private


def test_the_card_tells_of_the_repository_and_is_edited_there(commits, hub, client, tmp_path):
    first = hub.add(MODEL, {"README.md": b"---\nlicense: mit\nlanguage: no\n---\n# Theirs\n"})
    hub.add(MODEL, {"README.md": b"---\nlicense: apache-2.0\n---\n# Later\n"})
    sent, again = client(
        EXPORT
        + f"""
    model = NeuronModelForMaskedLM.from_pretrained({MODEL!r}, export=True, revision={first!r}, **SIZES)
    model.push_to_hub("saved", "owner/bert-neuron")
    api = HfApi()
    api.upload_file(path_or_fileobj=b"# mine", path_in_repo="README.md", repo_id="owner/bert-neuron")
    loaded = NeuronAutoModel.from_pretrained("owner/bert-neuron")
    loaded.save_pretrained("again")
    result = [Path(place, "README.md").read_text() for place in ("saved", "again")]
    """,
        token="secret",
    )
    data = ModelCard(sent, ignore_metadata_errors=False).data
    assert (data.base_model, data.license, data.language) == (MODEL, "mit", "no")
    assert f"The repository `{MODEL}` of the hub, at the revision `{first}`." in sent
    assert again == "# mine"


def test_a_checkpoint_of_the_hub_is_not_taken_for_an_artifact(commits, client):
    cause, remedy = client(
        EXPORT
        + f"""
    result = refusal(NeuronModelForMaskedLM.from_pretrained, {MODEL!r})
    """,
        token="secret",
    )
    assert (
        cause == f"{MODEL} is a checkpoint, not an exported model: the repository has no neuron_catalog.json."
    )
    assert remedy.startswith("Add export=True")


@pytest.mark.parametrize(
    "break_it",
    [
        lambda hub: hub.fail_next("model.safetensors", status=503, times=99, method="GET"),
        lambda hub: hub.truncate_next("model.safetensors", keep=10, times=99, method="GET"),
    ],
    ids=["out of service", "cut off"],
)
def test_a_broken_hub_is_named_with_a_remedy(break_it, commits, hub, client):
    break_it(hub)
    cause, remedy = client(
        EXPORT
        + f"""
    result = refusal(NeuronModelForMaskedLM.from_pretrained, {MODEL!r}, export=True, **SIZES)
    """,
        token="secret",
    )
    assert cause.startswith(f"{MODEL} could not be read: ")
    assert remedy.startswith("Check the name and the network")


def test_an_upload_that_the_hub_refuses_leaves_the_folder(commits, hub, client, tmp_path):
    cause = client(
        EXPORT
        + f"""
    model = NeuronModelForMaskedLM.from_pretrained({MODEL!r}, export=True, **SIZES)
    result, _ = refusal(model.push_to_hub, "saved", "stranger/bert-neuron", token="wrong")
    """,
        token="secret",
    )
    assert cause.startswith("stranger/bert-neuron could not be written: ")
    assert (tmp_path / "saved" / "neuron_catalog.json").is_file()


def test_a_large_file_that_the_hub_refuses_is_no_broken_checkpoint(commits, hub, client):
    hub.fail_next("/storage/", status=403, times=99, method="PUT")
    cause, remedy = client(
        EXPORT
        + f"""
    model = NeuronModelForMaskedLM.from_pretrained({MODEL!r}, export=True, **SIZES)
    result = refusal(model.push_to_hub, "saved", "owner/bert-neuron")
    """,
        token="secret",
    )
    assert cause.startswith("owner/bert-neuron could not be written: ")
    assert "network" in remedy
