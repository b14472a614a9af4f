"""An artifact of optimum-neuron is read by what its config.json says, and is told to be unverified.

No such artifact can be made here, nor run: these are laid out as its loader expects them, with a graph of
TorchScript in place of the compiled one, and a backend in place of the SDK.
"""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from neuron_catalog import ExportRequest, NeuronAutoModel, NeuronModelForMaskedLM, RequestError, export
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.manifest import MANIFEST_NAME
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.fitting import resized

SECTION = {
    "compiler_type": "neuronx-cc",
    "compiler_version": "2.15.143.0",
    "inline_weights_to_neff": True,
    "static_batch_size": 2,
    "static_sequence_length": 16,
    "dynamic_batch_size": False,
    "tensor_parallel_size": 1,
    "optlevel": "2",
    "auto_cast": "none",
    "auto_cast_type": None,
    "instance_type": "inf2",
    "int_dtype": "int64",
    "float_dtype": "fp32",
    "model_type": "bert",
    "output_attentions": False,
    "output_hidden_states": False,
    "task": "fill-mask",
}


@pytest.fixture
def ours(tmp_path):
    return export(ExportRequest(architecture="bert", task="fill-mask", out=tmp_path / "ours")).folder


@pytest.fixture
def foreign(ours, tmp_path):
    folder = shutil.copytree(ours, tmp_path / "foreign")
    (folder / MANIFEST_NAME).unlink()
    (folder / "model.pt").rename(folder / "model.neuron")
    edit(folder, SECTION)
    return folder


@pytest.fixture
def device(monkeypatch):
    """A backend in place of the SDK."""
    monkeypatch.setitem(backends.BACKENDS, "neuronx", SimpleNamespace(**vars(torchscript)))


def edit(folder, section):
    config = json.loads((folder / "config.json").read_text())
    config["neuron"] = section
    (folder / "config.json").write_text(json.dumps(config))


def test_it_is_loaded_unverified_and_answers_like_the_model(foreign, ours, device):
    with pytest.warns(UserWarning, match="loaded unverified, read-only, and without digests"):
        model = NeuronModelForMaskedLM.from_pretrained(foreign)
    expected = NeuronAutoModel.from_pretrained(ours)
    inputs = make_inputs(model.manifest.plan, 4)
    assert torch.equal(model(**inputs).logits, expected(**inputs).logits)
    short = make_inputs(resized(model.manifest.plan, {"batch_size": 1, "sequence_length": 7}), 4)
    assert torch.equal(model(**short).logits, expected(**short).logits)
    assert not model.manifest.verified
    assert {check.status for check in model.manifest.graphs[0].checks} == {"not_run"}
    assert model.manifest.backend.versions == {"neuronx-cc": "2.15.143.0"}


def test_it_is_read_only(foreign, device, tmp_path):
    with pytest.warns(UserWarning, match="unverified"):
        model = NeuronAutoModel.from_pretrained(foreign)
    with pytest.raises(RequestError, match="exported by optimum-neuron and can only be read"):
        model.save_pretrained(tmp_path / "copy")


@pytest.mark.filterwarnings("ignore:.*unverified")
@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({**SECTION, "static_sequence_length": None}, "bert needs sequence_length"),
        ({**SECTION, "task": "depth-estimation"}, "depth-estimation"),
        ({**SECTION, "static_sequence_length": 9999}, "sequence_length 9999 is longer"),
    ],
)
def test_what_its_config_does_not_tell_is_named(section, said, foreign, device):
    edit(foreign, section)
    with pytest.raises(RequestError) as refused:
        NeuronAutoModel.from_pretrained(foreign)
    assert said in str(refused.value)


@pytest.mark.filterwarnings("ignore:.*unverified")
def test_it_must_have_one_graph(foreign, device):
    shutil.copyfile(foreign / "model.neuron", foreign / "other.neuron")
    with pytest.raises(RequestError, match="has 2 files"):
        NeuronAutoModel.from_pretrained(foreign)


@pytest.mark.filterwarnings("ignore:.*unverified")
def test_without_the_sdk_it_cannot_run(foreign):
    with pytest.raises(RequestError, match="compiled by the backend neuronx, which cannot run here"):
        NeuronAutoModel.from_pretrained(foreign)
