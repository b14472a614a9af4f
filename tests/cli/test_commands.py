"""Commands as a user sees them."""

import json
import re

import pytest
import yaml

from neuron_catalog.exporting.backends import BACKENDS, neuronx
from neuron_catalog.sdk import installed, machine


def test_list_tasks_of_an_architecture(run):
    code, out, err = run("list-tasks", "distilbert")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "feature-extraction",
        "fill-mask",
        "multiple-choice",
        "question-answering",
        "text-classification",
        "token-classification",
    ]
    assert "needs batch_size, sequence_length, num_choices" in out.splitlines()[2]


def test_list_tasks_as_json(run):
    code, out, err = run("list-tasks", "esm", "--json")
    assert json.loads(out)["fill-mask"] == {
        "outputs": ["logits"],
        "mandatory_axes": ["batch_size", "sequence_length"],
    }


def test_list_tasks_of_the_whole_catalog(run, catalog):
    code, out, err = run("list_tasks", "--json")
    tasks = json.loads(out)
    assert set(tasks) == set(catalog.tasks)
    assert "esm" in tasks["fill-mask"]["architectures"]
    assert "esm" not in tasks["question-answering"]["architectures"]


def test_list_has_a_line_for_each_architecture_component_and_pipeline(run, catalog):
    code, out, err = run("list")
    assert [line.split()[0] for line in out.splitlines()] == list(catalog.names)
    assert list(json.loads(run("list", "--json")[1])) == list(catalog.names)


def test_show_and_list_tasks_know_pipelines_and_components(run):
    code, out, err = run("show", "stable-diffusion")
    shown = yaml.safe_load(out)
    assert shown["parts"]["unet"]["bind"]["batch_size"] == "guided_images"
    assert shown["uses"]["text-to-image"]["runtime_class"] == "NeuronStableDiffusionPipeline"
    assert shown["config_paths"]["block_out_channels"] == "vae.block_out_channels"
    code, out, err = run("show", "unet", "--json")
    shown = json.loads(out)
    assert shown["input_definitions"]["timestep"]["below"] == 1000
    assert list(shown["axes"]) == ["batch_size", "sequence_length", "latent_height", "latent_width"]
    code, out, err = run("list-tasks", "flux")
    assert out.split() == [
        "text-to-image",
        "NeuronFluxPipeline",
        "needs",
        "sequence_length,",
        "height,",
        "width",
    ]
    assert json.loads(run("list-tasks", "flux", "--json")[1]) == {"text-to-image": "NeuronFluxPipeline"}
    code, out, err = run("list-tasks", "unet")
    assert code == 4
    assert "unet is a component, and no architecture: it has no tasks." in err


def test_show_resolves_every_name(run):
    code, out, err = run("show", "esm")
    shown = yaml.safe_load(out)
    assert shown["tasks"]["fill-mask"]["model_class"] == "AutoModelForMaskedLM"
    assert shown["input_definitions"]["input_ids"]["fill"] == "random_ids"
    assert shown["axes"]["sequence_length"] == {"suggest": 128}
    assert shown["atol"] == 0.001
    assert json.loads(run("show", "esm", "--json")[1]) == shown


def test_plan_prints_every_shape_and_writes_nothing(run, tmp_path):
    code, out, err = run("plan", "bert", "--task", "multiple-choice", "--num_choices", "5")
    assert code == 0
    assert "input_ids: int64[batch_size=2, num_choices=5, sequence_length=16] padded with 0" in out
    assert "logits: float32[batch_size=2, num_choices=5]" in out
    assert list(tmp_path.iterdir()) == []


def test_plan_reads_no_weights(run, checkpoint, tmp_path):
    import shutil

    folder = shutil.copytree(checkpoint("esm", "fill-mask"), tmp_path / "model")
    (folder / "model.safetensors").unlink()
    code, out, err = run("plan", "--model", "model", "--batch_size", "1", "--sequence_length", "4")
    assert (code, "esm for fill-mask" in out) == (0, True)


def test_plan_shows_what_deviates(run):
    code, out, err = run("plan", "convbert", "--task", "fill-mask")
    assert "by design not masked_tokens_dead: The span-based convolution" in out


def test_artifact_commands(run, tmp_path):
    run("export", "esm", "--task", "fill-mask", "out")
    assert run("verify", "out")[:2] == (0, "2 files are as they were exported.\n")
    code, out, err = run("inspect", "out")
    assert "tied: esm.embeddings.word_embeddings.weight = lm_head.decoder.weight" in out
    assert json.loads(run("inspect", "out", "--json")[1])["graphs"][-1]["plan"]["architecture"] == "esm"
    code, out, err = run("validate", "out")
    assert (code, "-[✓] oracle" in out) == (0, True)


def test_export_as_json(run):
    code, out, err = run("export", "esm", "--task", "fill-mask", "out", "--json")
    told = json.loads(out)
    assert (told["folder"], told["graphs"][-1]["plan"]["task"], err) == ("out", "fill-mask", "")


def test_altered_artifact_is_refused_by_every_command(run, tmp_path):
    run("export", "esm", "--task", "fill-mask", "out")
    graph = tmp_path / "out" / "model.pt"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    for command in ("verify", "validate"):
        code, out, err = run(command, "out")
        assert code == 6
        assert "model.pt has another digest" in err
    (tmp_path / "out" / "config.json").unlink()
    assert "config.json is missing" in run("verify", "out")[2]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ('{"format": 99}', "was written by a newer neuron-catalog: its format is 99, not 1."),
        ('{"format": 0}', "neuron_catalog.json cannot be read: format"),
    ],
)
def test_manifest_that_cannot_be_read(told, said, run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "neuron_catalog.json").write_text(told)
    code, out, err = run("inspect", "out")
    assert code == 4
    assert said in err


def test_doctor_names_backends_and_catalog_folders(run, tmp_path):
    (tmp_path / "mine").mkdir()
    code, out, err = run("doctor", "--catalog", "mine")
    assert code == 0
    assert re.search("^ *torchscript +available$", out, re.MULTILINE)
    assert out.index("mine") < out.index("backends:")
    backends = json.loads(run("doctor", "--json")[1])["backends"]
    assert backends["torchscript"] == "available"
    assert list(backends) == list(BACKENDS)


def test_doctor_tells_in_a_sentence_why_a_backend_is_not_available(run):
    code, out, err = run("doctor")
    lines = {line.split()[0]: line for line in out[out.index("backends:") :].splitlines()[1:]}
    for name in ("neuronx", "neuron"):
        assert f"{name} ".ljust(len("torch-export") + 2) + "not available: " in lines[name]
    assert "the Neuron SDK is not installed; with it any machine compiles" in lines["neuronx"]
    assert "pip install torch-neuronx==2.9.0.2.15.32035 neuronx-cc==2.26.6360.0" in lines["neuronx"]
    assert "no environment can have both" in lines["neuron"]
    assert "take Inf2 or Trn1, backend neuronx" in lines["neuron"]


@pytest.fixture
def neuron(monkeypatch, tmp_path):
    """Return a function that gives this machine devices, an instance type, and versions of packages."""

    def give(devices=0, instance="", **packages):
        place = tmp_path / "machine"
        place.mkdir()
        (place / "product").write_text(instance)
        for number in range(devices):
            (place / f"neuron{number}").touch()
        monkeypatch.setattr(machine, "DEVICES", place)
        monkeypatch.setattr(machine, "PRODUCT", place / "product")
        versions = {name.replace("_", "-"): version for name, version in packages.items()}
        monkeypatch.setattr(installed, "installed", lambda name: versions.get(name))

    return give


@pytest.mark.parametrize(
    ("given", "said", "told"),
    [
        ({}, ["none"], (0, None, None, {})),
        ({"instance": "m5.large"}, ["none"], (0, "m5.large", None, {})),
        (
            {
                "devices": 2,
                "instance": "trn2u.48xlarge",
                "torch_neuronx": "2.9.0.2.15.32035+abc",
                "neuronx_cc": "2.26.6360.0+def",
            },
            [
                "2 on trn2u.48xlarge: exports are compiled for trn2, unless --target names another",
                "torch-neuronx is of SDK 2.31.0",
                "neuronx-cc is of SDK 2.31.0",
            ],
            (2, "trn2u.48xlarge", "trn2", {"torch-neuronx": "2.31.0", "neuronx-cc": "2.31.0"}),
        ),
        (
            {"torch_neuronx": "2.9.0.2.15.32035", "neuronx_cc": "2.27.5334.0"},
            [
                "none",
                "torch-neuronx is of SDK 2.31.0",
                "neuronx-cc is of SDK 2.32.0",
                "the two were not released together: install those of one SDK",
            ],
            (0, None, None, {"torch-neuronx": "2.31.0", "neuronx-cc": "2.32.0"}),
        ),
        (
            {"devices": 1, "neuronx_cc": "99.1"},
            [
                "1 on an instance whose type the machine does not tell: name what to compile for by --target",
                "neuronx-cc is of no SDK that neuron-catalog knows",
            ],
            (1, None, None, {"neuronx-cc": None}),
        ),
        (
            {"devices": 1, "instance": "inf1.xlarge"},
            ["1 on inf1.xlarge: Inf1 is no longer supported by AWS; see the backend neuron below"],
            (1, "inf1.xlarge", None, {}),
        ),
    ],
    ids=["nothing", "another machine", "one SDK", "two SDKs", "an unknown SDK", "Inf1"],
)
def test_doctor_tells_of_devices_and_of_the_sdk(run, neuron, given, said, told):
    neuron(**given)
    out = run("doctor")[1]
    section = out[out.index("Neuron device:") : out.index("backends:")]
    assert section.splitlines()[1:] == [f"  {line}" for line in said]
    as_json = json.loads(run("doctor", "--json")[1])["neuron"]
    assert tuple(as_json[key] for key in ("devices", "instance", "target", "sdk")) == told


def test_doctor_tells_what_can_be_compiled_and_not_run(run, monkeypatch):
    monkeypatch.setattr(neuronx, "unavailable", lambda: "")
    backends = json.loads(run("doctor", "--json")[1])["backends"]
    said = "available to compile, not to run what it compiled: this machine has no Neuron device"
    assert backends["neuronx"] == said


def test_architecture_taken_out_of_the_catalog_works_as_a_user_overlay(run, tmp_path, catalog, monkeypatch):
    import shutil

    from neuron_catalog.catalog import folders

    shipped = shutil.copytree(folders.shipped_folder(), tmp_path / "shipped")
    overlay = tmp_path / "overlay" / "architectures"
    overlay.mkdir(parents=True)
    (shipped / "architectures" / "esm.yaml").rename(overlay / "esm.yaml")
    monkeypatch.setattr(folders, "shipped_folder", lambda: shipped)
    command = ("export", "esm", "--task", "fill-mask", "out")
    code, out, err = run(*command)
    assert (code, "no architecture 'esm'" in err) == (4, True)
    assert run("--catalog", "overlay", *command)[0] == 0
    code, out, err = run("--catalog", "overlay", "selftest", "esm")
    assert (code, out.splitlines()[-1]) == (0, "4 of 4 passed.")
    monkeypatch.setenv(folders.PATH_VARIABLE, "overlay")
    assert run("list-tasks", "esm")[0] == 0
    assert run("validate", "out")[0] == 0


def test_image_size_sets_height_and_width(run):
    command = ("plan", "convnext", "--task", "image-classification")
    code, out, err = run(*command, "--image_size", "48")
    assert (code, "height=48, width=48" in out) == (0, True)
    code, out, err = run(*command, "--image_size", "48", "--height", "32")
    assert (code, "--image_size sets height and width, and --height was given too." in err) == (2, True)
    code, out, err = run("plan", "bert", "--task", "fill-mask", "--image_size", "48")
    assert (code, "bert has no axis 'height' for fill-mask" in err) == (4, True)
