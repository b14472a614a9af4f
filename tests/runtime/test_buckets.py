"""Several sizes make several graphs in one file, and the cheapest that fits is run."""

import json
from dataclasses import replace

import pytest
import torch

from neuron_catalog import ExportRequest, Manifest, NeuronModelForMaskedLM, RequestError, export
from neuron_catalog.exporting.build import build, read_beside
from neuron_catalog.exporting.compiling import silent
from neuron_catalog.exporting.request import resolve
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.fitting import resized

LENGTHS = (4, 8, 16)


@pytest.fixture(scope="module")
def folder(checkpoint):
    return checkpoint("bert", "fill-mask")


@pytest.fixture(scope="module")
def model(folder):
    sizes = {"batch_size": (1, 3), "sequence_length": LENGTHS}
    return NeuronModelForMaskedLM.from_pretrained(folder, export=True, **sizes)


@pytest.fixture
def used(model, monkeypatch):
    return watched(model, monkeypatch)


def watched(model, monkeypatch):
    """Return a list that fills with the sizes of the graphs that are run."""
    seen = []
    for bucket in model.compiled._buckets:
        run = bucket.run

        def noted(*tensors, run=run, axes=bucket.plan.axes):
            seen.append((axes["batch_size"], axes["sequence_length"]))
            return run(*tensors)

        monkeypatch.setitem(bucket.__dict__, "run", noted)
    return seen


def inputs_of(model, rows, length):
    return make_inputs(resized(model.manifest.plan, {"batch_size": rows, "sequence_length": length}), seed=5)


def test_there_is_a_graph_for_each_combination_the_largest_last(model):
    found = [tuple(graph.plan.axes.values()) for graph in model.manifest.graphs]
    assert sorted(found) == [(rows, length) for rows in (1, 3) for length in LENGTHS]
    assert found[-1] == (3, 16)
    assert model.manifest.plan == model.manifest.graphs[-1].plan


@pytest.mark.parametrize(
    ("rows", "length", "graph"),
    [(1, 3, (1, 4)), (1, 4, (1, 4)), (1, 5, (1, 8)), (2, 8, (3, 8)), (3, 9, (3, 16)), (1, 16, (1, 16))],
)
def test_the_cheapest_graph_that_fits_is_run(rows, length, graph, model, used):
    given = model(**inputs_of(model, rows, length)).logits
    assert (used, given.shape) == ([graph], (rows, length, 99))


def test_every_graph_gives_the_same(model):
    inputs = inputs_of(model, 1, 4)
    given = [
        bucket(inputs, {"batch_size": 1, "sequence_length": 4})["logits"]
        for bucket in model.compiled._buckets
    ]
    assert len(given) == 6
    for one in given[1:]:
        torch.testing.assert_close(one, given[0], rtol=1e-4, atol=1e-5)


def test_what_fits_none_is_told_all_sizes(model):
    with pytest.raises(
        RequestError, match="sequence_length 17; the graph was compiled for 4 or 8 or 16, no more"
    ):
        model(**inputs_of(model, 1, 17))


def test_every_graph_is_examined(model):
    for graph in model.manifest.graphs:
        assert {check.status for check in graph.checks} <= {"passed", "not_run"}
        assert [check.name for check in graph.checks if check.status == "passed"][:3] == [
            "signature",
            "finite",
            "values",
        ]


def test_a_fault_in_the_smallest_graph_is_found(catalog, folder, tmp_path):
    from neuron_catalog.exporting.validator import check_values

    request = ExportRequest(
        model=str(folder), task="fill-mask", axes={"batch_size": 2, "sequence_length": [8, 16]}
    )
    resolved = resolve(request, catalog)
    small = read_beside(build(resolved, tmp_path, silent), resolved, tmp_path).subjects["bucket_0"]
    assert check_values(small).status == "passed"
    wrong = replace(small, graph=lambda *given: (small.graph(*given)[0] * 1.01,))
    assert check_values(wrong).status == "failed"


def test_weights_are_stored_once(folder, tmp_path):
    def size(name, lengths):
        axes = {"batch_size": 1, "sequence_length": lengths}
        out = export(ExportRequest(model=str(folder), axes=axes, out=tmp_path / name))
        return (out.folder / "model.pt").stat().st_size, out.manifest.source.weights_bytes

    one, weights = size("one", 16)
    three, _ = size("three", LENGTHS)
    assert three - one < weights / 2


def test_a_dynamic_batch_takes_whole_runs_of_the_cheapest(folder, monkeypatch):
    model = NeuronModelForMaskedLM.from_pretrained(
        folder, export=True, batch_size=(1, 4), sequence_length=(8, 16), dynamic_batch_size=True
    )
    used = watched(model, monkeypatch)
    whole = model(**inputs_of(model, 9, 6)).logits
    assert (used, whole.shape) == ([(1, 8)], (9, 6, 99))
    costs = {
        tuple(b.plan.axes.values()): b.cost({"batch_size": 9, "sequence_length": 6})
        for b in model.compiled._buckets
    }
    assert costs == {(1, 8): 72, (1, 16): 144, (4, 8): 96, (4, 16): 192}


def test_the_command_line_takes_several_sizes(run, tmp_path):
    code, out, err = run("export", "bert", "--task", "fill-mask", "--sequence_length", "8,16", "out")
    assert code == 0
    assert out.splitlines()[0].endswith("batch_size 2, sequence_length 8, 16.")
    assert "-[✓] batch_size 2, sequence_length 8: the same checks, largest difference" in out
    assert len(Manifest.read(tmp_path / "out").graphs) == 2
    code, out, err = run("inspect", "out")
    assert "checks of the graph for batch_size 2, sequence_length 8:" in out
    assert "checks of the graph for batch_size 2, sequence_length 16:" in out
    code, out, err = run("validate", "out")
    assert (code, out.count("the same checks")) == (0, 1)
    plans = json.loads(
        run("plan", "bert", "--task", "fill-mask", "--axis", "sequence-length=8,16", "--json")[1]
    )
    assert [plan["axes"]["sequence_length"] for plan in plans] == [8, 16]


def test_a_constant_that_depends_on_the_size_cannot_be_shared(run):
    sizes = ("--height", "32,64")
    code, out, err = run("export", "qwen2_5_vl_vision", "--task", "feature-extraction", *sizes, "out")
    assert code == 4
    assert "grid_thw is fixed at export and differs between these sizes." in err
    assert "Make one export for each size." in err


@pytest.mark.parametrize("text", ["8,", "8,x", ",", "-8", "8.5"])
def test_what_is_no_size_is_refused_with_an_example(text, run):
    code, out, err = run("plan", "bert", "--task", "fill-mask", f"--sequence_length={text}")
    assert code == 2
    assert f"--sequence_length {text} is no size" in err
    assert "--sequence_length 64,128,256 for buckets" in err


def test_images_of_several_sizes_are_never_filled_up(checkpoint, tmp_path):
    from neuron_catalog import NeuronModelForSemanticSegmentation

    model = NeuronModelForSemanticSegmentation.from_pretrained(
        checkpoint("segformer", "semantic-segmentation"),
        export=True,
        batch_size=1,
        height=(32, 64),
        width=64,
    )
    for height in (32, 64):
        inputs = make_inputs(resized(model.manifest.plan, {"height": height}), seed=1)
        assert model(**inputs).logits.shape[-2:] == (height // 4, 16)
    with pytest.raises(RequestError, match="height 48; the graph was compiled for 32 or 64, no less"):
        model(**make_inputs(resized(model.manifest.plan, {"height": 48}), seed=1))


@pytest.mark.parametrize("sizes", [(), [], "16", 1.5, (8, 0)])
def test_what_is_no_size_in_python_is_refused(sizes, catalog):
    request = ExportRequest(architecture="bert", task="fill-mask", axes={"sequence_length": sizes})
    with pytest.raises(
        RequestError, match="sequence_length must be a positive whole number, or several, not"
    ):
        resolve(request, catalog)
