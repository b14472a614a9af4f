"""What an export leaves behind: a whole artifact, or nothing."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from neuron_catalog import ExportRequest, Manifest, export, load_artifact
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.exporting.backends.protocol import Compilation
from neuron_catalog.models.fills import make_inputs


@pytest.fixture
def planted(monkeypatch):
    """Register a backend whose functions are replaced; everything else is torchscript's."""

    def register(**functions):
        backend = SimpleNamespace(**{**vars(torchscript), **functions})
        monkeypatch.setitem(backends.BACKENDS, "planted", backend)

    return register


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_tiny_export_tells_what_it_did_and_leaves_a_whole_artifact(run, tmp_path):
    code, out, err = run("export", "esm", "--task", "fill-mask", "esm_neuron")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("Exporting esm for fill-mask with backend torchscript on the CPU")
    assert "random weights of seed 0" in lines[1]
    assert '-[✓] output "logits":' in out
    assert "all values close on 4 fresh inputs (seeds 1, 2, 3, 4)" in out
    assert lines[-1].startswith(
        "Saved to esm_neuron. Load it in Python with: NeuronAutoModel.from_pretrained("
    )
    assert names(tmp_path) == ["esm_neuron"]
    assert names(tmp_path / "esm_neuron") == [
        *("README.md", "config.json", "model.pt", "neuron_catalog.json"),
    ]


def test_an_input_to_which_the_eager_model_has_no_answer_either_proves_nothing_against_a_graph(run, tmp_path):
    """Of nine short texts one is all mask tokens under the opposite mask: ESM divides by zero."""
    target = tmp_path / "out"
    sizes = ("--batch_size", "9", "--sequence_length", "8")
    assert run("export", "esm", "--task", "fill-mask", *sizes, str(target))[0] == 0
    (check,) = [c for c in Manifest.read(target).graphs[0].checks if c.name == "inputs_alive"]
    assert check.status == "passed"


def test_default_target_is_named_after_model_and_task(run, tmp_path):
    assert run("export", "esm", "--task", "fill-mask")[0] == 0
    assert names(tmp_path) == ["esm-tiny-fill-mask-neuron"]


def test_manifest_records_seeds_differences_versions_and_digests(run, tmp_path):
    run("export", "esm", "--task", "fill-mask", "out", "--seed", "7")
    manifest = Manifest.read(tmp_path / "out")
    assert (manifest.seed, manifest.source.kind, manifest.source.seed) == (7, "tiny", 7)
    values = next(check for check in manifest.graphs[-1].checks if check.name == "values")
    assert [d.seed for d in values.differences] == [8, 9, 10, 11]
    assert all(d.largest <= d.allowed for d in values.differences)
    assert manifest.backend.versions["torch"] == torch.__version__
    assert set(manifest.files) == {"config.json", "model.pt"}
    assert {check.name: check.status for check in manifest.graphs[-1].checks} == dict.fromkeys(
        (
            "signature",
            "finite",
            "values",
            "inputs_alive",
            "masked_tokens_dead",
            "rows_independent",
            "oracle",
        ),
        "passed",
    )


def test_two_exports_of_one_seed_agree_and_of_two_seeds_differ(run, tmp_path):
    for seed, out in (("3", "a"), ("3", "b"), ("4", "c")):
        run("export", "esm", "--task", "fill-mask", out, "--seed", seed)
    digests = [Manifest.read(tmp_path / out).source.weights_sha256 for out in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_tied_weights_are_listed_and_stored_once(run, tmp_path):
    run("export", "bert", "--task", "fill-mask", "out")
    source = Manifest.read(tmp_path / "out").source
    shared = {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"}
    assert any(shared <= set(group) for group in source.tied_weights)
    size = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert size <= 1.05 * source.weights_bytes + 2_000_000


def test_config_keeps_the_model_and_adds_the_neuron_section(run, tmp_path):
    run("export", "bert", "--task", "multiple-choice", "out", "--dynamic_batch_size")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("bert", ["BertForMultipleChoice"])
    neuron = config["neuron"]
    assert neuron["compiler_type"] == "torchscript"
    assert neuron["task"] == "multiple-choice"
    assert (neuron["static_batch_size"], neuron["static_num_choices"]) == (2, 3)
    assert neuron["dynamic_batch_size"] is True
    assert set(neuron) >= {
        *("compiler_type", "compiler_version", "inline_weights_to_neff", "tensor_parallel_size", "optlevel"),
        *("auto_cast", "auto_cast_type", "instance_type", "int_dtype", "float_dtype", "model_type", "task"),
        *("output_attentions", "output_hidden_states"),
    }


@pytest.mark.parametrize("option", ["output_hidden_states", "output_attentions"])
@pytest.mark.parametrize("name", ["bert", "convbert", "deberta-v2", "xlm", "modernbert", "phi"])
def test_optional_outputs_are_planned_and_checked(name, option, run, tmp_path):
    code, out, err = run("export", name, "--task", "text-classification", f"--{option}", "out")
    assert (code, err.count("Error")) == (0, 0)
    outputs = [tensor.name for tensor in Manifest.read(tmp_path / "out").plan.outputs]
    stem = option.removeprefix("output_")
    assert outputs[0] == "logits"
    assert outputs[1:] == [f"{stem}.{i}" for i in range(len(outputs) - 1)]
    assert len(outputs) > 2


def test_optional_output_that_the_task_lacks_is_refused(run):
    code, out, err = run("export", "bert", "--task", "multiple-choice", "--output_attentions")
    assert code == 4
    assert "--output_attentions is not offered by bert for multiple-choice." in err


def test_caller_tolerance_is_a_bound_of_its_own(run, tmp_path, planted):
    def slightly_off(compilation):
        class Off(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = compilation.module

            def forward(self, *tensors):
                return tuple(value + 5e-6 * value.abs().max() for value in self.inner(*tensors))

        return torchscript.compile(replace(compilation, module=Off()))

    planted(compile=slightly_off)
    command = ("export", "esm", "--task", "fill-mask", "--backend", "planted")
    assert run(*command, "wide")[0] == 0
    code, out, err = run(*command, "--atol", "1e-7", "narrow")
    assert code == 6
    assert "(allowed 1.0e-07)" in err


def test_full_target_is_left_alone(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    code, out, err = run("export", "esm", "--task", "fill-mask", "out")
    assert code == 4
    assert "The folder out is not empty." in err
    assert names(tmp_path / "out") == ["mine.txt"]


def test_overwrite_replaces_the_whole_folder(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("gone")
    assert run("export", "esm", "--task", "fill-mask", "out", "--overwrite")[0] == 0
    assert "old.txt" not in names(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_failed_overwrite_keeps_the_old_folder(run, tmp_path, planted):
    planted(
        compile=lambda compilation: torchscript.compile(
            Compilation(torch.nn.Identity(), {"forward": compilation.examples["forward"][:1]})
        )
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("keep")
    code, out, err = run("export", "esm", "--task", "fill-mask", "out", "--overwrite", "--backend", "planted")
    assert code == 6
    assert (names(tmp_path), names(tmp_path / "out")) == (["out"], ["old.txt"])


def test_target_that_is_a_file_is_refused(run, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, out, err = run("export", "esm", "--task", "fill-mask", "out")
    assert (code, (tmp_path / "out").read_text()) == (4, "a file")
    assert "out is a file, not a folder." in err


def test_ctrl_c_leaves_nothing(run, tmp_path, planted):
    def interrupted(compilation):
        raise KeyboardInterrupt

    planted(compile=interrupted)
    code, out, err = run("export", "esm", "--task", "fill-mask", "out", "--backend", "planted")
    assert code == 130
    assert "Interrupted; nothing half-done was left behind." in err
    assert names(tmp_path) == []


def test_compile_failure_has_its_own_exit_code(run, tmp_path, planted):
    class Untraceable(torch.nn.Module):
        def forward(self, *tensors):
            return tuple(tensors[0].tolist())

    planted(compile=lambda compilation: torchscript.compile(replace(compilation, module=Untraceable())))
    code, out, err = run("export", "esm", "--task", "fill-mask", "out", "--backend", "planted")
    assert code == 5
    assert err.splitlines()[-2].startswith("Error: torch.jit.trace failed:")
    assert names(tmp_path) == []


def _in_child(arguments: list[str], folder: Path, **how) -> subprocess.Popen:
    command = [sys.executable, "-m", "neuron_catalog", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    )


def test_full_disk_leaves_nothing(tmp_path):
    """A limit on the size of a file fails writes as a full disk does, for C++ and Python alike."""

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    child = _in_child(["export", "esm", "--task", "fill-mask", "out"], tmp_path, preexec_fn=small_files)
    _, err = child.communicate()
    assert child.returncode == 4
    assert "Error: " in err
    assert "out could not be written: " in err
    assert names(tmp_path) == []


def test_terminated_export_leaves_nothing(tmp_path):
    child = _in_child(["export", "bert", "--task", "fill-mask", "out"], tmp_path)
    deadline = time.monotonic() + 60
    while not names(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert names(tmp_path)[0].startswith(".out.partial-")
    os.kill(child.pid, signal.SIGTERM)
    child.communicate()
    assert child.returncode == 128 + signal.SIGTERM
    assert names(tmp_path) == []


def test_artifact_runs_in_another_process_without_the_catalog(tmp_path):
    exported = export(ExportRequest(architecture="bert", task="fill-mask", out=tmp_path / "out"))
    inputs = make_inputs(exported.manifest.plan, seed=11)
    expected = load_artifact(exported.folder)(**inputs)["logits"]
    torch.save({"inputs": inputs, "logits": expected}, tmp_path / "expected.pt")
    script = (
        "import sys, torch; sys.modules['neuron_catalog.catalog.index'] = None\n"
        "from neuron_catalog.runtime.base import load_artifact\n"
        f"saved = torch.load({str(tmp_path / 'expected.pt')!r})\n"
        f"given = load_artifact({str(tmp_path / 'out')!r})(**saved['inputs'])\n"
        "assert torch.equal(given['logits'], saved['logits'])\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
