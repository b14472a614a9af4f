"""Pipelines on the command line: what is printed, what is refused, and what needs diffusers."""

import json
import shutil
import subprocess
import sys

import pytest
from tests.conftest import leftovers
from tests.diffusion import save_pipeline
from tests.runtime.diffusion.twins import COPY

from neuron_catalog.exporting import pipeline as exporting

USAGE, IMPOSSIBLE = 2, 4
TINY = ("--task", "stable-diffusion")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The output of the export of a tiny pipeline, as text; and the folder."""
    around = tmp_path_factory.mktemp("cli")
    command = [sys.executable, "-m", "neuron_catalog", "export", "--task", "pixart", str(around / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return around / "out", done.stdout, done.stderr


def test_export_tells_sizes_checks_and_how_to_go_on(exported):
    folder, out, err = exported
    lines = out.splitlines()
    assert lines[0].startswith("Exporting pixart with backend torchscript on the CPU: batch_size 2, ")
    assert lines[1] == (
        "No --model was given: this is the pipeline's tiny version with random weights of seed 0."
    )
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["text_encoder", "t5-encoder"],
        ["vae_decoder", "vae-decoder"],
        ["transformer", "pixart-transformer-2d"],
    ]
    assert lines[5] == "Validating the graph of each part, saved and read back, against the eager module:"
    for line, part in zip(lines[6:9], ("text_encoder", "vae_decoder", "transformer"), strict=True):
        assert line.startswith(f"- {part}: [✓] signature, finite, values, inputs_alive, ")
        assert "; largest difference " in line
        assert "✗" not in line
    assert lines[9:] == [
        f"Saved to {folder}. Load it in Python with one of:",
        f'  NeuronPixArtAlphaPipeline.from_pretrained("{folder}")  # text-to-image',
    ]
    assert err.splitlines()[-1] == "Writing the pipeline ..."


def test_verify_counts_the_files_of_all_parts(exported, run):
    folder, *_ = exported
    code, out, err = run("verify", str(folder))
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert (code, out) == (0, f"{len(names) - 2} files are as they were exported.\n")
    listed = json.loads(run("verify", str(folder), "--json")[1])
    assert set(listed) == set(names) - {"neuron_catalog.json", "README.md"}
    assert set(listed["model_index.json"]) == {"bytes", "sha256"}


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("model_index.json", "model_index.json"),
        ("scheduler/scheduler_config.json", "scheduler/scheduler_config.json"),
        ("transformer/model.pt", "transformer: model.pt"),
        ("transformer/neuron_catalog.json", "transformer: neuron_catalog.json"),
    ],
)
def test_verify_names_what_was_altered(file, said, exported, run, tmp_path):
    shutil.copytree(exported[0], tmp_path / "out")
    with (tmp_path / "out" / file).open("ab") as opened:
        opened.write(b" ")
    code, out, err = run("verify", "out")
    assert code == 6
    assert err.startswith(f"Error: The artifact out was altered after it was exported: {said}")


def test_verify_of_a_part_that_is_gone(exported, run, tmp_path):
    shutil.copytree(exported[0], tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "transformer")
    code, out, err = run("verify", "out")
    assert code == 6
    assert "transformer: neuron_catalog.json" in err


def test_inspect_shows_the_parts_and_the_rest(exported, run):
    folder, *_ = exported
    code, out, err = run("inspect", str(folder))
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("pixart: batch_size 2, num_images_per_prompt 1, guidance_copies 2, ")
    assert lines[1:5] == [
        "source: tiny pixart",
        "uses:",
        "  text-to-image  NeuronPixArtAlphaPipeline",
        "parts:",
    ]
    assert [line.split()[:3] for line in lines[5:8]] == [
        ["[✓]", "text_encoder", "t5-encoder"],
        ["[✓]", "vae_decoder", "vae-decoder"],
        ["[✓]", "transformer", "pixart-transformer-2d"],
    ]
    assert lines[8] == "files besides the parts:"
    assert json.loads(run("inspect", str(folder), "--json")[1])["pipeline"] == "pixart"


def test_a_part_is_verified_and_inspected_by_itself(exported, run):
    part = str(exported[0] / "transformer")
    assert run("verify", part)[:2] == (0, "2 files are as they were exported.\n")
    code, out, err = run("inspect", part)
    assert code == 0
    assert out.startswith("pixart-transformer-2d (PixArtTransformer2DModel, wrapper forward)\n")
    assert "[✓] oracle: " in out
    assert json.loads(run("inspect", part, "--json")[1])["source"]["kind"] == "tiny"


@pytest.mark.filterwarnings(COPY)
def test_validate_of_a_whole_pipeline_checks_parts_and_images(exported, run):
    code, out, err = run("validate", str(exported[0]))
    assert code == 0
    told = dict(line.removeprefix("- ").split(": ", 1) for line in out.splitlines())
    assert list(told) == ["text_encoder", "vae_decoder", "transformer", "text-to-image"]
    assert told["vae_decoder"].startswith(
        "[✓] signature, finite, values, inputs_alive, rows_independent, oracle"
    )
    assert told["text-to-image"].startswith("[✓] 2 images of 64 x 48 pixels in 4 steps: largest difference ")
    code, out, err = run("validate", str(exported[0]), "--json")
    assert json.loads(out)["images"]["text-to-image"]["status"] == "passed"


def test_validate_of_a_part_names_the_whole(exported, run):
    code, out, err = run("validate", str(exported[0] / "transformer"))
    assert code == IMPOSSIBLE
    assert "pixart-transformer-2d is a part of a pipeline, and is validated with it." in err


def test_a_misspelt_pipeline_without_a_model_is_hinted_at(run):
    code, out, err = run("export", "--task", "stable-difusion")
    assert code == IMPOSSIBLE
    assert "There is no task 'stable-difusion'; did you mean stable-diffusion" in err


def test_plan_prints_every_shape_and_writes_nothing(run, tmp_path):
    code, out, err = run("plan", *TINY, "--controlnet_ids", "tiny")
    assert code == 0
    lines = out.splitlines()
    names = ["text_encoder", "vae_encoder", "vae_decoder", "controlnet", "unet"]
    assert [line[:-1] for line in lines if line.endswith(":") and line[:-1] in names] == names
    assert "unet (UNet2DConditionModel, wrapper forward)" in lines
    assert "  sample: float32[batch_size=4, in_channels=4, latent_height=8, latent_width=6]" in lines
    assert leftovers(tmp_path) == []


def test_plan_as_json(run):
    told = json.loads(run("plan", *TINY, "--height", "32", "--json")[1])
    assert (told["pipeline"], told["axes"]["height"], told["axes"]["width"]) == ("stable-diffusion", 32, 48)
    assert list(told["parts"]) == ["text_encoder", "vae_encoder", "vae_decoder", "unet"]
    assert told["parts"]["vae_decoder"]["axes"] == {"batch_size": 2, "latent_height": 4, "latent_width": 6}


def test_the_name_of_a_pipeline_stands_where_that_of_an_architecture_does(run):
    assert run("plan", "stable-diffusion", "--json") == run("plan", *TINY, "--json")


@pytest.fixture(scope="module")
def model(catalog, tmp_path_factory):
    return str(save_pipeline(catalog, "stable-diffusion", tmp_path_factory.mktemp("model") / "sd"))


@pytest.fixture
def untouched(monkeypatch, tmp_path):
    """Make sure that nothing is exported, and nothing written."""
    begun = []
    monkeypatch.setattr(exporting, "export_into", lambda *arguments, **more: begun.append(arguments))
    yield
    assert begun == []
    assert leftovers(tmp_path) == []


SIZED = ("--height", "64", "--width", "64")
REFUSED = {
    "a height that the autoencoder cannot divide": (
        ("--model", "MODEL", "--height", "20", "--width", "32"),
        IMPOSSIBLE,
        "height 20 is no multiple of 8, as this stable-diffusion model needs it (latent_scale).",
        "Use --height 16.",
    ),
    "no height and width": (
        ("--model", "MODEL"),
        IMPOSSIBLE,
        "stable-diffusion needs height and width: a compiled graph has fixed shapes.",
        "Add for example: --height 512 --width 512",
    ),
    "no width": (
        ("--model", "MODEL", "--height", "64"),
        IMPOSSIBLE,
        "stable-diffusion needs width: a compiled graph has fixed shapes.",
        "Add for example: --height 64 --width 512",
    ),
    "an axis of other models": (
        ("--model", "MODEL", *SIZED, "--num_choices", "2"),
        IMPOSSIBLE,
        "stable-diffusion has no axis 'num_choices'; known are: batch_size, guidance_copies, height, "
        "num_images_per_prompt, width",
        "Its axes are: batch_size, num_images_per_prompt, guidance_copies, height, width.",
    ),
    "an axis that is misspelt": (
        ("--model", "MODEL", *SIZED, "--axis", "num_images=2"),
        IMPOSSIBLE,
        "stable-diffusion has no axis 'num_images'; did you mean num_images_per_prompt?",
        "Its axes are: batch_size, num_images_per_prompt, guidance_copies, height, width.",
    ),
    "several sizes": (
        ("--model", "MODEL", "--height", "64,128", "--width", "64"),
        USAGE,
        "--height has several sizes: a pipeline has one graph for each part.",
        "Give one size.",
    ),
    "a size of nothing": (
        (*TINY, "--batch_size", "0"),
        IMPOSSIBLE,
        "batch_size must be a positive whole number, not 0.",
        None,
    ),
    "hidden states": (
        (*TINY, "--output_hidden_states"),
        USAGE,
        "--output_hidden_states cannot be given for a pipeline.",
        "Leave it out.",
    ),
    "any batch": (
        (*TINY, "--dynamic_batch_size"),
        USAGE,
        "--dynamic_batch_size cannot be given for a pipeline.",
        "Leave it out.",
    ),
    "code and pickles": (
        ("--model", "MODEL", *SIZED, "--trust_remote_code", "--allow_pickle"),
        USAGE,
        "--trust_remote_code and --allow_pickle cannot be given for a pipeline.",
        "Leave them out.",
    ),
    "a lower type": (
        (*TINY, "--auto_cast", "matmul"),
        IMPOSSIBLE,
        "The backend torchscript cannot do auto_cast=matmul: it runs in float32 on the CPU, so auto_cast can "
        "only be none.",
        "Leave it out.",
    ),
    "an unknown task": (
        ("--model", "MODEL", "--task", "stable-difusion"),
        IMPOSSIBLE,
        "There is no task 'stable-difusion'; did you mean stable-diffusion or stable-diffusion-3 or "
        "stable-diffusion-xl?",
        "`neuron-catalog list-tasks` shows all tasks.",
    ),
    "an unknown pipeline": (
        ("stable-difusion",),
        IMPOSSIBLE,
        "The catalog has no architecture 'stable-difusion'; did you mean stable-diffusion or "
        "stable-diffusion-3 or stable-diffusion-xl?",
        "`neuron-catalog list` shows all; CONTRIBUTING.md shows how one YAML file adds another.",
    ),
    "another pipeline": (
        ("--model", "MODEL", "--task", "flux"),
        IMPOSSIBLE,
        "MODEL is a StableDiffusionPipeline, and flux is one of: FluxPipeline.",
        "Leave --task out to have it told from the checkpoint.",
    ),
    "no folder": (
        ("--model", "./nowhere", *TINY, *SIZED),
        IMPOSSIBLE,
        "There is no folder ./nowhere.",
        "Check the path.",
    ),
    "an adapter for random weights": (
        (*TINY, "--lora_model_ids", "someone/style"),
        USAGE,
        "The tiny pipeline has seeded random weights: no other parts and adapters suit it.",
        "Add --model, or leave --unet and --lora_model_ids out.",
    ),
    "a scale without an adapter": (
        ("--model", "MODEL", *SIZED, "--lora_scales", "0.5"),
        USAGE,
        "--lora_scales and --lora_model_ids differ in length: 1 and 0.",
        "Give one entry per adapter, in the same order.",
    ),
    "an adapter that is nowhere": (
        ("--model", "MODEL", *SIZED, "--lora_model_ids", "./nowhere"),
        IMPOSSIBLE,
        "There is no folder ./nowhere.",
        "Check the path.",
    ),
    "a denoiser for a model of texts": (
        ("esm", "--task", "fill-mask", "--unet", "x"),
        USAGE,
        "--unet is for diffusion pipelines only.",
        "Leave it out, or add --task stable-diffusion or another pipeline.",
    ),
    "adapters for a model of texts": (
        ("esm", "--task", "fill-mask", "--lora_model_ids", "x", "--controlnet_ids", "y"),
        USAGE,
        "--controlnet_ids and --lora_model_ids are for diffusion pipelines only.",
        "Leave them out, or add --task stable-diffusion or another pipeline.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_exported_is_said_before_anything_is_computed(what, model, run, untouched):
    arguments, exit_code, cause, remedy = REFUSED[what]
    code, out, err = run("export", *(each.replace("MODEL", model) for each in arguments))
    expected = f"Error: {cause.replace('MODEL', model)}\n"
    if remedy:
        expected += f"  Fix: {remedy}\n"
    assert (code, err) == (exit_code, expected)


def test_a_target_that_is_not_empty_is_refused_before_the_model_is_looked_at(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    code, out, err = run("export", "--model", "./nowhere", *TINY, "out")
    assert (code, err) == (
        IMPOSSIBLE,
        "Error: The folder out is not empty.\n  Fix: Choose another one, or add --overwrite.\n",
    )


@pytest.mark.parametrize("option", ["--output_hidden_states", "--output_attentions", "--trust_remote_code"])
def test_plan_refuses_what_export_refuses(option, run):
    code, out, err = run("plan", *TINY, option)
    assert (code, err) == (
        USAGE,
        f"Error: {option} cannot be given for a pipeline.\n  Fix: Leave it out.\n",
    )


def test_an_export_without_validation_does_not_say_that_it_was_validated(run):
    code, out, err = run("export", "--task", "pixart", "out", "--disable_validation")
    assert code == 0
    assert "Not validated: --disable-validation was given." in out.splitlines()
    assert "✓" not in out
    assert "[–] text_encoder" in run("inspect", "out")[1]


def test_export_as_json_prints_nothing_else(run):
    code, out, err = run("export", "--task", "pixart", "out", "--disable_validation", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["folder"].rpartition("/")[2], told["pipeline"]) == ("out", "pixart")


WITHOUT_DIFFUSERS = """
import sys
from importlib.machinery import PathFinder

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "diffusers":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from neuron_catalog.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def without_diffusers(tmp_path):
    def call(*arguments):
        command = [sys.executable, "-c", WITHOUT_DIFFUSERS, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.mark.parametrize("command", ["export", "plan"])
def test_a_pipeline_without_diffusers_names_the_extra(command, without_diffusers, tmp_path):
    assert without_diffusers(command, *TINY) == (
        IMPOSSIBLE,
        "",
        "Error: A diffusion pipeline needs the package diffusers, which is not installed.\n"
        '  Fix: Install it with: pip install "neuron-catalog[diffusion]"\n',
    )
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("list-tasks",),
        ("check",),
        ("doctor",),
        ("plan", "esm", "--task", "fill-mask"),
    ],
    ids=lambda command: command[0],
)
def test_all_else_works_without_diffusers(command, without_diffusers):
    code, out, err = without_diffusers(*command)
    assert (code, err) == (0, "")


@pytest.mark.slow
def test_models_are_exported_and_proved_without_diffusers(without_diffusers):
    assert without_diffusers("export", "esm", "--task", "fill-mask", "out")[0] == 0
    code, out, err = without_diffusers("selftest", "esm")
    assert code == 0
    assert "[✓] esm fill-mask" in out


def test_the_selftest_of_a_pipeline_is_not_run_without_diffusers(without_diffusers):
    code, out, err = without_diffusers("selftest", "stable-diffusion", "--json")
    rows = json.loads(out)["rows"] if isinstance(json.loads(out), dict) else json.loads(out)
    assert {row["task"] for row in rows} == {"text-to-image", "image-to-image", "inpainting", "controlnet"}
    reason = "A diffusion pipeline needs the package diffusers, which is not installed."
    assert {row["not_run"] for row in rows} == {reason}
    assert not any(row["passed"] or row["error"] for row in rows)


def test_every_step_of_an_export_moves_the_bar(exported):
    from neuron_catalog.cli.printing import STEPS

    *steps, last = exported[2].splitlines()
    assert len(steps) == STEPS * 3
