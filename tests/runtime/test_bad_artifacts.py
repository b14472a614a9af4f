"""An artifact that cannot be run says so in one sentence of cause and one of remedy, and is not loaded."""

import json

import pytest
import torch

from neuron_catalog import ExportRequest, NeuronCatalogError, NeuronModelForMaskedLM, RequestError, export
from neuron_catalog.digests import record_file
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.manifest import MANIFEST_NAME, Manifest


@pytest.fixture
def folder(tmp_path):
    return export(ExportRequest(architecture="bert", task="fill-mask", out=tmp_path / "out")).folder


def edit(folder, change):
    path = folder / MANIFEST_NAME
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def cut(folder):
    graph = folder / "model.pt"
    graph.write_bytes(graph.read_bytes()[:-100])


def flip(folder):
    graph = folder / "model.pt"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)


def of_torch(version):
    return lambda folder: edit(folder, lambda told: told["backend"]["versions"].update(torch=version))


BAD = {
    "of another backend": (
        lambda folder: edit(folder, lambda told: told["backend"].update(name="neuronx")),
        "was compiled by the backend neuronx, which cannot run here",
    ),
    "cut off": (cut, r"was altered after it was exported: model.pt has"),
    "of another digest": (flip, "was altered after it was exported: model.pt has another digest"),
    "without its graph": (lambda folder: (folder / "model.pt").unlink(), "model.pt is missing"),
    "with a manifest of a newer version": (
        lambda folder: edit(folder, lambda told: told.update(format=2, what_is_new=1)),
        "was written by a newer neuron-catalog: its format is 2, not 1.",
    ),
    "with half a manifest": (
        lambda folder: (folder / MANIFEST_NAME).write_text((folder / MANIFEST_NAME).read_text()[:300]),
        "cannot be read",
    ),
    "with a manifest that is a list": (
        lambda folder: (folder / MANIFEST_NAME).write_text("[]"),
        "cannot be read",
    ),
    "of a newer torch": (of_torch("99.1.0"), "was compiled with torch 99.1.0, and the installed torch"),
    "without a manifest": (
        lambda folder: (folder / MANIFEST_NAME).unlink(),
        "is a checkpoint, not an exported model",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_artifact_is_not_loaded(what, folder, monkeypatch):
    break_it, said = BAD[what]
    break_it(folder)
    monkeypatch.setattr(torch.jit, "load", None)
    with pytest.raises(NeuronCatalogError) as refused:
        NeuronModelForMaskedLM.from_pretrained(folder)
    assert said in refused.value.cause
    assert refused.value.cause.count("\n") == 0
    assert refused.value.remedy


def test_an_artifact_of_an_older_torch_is_loaded_with_a_warning(folder):
    of_torch("2.0.1")(folder)
    with pytest.warns(UserWarning, match="compiled and checked with torch 2.0.1;.*validate"):
        assert NeuronModelForMaskedLM.from_pretrained(folder)


def test_a_graph_that_is_none_is_named_although_its_digest_is_right(folder):
    (folder / "model.pt").write_bytes(b"no graph")
    manifest = Manifest.read(folder)
    files = {**manifest.files, "model.pt": record_file(folder / "model.pt")}
    manifest.model_copy(update={"files": files}).write(folder)
    with pytest.raises(RequestError, match=r"model\.pt is no TorchScript file"):
        NeuronModelForMaskedLM.from_pretrained(folder)


def test_a_graph_that_is_missing_in_the_file_is_named(folder):
    with pytest.raises(RequestError, match=r"has no graph 'bucket_0'"):
        torchscript.load(folder / "model.pt", ["bucket_0", "forward"])


@pytest.mark.parametrize("place", ["./nowhere", "/no/such/folder"])
def test_a_folder_that_does_not_exist_is_no_id_of_the_hub(place):
    with pytest.raises(RequestError, match="There is no folder"):
        NeuronModelForMaskedLM.from_pretrained(place)


def test_an_empty_folder_is_no_artifact(tmp_path):
    with pytest.raises(RequestError, match="is no exported artifact"):
        NeuronModelForMaskedLM.from_pretrained(tmp_path)


def test_a_name_that_can_be_neither_folder_nor_id_is_told_so():
    with pytest.raises(RequestError) as refused:
        NeuronModelForMaskedLM.from_pretrained("my model")
    assert refused.value.cause.startswith("my model is no folder, and no id of the hub either: ")
    assert "owner/name" in refused.value.remedy
