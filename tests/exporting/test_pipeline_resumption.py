"""Parts that are finished are kept until the pipeline is whole; an export that failed goes on from there."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.conftest import leftovers
from tests.diffusion import SIZES, Steps, save_adapter

from neuron_catalog import RequestError, VerificationError
from neuron_catalog.composition import Composition
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.exporting.pipeline import export_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest
from neuron_catalog.manifest import MANIFEST_NAME
from neuron_catalog.models.adapters import Adapter
from neuron_catalog.models.wrappers.latents import LatentDecoder

PARTS = ["text_encoder", "vae_encoder", "vae_decoder", "unet"]
GO_ON = "Finished parts are kept: the same command goes on from there."
FAILED, REFUSED, INTERRUPTED = 5, 6, 130

KILLED = """
import os, signal, sys
from pathlib import Path
from neuron_catalog.exporting.pipeline import export_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest

def on_step(step):
    if step.startswith("vae_decoder: Compiling"):
        os.kill(os.getpid(), signal.SIGKILL)

axes = {"height": 16, "width": 32}
export_pipeline(PipelineRequest(model=sys.argv[1], out=Path(sys.argv[2]), axes=axes), on_step=on_step)
"""


@pytest.fixture
def model(saved_pipelines):
    return saved_pipelines("stable-diffusion")


def request(model, out, **more):
    return PipelineRequest(model=str(model), out=out, **{"axes": SIZES, **more})


def kept_of(out):
    return out.parent / f".{out.name}.parts"


def parts_in(folder):
    """The finished parts in a folder, without the key in their names."""
    return sorted(path.name.rpartition("-")[0] for path in folder.iterdir() if path.name[0] != ".")


def interrupted(catalog, asked, until="vae_encoder: Loading"):
    """Export until Ctrl-C is pressed at a step; returns what was reported."""
    steps = Steps(until)
    with pytest.raises(KeyboardInterrupt):
        export_pipeline(asked, catalog, steps)
    return steps


def files(*folders):
    return {(path.stat().st_ino, path.stat().st_mtime_ns) for each in folders for path in [each / "model.pt"]}


def require_whole(out, catalog):
    assert leftovers(out.parent) == [out.name]
    composition = Composition.read(out)
    composition.require_intact(out)
    assert list(composition.parts) == PARTS


def test_a_killed_export_goes_on_where_it_was(model, catalog, tmp_path):
    out = tmp_path / "out"
    driver = [sys.executable, "-c", KILLED, str(model), str(out)]
    done = subprocess.run(driver, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    assert parts_in(kept_of(out)) == ["text_encoder", "vae_encoder"]
    before = files(*kept_of(out).glob("*_encoder-*"))
    assert len(before) == 2
    steps = Steps()
    export_pipeline(request(model, out), catalog, steps)
    assert (steps.kept, steps.compiled) == (["text_encoder", "vae_encoder"], ["vae_decoder", "unet"])
    assert files(out / "text_encoder", out / "vae_encoder") == before
    require_whole(out, catalog)


@pytest.mark.slow
def test_ctrl_c_on_the_command_line_keeps_finished_parts(model, catalog, tmp_path):
    sizes = [f"--{axis}={size}" for axis, size in SIZES.items()]
    command = [sys.executable, "-m", "neuron_catalog", "export", "--model", str(model), "out", *sizes]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if line.startswith("vae_decoder: Loading"):
                running.send_signal(signal.SIGINT)
                break
        said = running.stderr.read()
    assert running.returncode == INTERRUPTED
    assert "Traceback" not in said
    assert leftovers(tmp_path) == [".out.parts"]
    assert parts_in(tmp_path / ".out.parts") == ["text_encoder", "vae_encoder"]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "text_encoder: kept from an earlier run" in again.stderr
    require_whole(tmp_path / "out", catalog)


def test_an_interrupted_export_leaves_nothing_half_done(model, catalog, tmp_path):
    out = tmp_path / "out"
    interrupted(catalog, request(model, out), "vae_encoder: Asking")
    assert leftovers(tmp_path) == [".out.parts"]
    (part,) = kept_of(out).iterdir()
    assert leftovers(part) == ["config.json", "model.pt", MANIFEST_NAME]
    steps = interrupted(catalog, request(model, out))
    assert (steps.kept, steps.compiled) == (["text_encoder"], [])


def test_an_export_that_is_interrupted_in_its_first_part_leaves_nothing_at_all(model, catalog, tmp_path):
    interrupted(catalog, request(model, tmp_path / "out"), "text_encoder: Asking")
    assert leftovers(tmp_path) == []


@pytest.fixture
def plant(monkeypatch):
    """Let the backend `planted` do something else with the decoder, while the fixture's value is set."""
    fault = SimpleNamespace(on=None)

    def compile(compilation):
        if fault.on and isinstance(compilation.module, LatentDecoder):
            compilation = replace(compilation, module=fault.on(compilation.module))
        return torchscript.compile(compilation)

    monkeypatch.setitem(
        backends.BACKENDS, "planted", SimpleNamespace(**{**vars(torchscript), "compile": compile})
    )
    return fault


def without_its_convolution(module):
    faulty = LatentDecoder(module)
    faulty.post_quant_conv = None
    return faulty


def test_a_part_that_fails_its_checks_keeps_the_others(model, plant, run, tmp_path):
    sizes = [f"--{axis}={size}" for axis, size in SIZES.items()]
    command = ["export", "--model", str(model), "out", "--backend", "planted", *sizes]
    plant.on = without_its_convolution
    code, out, err = run(*command)
    assert code == REFUSED
    assert "Error: vae_decoder: The compiled graph is not the model it was made from" in err
    assert "values: sample differs by" in err
    assert err.endswith(f"{GO_ON}\n")
    assert leftovers(tmp_path) == [".out.parts"]
    plant.on = None
    code, out, err = run(*command)
    assert code == 0
    assert [line for line in err.splitlines() if "kept" in line] == [
        "text_encoder: kept from an earlier run ...",
        "vae_encoder: kept from an earlier run ...",
    ]
    assert leftovers(tmp_path) == ["out"]
    assert run("verify", "out")[0] == 0


def test_a_part_that_cannot_be_compiled_is_named(model, plant, catalog, run, tmp_path):
    def untraceable(module):
        def forward(latents):
            raise ValueError("not today")

        module.forward = forward
        return module

    out = tmp_path / "out"
    asked = request(model, out, backend="planted")
    interrupted(catalog, asked, "vae_decoder: Loading")
    plant.on = untraceable
    sizes = [f"--{axis}={size}" for axis, size in SIZES.items()]
    code, _, err = run("export", "--model", str(model), "out", "--backend", "planted", *sizes)
    assert code == FAILED
    assert "Error: vae_decoder: torch.jit.trace failed: not today\n" in err
    assert err.endswith(f"{GO_ON}\n")
    assert not out.exists()


def test_nothing_is_said_to_be_kept_when_nothing_is(model, catalog, tmp_path, monkeypatch):
    """What another request has left is of no use to this one."""
    out = tmp_path / "out"
    interrupted(catalog, request(model, out, seed=7))

    def fail(compilation):
        raise VerificationError("It is wrong.", "Mend it.")

    monkeypatch.setitem(
        backends.BACKENDS, "planted", SimpleNamespace(**{**vars(torchscript), "compile": fail})
    )
    with pytest.raises(VerificationError) as refused:
        export_pipeline(request(model, out, backend="planted"), catalog)
    assert str(refused.value) == "text_encoder: It is wrong.\nMend it."


CHANGES = {
    "a size of the part": {"axes": {**SIZES, "batch_size": 2}},
    "a seed": {"seed": 1},
    "no validation": {"validation": False},
    "a tolerance": {"atol": 1e-3},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_made_for_another_request_is_not_taken(change, model, catalog, tmp_path):
    asked = request(model, tmp_path / "out")
    changed = request(model, tmp_path / "out", **CHANGES[change])
    assert interrupted(catalog, asked).compiled == ["text_encoder"]
    assert interrupted(catalog, changed).compiled == ["text_encoder"]
    assert interrupted(catalog, asked).kept == ["text_encoder"], "and it does not take its place"
    assert interrupted(catalog, changed).kept == ["text_encoder"]


def test_a_part_is_kept_if_a_size_that_changes_is_not_its_own(model, catalog, tmp_path):
    until = "vae_decoder: Loading"
    interrupted(catalog, request(model, tmp_path / "out"), until)
    steps = interrupted(catalog, request(model, tmp_path / "out", axes={"height": 8, "width": 8}), until)
    assert (steps.kept, steps.compiled) == (["text_encoder"], ["vae_encoder"])


def test_other_weights_are_not_taken_from_an_earlier_run(saved, catalog, tmp_path):
    folder = saved()
    asked = request(folder, tmp_path / "out")
    assert interrupted(catalog, asked).compiled == ["text_encoder"]
    file = folder / "text_encoder" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 0x80  # the sign of a number
    file.write_bytes(content)
    assert interrupted(catalog, asked).compiled == ["text_encoder"]


def test_other_adapters_are_not_taken_from_an_earlier_run(saved, catalog, tmp_path):
    folder = saved()
    adapter = save_adapter(folder, tmp_path / "lora", {"text_encoder": ["q_proj"]})

    def compiled(scale):
        adapters = (Adapter(model=str(adapter), scale=scale),)
        return interrupted(catalog, request(folder, tmp_path / "out", adapters=adapters)).compiled

    assert [compiled(1.0), compiled(0.5), compiled(1.0)] == [["text_encoder"], ["text_encoder"], []]


def test_another_diffusers_does_not_take_what_this_one_made(model, catalog, tmp_path, monkeypatch):
    """Its code is in the graph as much as that of transformers."""
    asked = request(model, tmp_path / "out", axes=SIZES)
    interrupted(catalog, asked, "vae_decoder: Loading")
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99.0" if name == "diffusers" else real(name))
    assert "vae_encoder" in interrupted(catalog, asked, "vae_decoder: Loading").compiled


@pytest.mark.parametrize("damage", ["changed", "removed", "no manifest", "no JSON"])
def test_a_kept_part_that_was_damaged_is_made_again(damage, model, catalog, tmp_path):
    out = tmp_path / "out"
    interrupted(catalog, request(model, out))
    (part,) = kept_of(out).iterdir()
    if damage == "changed":
        with (part / "model.pt").open("ab") as file:
            file.write(b"more")
    elif damage == "removed":
        (part / "config.json").unlink()
    elif damage == "no manifest":
        (part / MANIFEST_NAME).unlink()
    else:
        (part / MANIFEST_NAME).write_text("{")
    assert interrupted(catalog, request(model, out)).compiled == ["text_encoder"]
    assert interrupted(catalog, request(model, out)).kept == ["text_encoder"]


def test_an_export_replaces_another_only_when_told_to(model, catalog, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    steps = Steps()
    with pytest.raises(RequestError) as refused:
        export_pipeline(request(model, out), catalog, steps)
    assert str(refused.value) == (f"The folder {out} is not empty.\nChoose another one, or add --overwrite.")
    assert (steps, leftovers(tmp_path)) == ([], ["out"])
    interrupted(catalog, request(model, out, overwrite=True))
    assert leftovers(out) == ["old"], "until the new one is whole, the old one stays"
    export_pipeline(request(model, out, overwrite=True), catalog, steps)
    assert (steps.kept, steps.compiled) == (PARTS[:1], PARTS[1:])
    require_whole(out, catalog)


def test_files_that_lie_beside_a_target_are_left_alone(model, catalog, tmp_path):
    (tmp_path / "notes").write_text("notes")
    interrupted(catalog, request(model, tmp_path / "out"))
    assert leftovers(tmp_path) == [".out.parts", "notes"]


@pytest.mark.slow
def test_a_whole_export_that_is_replaced_is_made_anew(model, catalog, tmp_path):
    steps = Steps()
    for _ in range(2):
        asked = request(model, tmp_path / "out", overwrite=True, validation=False)
        export_pipeline(asked, catalog, steps)
        require_whole(tmp_path / "out", catalog)
    assert steps.compiled == PARTS * 2


@pytest.mark.slow
def test_a_disk_that_knows_no_links_gets_copies(model, catalog, tmp_path, monkeypatch):
    def link(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    export_pipeline(request(model, Path(tmp_path / "out"), validation=False), catalog)
    require_whole(tmp_path / "out", catalog)
