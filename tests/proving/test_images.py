"""The comparison of images sees each part of a pipeline, and refuses images that prove nothing."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from neuron_catalog.catalog.evidence import read_evidence
from neuron_catalog.composition import Composition
from neuron_catalog.digests import record_file
from neuron_catalog.exporting.pipeline import export_resolved_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest, resolve_pipeline
from neuron_catalog.manifest import MANIFEST_NAME, Difference
from neuron_catalog.proving import compositions
from neuron_catalog.proving import images as comparison
from neuron_catalog.proving.compositions import check_pipeline
from neuron_catalog.proving.images import ALLOWED, Eager, check_images
from neuron_catalog.proving.record import evidence_of, record
from neuron_catalog.proving.selftest import selftest
from neuron_catalog.runtime.diffusion import calls

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

STEERED = ("stable-diffusion", "stable-diffusion-xl")


class Exported:
    """A tiny pipeline, and the eager modules of any seed."""

    def __init__(self, catalog, name, folder, seed=0):
        self.told = catalog.pipelines[name].uses
        controlnets = ("tiny",) if name in STEERED else ()
        request = PipelineRequest(pipeline=name, out=folder, controlnets=controlnets, seed=seed)
        self.resolved = resolve_pipeline(request, catalog)
        self.folder = export_resolved_pipeline(self.resolved).folder

    def eager(self, seed=0):
        parts = {name: each.part for name, each in self.resolved.parts.items()}
        sources = {name: replace(each.source, seed=seed) for name, each in self.resolved.parts.items()}
        return Eager.of(parts, sources)

    def check(self, use="text-to-image", modules=None, folder=None):
        eager = replace(self.eager(), modules={**self.eager().modules, **(modules or {})})
        return check_images(folder or self.folder, use, self.told[use], eager, seed=0)


@pytest.fixture(scope="module")
def exported(catalog, tmp_path_factory):
    made = {}

    def make(name):
        if name not in made:
            made[name] = Exported(catalog, name, tmp_path_factory.mktemp(name) / "artifact")
        return made[name]

    return make


def hold_each_part(pipeline, use):
    """With one module of other weights the images must differ."""
    assert pipeline.check(use).status == "passed"
    other = pipeline.eager(seed=1).modules
    unused = {"controlnet"} if use != "controlnet" else set()
    seen = {name: pipeline.check(use, {name: other[name]}) for name in other.keys() - unused}
    assert {name: each.detail for name, each in seen.items() if each.status != "failed"} == {}
    assert all(each.differences[0].largest > ALLOWED for each in seen.values())


def test_each_part_of_flux_is_seen(exported):
    hold_each_part(exported("flux"), "text-to-image")


def test_each_part_of_stable_diffusion_is_seen(exported):
    hold_each_part(exported("stable-diffusion"), "controlnet")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("stable-diffusion", "text-to-image"),
        ("stable-diffusion", "image-to-image"),
        ("stable-diffusion", "inpainting"),
        ("stable-diffusion-xl", "text-to-image"),
        ("stable-diffusion-xl", "image-to-image"),
        ("stable-diffusion-xl", "inpainting"),
        ("stable-diffusion-xl", "controlnet"),
        ("stable-diffusion-3", "text-to-image"),
        ("pixart", "text-to-image"),
        ("latent-consistency", "text-to-image"),
    ],
)
def test_each_part_of_the_others_is_seen(name, use, exported):
    hold_each_part(exported(name), use)


def test_a_graph_of_other_weights_is_seen(exported, catalog, tmp_path):
    """The artifact is whole and its digests are right: only the images tell."""
    folder = shutil.copytree(exported("flux").folder, tmp_path / "mixed")
    stranger = Exported(catalog, "flux", tmp_path / "stranger", seed=1)
    shutil.rmtree(folder / "transformer")
    shutil.copytree(stranger.folder / "transformer", folder / "transformer")
    composition = Composition.read(folder)
    part = composition.parts["transformer"]
    changed = part.model_copy(update={"manifest": record_file(folder / "transformer" / MANIFEST_NAME)})
    (folder / MANIFEST_NAME).unlink()
    composition.model_copy(update={"parts": {**composition.parts, "transformer": changed}}).write(folder)
    check = exported("flux").check(folder=folder)
    assert (check.name, check.status) == ("image", "failed")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda name, value: value + 0.01 if name == "timestep" else value,
        lambda name, value: value.flip(0) if name == "encoder_hidden_states" else value,
        lambda name, value: value * 0 if name == "pooled_projections" else value,
        lambda name, value: value * 0 if name == "guidance" else value,
    ],
    ids=["timestep", "order of prompts", "pooled prompt", "guidance"],
)
def test_an_argument_that_the_runtime_passes_wrongly_is_seen(wrong, exported, monkeypatch):
    fitted = calls.fitted
    monkeypatch.setattr(
        calls, "fitted", lambda tensor, value, rows: wrong(tensor.name, fitted(tensor, value, rows))
    )
    assert exported("flux").check().status == "failed"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda made: np.zeros_like(made), "have one colour: they prove nothing"),
        (lambda made: np.stack([np.zeros_like(made[0]), np.ones_like(made[1])]), "have one colour"),
        (lambda made: np.full_like(made, np.nan), "have NaN or infinity"),
        (lambda made: np.where(made == made.max(), np.nan, made), "have NaN or infinity"),
    ],
    ids=["black", "black and white", "NaN", "one NaN"],
)
def test_images_that_tell_nothing_are_refused(make, said, exported, monkeypatch):
    noise = np.random.default_rng(0).random((2, 64, 48, 3), dtype=np.float32)
    monkeypatch.setattr(comparison, "images_of", lambda *args: (make(noise), make(noise)))
    check = exported("flux").check()
    assert check.status == "failed"
    assert said in check.detail


def test_a_comparison_that_accepts_everything_fails_its_negative_control(catalog, monkeypatch, tmp_path):
    passing = comparison.Check(name="image", status="passed", detail="all is well")
    monkeypatch.setattr(compositions, "check_images", lambda *args: passing)
    checks = {each.name: each for each in check_pipeline(catalog, "flux", "text-to-image", tmp_path)}
    assert checks["negative_control"].status == "failed"
    assert checks["negative_control"].detail == "parts with other weights were not told apart: all is well"


@pytest.mark.parametrize("largest", [0.0, float("nan"), float("inf")])
def test_a_failure_for_another_reason_proves_nothing_as_a_negative_control(largest):
    difference = Difference(output="image", seed=0, largest=largest, allowed=ALLOWED)
    flat = comparison.Check(
        name="image", status="failed", detail="have one colour", differences=(difference,)
    )
    assert compositions.negative_control(flat).status == "failed"
    told = flat.model_copy(update={"differences": (difference.model_copy(update={"largest": 0.1}),)})
    assert compositions.negative_control(told).status == "passed"


@pytest.fixture(scope="module")
def rows(catalog):
    """The rows of a pipeline and of a component."""
    return {row.architecture: row for row in selftest(catalog, ["flux", "vae-decoder"])}


def test_a_pipeline_and_a_component_have_rows(rows, catalog):
    flux, decoder = rows["flux"], rows["vae-decoder"]
    assert (flux.complaint, decoder.complaint) == ("", "")
    assert [check.name for check in flux.checks] == [
        *catalog.pipelines["flux"].parts,
        "image",
        "negative_control",
    ]
    assert {check.status for check in flux.checks} == {"passed"}
    assert (flux.task, decoder.task) == ("text-to-image", catalog.rows("vae-decoder")[0])
    assert {"values", "negative_control"} <= {check.name for check in decoder.checks}


def test_the_image_of_a_pipeline_is_its_evidence(rows, catalog, tmp_path):
    row = rows["flux"]
    evidence = evidence_of(catalog, row)
    image = next(check for check in row.checks if check.name == "image")
    assert evidence.largest_scaled_difference == pytest.approx(image.differences[0].largest, rel=0.05)
    assert evidence.largest_scaled_difference <= ALLOWED
    assert "diffusers" in evidence.versions
    assert evidence.checks["image"] == "passed"


def test_rows_of_pipelines_are_recorded(rows, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(type(catalog), "evidence_file", lambda self, name: tmp_path / f"{name}.json")
    assert record(catalog, rows.values()) == 2
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["flux.json", "vae-decoder.json"]
    assert json.loads((tmp_path / "flux.json").read_text("utf-8"))
    assert [run.task for run in read_evidence(tmp_path / "flux.json")] == ["text-to-image"]


def test_rows_of_pipelines_are_not_run_again(rows, run, monkeypatch):
    seen = []

    def run_job(job):
        seen.append(job.architecture)
        return rows[job.architecture]

    monkeypatch.setattr("neuron_catalog.proving.selftest.run_job", run_job)
    command = ("selftest", "flux", "vae-decoder", "--resume", "rows.jsonl")
    assert run(*command)[1].splitlines()[-1] == "2 of 2 passed."
    code, out, err = run(*command)
    assert (code, seen) == (0, ["flux", "vae-decoder"])
    assert out.splitlines()[0] == "2 of 2 rows passed before: taken from rows.jsonl."


def test_a_pipeline_of_other_weights_makes_other_images(exported):
    """The negative control of `selftest`, by itself."""
    torch.manual_seed(0)
    pipeline = exported("flux")
    check = pipeline.check(modules=pipeline.eager(seed=1).modules)
    assert (check.status, check.differences[0].largest > 10 * ALLOWED) == ("failed", True)
