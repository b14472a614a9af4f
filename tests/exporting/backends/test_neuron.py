"""The backend neuron keeps to the documented interface of torch-neuron, which a double holds it to.

What passes here is no support of Inf1: the double compiles nothing.
"""

import json
import subprocess
import sys

import pytest
import torch

from neuron_catalog.errors import CompileError, RequestError
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import neuron
from neuron_catalog.exporting.exporter import export
from neuron_catalog.exporting.request import ExportRequest
from neuron_catalog.proving.record import record
from neuron_catalog.proving.selftest import Way, selftest
from neuron_catalog.runtime.auto import NeuronAutoModel
from neuron_catalog.sdk import machine


def made(catalog, out, architecture="bert", task="fill-mask", **more):
    request = ExportRequest(architecture=architecture, task=task, backend="neuron", out=out, **more)
    return export(request, catalog)


def statuses(manifest):
    return {check.name: check.status for check in manifest.graphs[-1].checks}


def no_device(double):
    machine.DEVICES.joinpath("neuron0").unlink()
    double.device.present = False


@pytest.mark.parametrize(
    ("architecture", "task"),
    [("bert", "fill-mask"), ("esm", "fill-mask"), ("vit", "image-classification")],
)
def test_an_export_is_checked_on_the_device(inf1, catalog, tmp_path, architecture, task):
    exported = made(catalog, tmp_path / "out", architecture, task)
    assert exported.manifest.verified
    assert statuses(exported.manifest)["values"] == "passed"
    (traced,) = inf1.calls
    assert traced["compiler_args"] == exported.manifest.backend.arguments["compiler_args"]
    assert (traced["fallback"], traced["dynamic_batch_size"]) == (False, False)
    assert (traced["separate_weights"], traced["compiler_timeout"]) == (False, None)
    assert {"config.json", "model.neuron", "neuron.json"} == {*exported.manifest.files}


def test_the_artifact_tells_of_the_compiler_and_the_target(inf1, catalog, tmp_path):
    exported = made(catalog, tmp_path / "out")
    recorded = exported.manifest.backend
    assert recorded.versions["torch-neuron"] == "1.13.1.2.11.13.0+double"
    assert recorded.versions["neuron-cc"] == "1.24.0.0+double"
    assert (recorded.arguments["target"], recorded.arguments["fallback"]) == ("inf1", False)
    assert recorded.observed == {"forward": {"separate_weights": False}}
    section = json.loads((tmp_path / "out" / "config.json").read_text())["neuron"]
    assert (section["compiler_type"], section["compiler_version"]) == ("neuron-cc", "1.24.0.0+double")
    assert section["instance_type"] == "inf1"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, ["none"]),
        ({"auto_cast": "none"}, ["none"]),
        ({"auto_cast": "matmul"}, ["fp32-cast-matmult-bf16", "fast-relayout"]),
        ({"auto_cast": "matmul", "auto_cast_type": "fp16"}, ["fp32-cast-matmult-fp16", "fast-relayout"]),
        ({"auto_cast": "all"}, ["fp32-cast-all", "fast-relayout"]),
        ({"auto_cast": "all", "auto_cast_type": "fp16"}, ["fp32-cast-all-fp16", "fast-relayout"]),
    ],
)
def test_what_is_cast_is_told_in_the_words_of_neuron_cc(inf1, catalog, tmp_path, asked, told):
    made(catalog, tmp_path / "out", compiler=asked, validation=False)
    assert inf1.calls[0]["compiler_args"] == ["--fast-math", *told]
    assert inf1.calls[0]["fallback"] is False


def test_the_options_of_a_compilation_reach_the_compiler(inf1, catalog, tmp_path):
    asked = {
        "compiler_args": "--neuroncore-pipeline-cores 2",
        "compiler_timeout": 900,
        "compiler_workdir": str(tmp_path / "work"),
    }
    made(catalog, tmp_path / "out", compiler=asked)
    (traced,) = inf1.calls
    assert traced["compiler_args"][-2:] == ["--neuroncore-pipeline-cores", "2"]
    assert (traced["compiler_timeout"], traced["fallback"]) == (900, False)
    assert traced["compiler_workdir"] == str(tmp_path / "work" / "forward")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("target", "inf2", "for Inf1 target is inf1"),
        ("auto_cast", "some", "auto_cast is one of none, matmul, all"),
        ("auto_cast_type", "tf32", "auto_cast_type is one of bf16, fp16"),
        ("optlevel", 2, "it knows no option optlevel"),
        ("inline_weights_to_neff", False, "for Inf1 inline_weights_to_neff is true"),
        ("num_cores", 2, "for Inf1 num_cores is 1"),
        ("async_load", True, "it knows no option async_load"),
        ("lazy_load", True, "it knows no option lazy_load"),
        ("compiler_timeout", "long", "compiler_timeout is a positive whole number"),
    ],
)
def test_options_that_cannot_be(inf1, catalog, tmp_path, option, value, said):
    with pytest.raises(RequestError, match=said):
        made(catalog, tmp_path / "out", compiler={option: value})


def test_a_type_needs_a_cast(inf1, catalog, tmp_path):
    with pytest.raises(RequestError, match="auto_cast is none"):
        made(catalog, tmp_path / "out", compiler={"auto_cast_type": "fp16"})


def test_any_number_of_rows_is_served(inf1, catalog, tmp_path):
    made(catalog, tmp_path / "out", dynamic_batch_size=True)
    assert inf1.calls[0]["dynamic_batch_size"] is True
    ids = torch.ones(5, 16, dtype=torch.int64)
    model = NeuronAutoModel.from_pretrained(tmp_path / "out")
    assert model(input_ids=ids, attention_mask=ids, token_type_ids=ids * 0).logits.shape[0] == 5


def test_each_size_is_a_file(inf1, catalog, tmp_path):
    exported = made(catalog, tmp_path / "out", axes={"sequence_length": (8, 16)})
    assert [traced["inputs"][0] for traced in inf1.calls] == [(2, 8), (2, 16)]
    assert {"bucket_0.neuron", "forward.neuron"} < {*exported.manifest.files}


@pytest.mark.slow
def test_a_cache_is_an_input_and_an_output(inf1, catalog, tmp_path):
    sizes = {"prompt_length": 16, "sequence_length": 32}
    made(catalog, tmp_path / "out", "gpt2", "text-generation", axes=sizes)
    assert len(inf1.calls) == 2
    model = NeuronAutoModel.from_pretrained(tmp_path / "out")
    prompt = torch.randint(5, 50, (2, 9), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    first = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    assert torch.equal(first, model.generate(**inputs, max_new_tokens=6, do_sample=False))


def test_more_weights_than_a_graph_holds_are_apart(inf1, catalog, tmp_path, monkeypatch):
    assert neuron.LARGEST_INSIDE == inf1.LARGEST
    monkeypatch.setattr(inf1, "LARGEST", 1000)
    with pytest.raises(CompileError, match="do not fit into a graph"):
        made(catalog, tmp_path / "out")
    monkeypatch.setattr(neuron, "LARGEST_INSIDE", 1000)
    exported = made(catalog, tmp_path / "out")
    assert inf1.calls[-1]["separate_weights"] is True
    assert exported.manifest.backend.observed == {"forward": {"separate_weights": True}}


def test_an_operator_that_is_lacking_is_refused_and_not_run_on_the_cpu(inf1, catalog, tmp_path, monkeypatch):
    monkeypatch.setenv(inf1.FAULT, "operator:aten::sort")
    with pytest.raises(CompileError) as failed:
        made(catalog, tmp_path / "out")
    assert "aten::sort is not supported" in failed.value.cause
    assert "neuronx" in failed.value.remedy


def test_a_compiler_that_takes_too_long_is_told(inf1, catalog, tmp_path, monkeypatch):
    monkeypatch.setenv(inf1.FAULT, "time")
    with pytest.raises(CompileError, match="timed out after 5 seconds"):
        made(catalog, tmp_path / "out", compiler={"compiler_timeout": 5})


def test_without_an_inf1_it_is_compiled_and_not_run(inf1, catalog, tmp_path):
    no_device(inf1)
    exported = made(catalog, tmp_path / "out")
    found = statuses(exported.manifest)
    assert found.pop("oracle") == "passed"
    assert set(found.values()) == {"not_run"}
    with pytest.raises(RequestError, match="this machine has no Inf1 device"):
        NeuronAutoModel.from_pretrained(tmp_path / "out")


def test_devices_of_other_generations_do_not_run_it(inf1):
    machine.PRODUCT.write_text("inf2.xlarge\n")
    assert neuron.unable_to_run() == "this machine has no Inf1 device"
    machine.PRODUCT.write_text("inf1.6xlarge\n")
    assert neuron.unable_to_run() == ""


def test_cores_are_not_chosen(inf1, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    with pytest.raises(RequestError) as refused:
        NeuronAutoModel.from_pretrained(tmp_path / "out", first_core=1)
    assert "no documented way to place a graph" in refused.value.cause
    assert "NEURON_RT_VISIBLE_CORES" in refused.value.remedy


def test_a_file_is_loaded_only_where_torch_neuron_is_imported(inf1, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    script = f"import torch; torch.jit.load({str(tmp_path / 'out' / 'model.neuron')!r})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert "Unknown builtin op: neuron_v1_double::check" in done.stderr


def test_what_runs_with_a_double_is_no_evidence(inf1, catalog):
    rows = list(selftest(catalog, ["vae-decoder"], Way("neuron")))
    assert [row.complaint for row in rows if not row.passed] == []
    with pytest.raises(RequestError, match=r"torch-neuron 1\.13.* is a double for tests: what it ran proves"):
        record(catalog, rows)


def test_without_torch_neuron_it_says_why_nobody_has_it():
    with pytest.raises(RequestError) as refused:
        backends.choose("neuron")
    for said in ("needs torch 1.13 and Python 3.7 to 3.10", "December 2025", "March 2026", "neuronx"):
        assert said in refused.value.cause


def test_it_is_never_the_default(inf1):
    assert list(backends.BACKENDS)[-1] == "neuron"
    assert backends.choose(None)[0] != "neuron"


def test_a_process_of_its_own_compiles(inf1, catalog, tmp_path, monkeypatch):
    no_device(inf1)
    monkeypatch.setitem(backends.BACKENDS, "neuron", neuron)
    exported = made(catalog, tmp_path / "out", "esm")
    assert "model.neuron" in exported.manifest.files
    assert inf1.calls == []
