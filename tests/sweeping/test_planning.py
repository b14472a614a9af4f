"""What a sweep comes to: its jobs, in their order, and what cannot be planned, by its line."""

import pytest

from neuron_catalog.errors import CatalogError, RequestError


def facts(planned):
    return [(job.source, job.task, job.backend, job.axes) for job in planned.jobs]


def test_lists_make_products_and_buckets_make_one_job(planned):
    axes = {"batch_size": [1, 2], "sequence_length": {"buckets": [16, 8, 16]}}
    found = planned(models=["esm", "bert"], backends=["torchscript", "torch-export"], axes=axes)
    assert facts(found) == [
        (f"tiny {model}", "fill-mask", backend, {"batch_size": size, "sequence_length": (8, 16)})
        for model in ("esm", "bert")
        for backend in ("torchscript", "torch-export")
        for size in (1, 2)
    ]
    assert len({job.name for job in found.jobs}) == 8
    assert found.jobs[0].name == "esm.fill-mask.torchscript.batch_size_1.sequence_length_8+16"


def test_without_tasks_a_model_of_the_catalog_is_exported_for_all(planned, catalog):
    assert [job.task for job in planned(tasks=[]).jobs] == [*catalog.supported_tasks("esm")]


def test_a_model_gets_the_tasks_that_it_serves(planned):
    found = planned(models=["bert", "vit"], tasks=["fill-mask", "image-classification"])
    assert [(job.architecture, job.task) for job in found.jobs] == [
        ("bert", "fill-mask"),
        ("vit", "image-classification"),
    ]


def test_a_model_gets_the_axes_that_it_has(planned):
    tasks = ["fill-mask", "image-classification"]
    found = planned(models=["bert", "vit"], tasks=tasks, axes={"batch_size": 1, "sequence_length": [8, 16]})
    assert [(job.architecture, sorted(job.axes)) for job in found.jobs] == [
        ("bert", ["batch_size", "sequence_length"]),
        ("bert", ["batch_size", "sequence_length"]),
        ("vit", ["batch_size"]),
    ]


def test_an_axis_that_no_model_has_is_refused(planned):
    with pytest.raises(
        RequestError, match=r"No model of this sweep has the axis sequence_lenght; did you mean"
    ):
        planned(axes={"sequence_lenght": 8, "sequence_length": 8})


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ({"model": "bert"}, {("esm", 1), ("esm", 2)}),
        ({"axes": {"batch_size": 2}}, {("esm", 1), ("bert", 1)}),
        ({"model": "bert", "axes": {"batch_size": 2}}, {("esm", 1), ("esm", 2), ("bert", 1)}),
        ({"axes": {"sequence_length": 16}}, set()),
        ({"axes": {"sequence_length": 32}}, {("esm", 1), ("esm", 2), ("bert", 1), ("bert", 2)}),
    ],
)
def test_exclude_leaves_out_what_all_of_it_holds_of(exclude, left, planned):
    axes = {"batch_size": [1, 2], "sequence_length": {"buckets": [8, 16]}}
    found = planned(models=["esm", "bert"], axes=axes, exclude=[exclude])
    assert {(job.architecture, job.axes["batch_size"]) for job in found.jobs} == left
    assert found.excluded == 4 - len(left)


def test_unknown_models_are_told_with_their_line_and_the_rest_is_planned(sweep, catalog, planned):
    found = planned(models=["esm", "berd", "./nothing/*", "stable-diffusion", "vit", "esm"])
    assert [job.architecture for job in found.jobs] == ["esm"]
    path = sweep()
    assert [str(each).removeprefix(f"{path}:") for each in found.problems] == [
        "3: The catalog has no architecture 'berd'; did you mean bert or ibert or hubert? "
        "Write ./ before the name of a folder.",
        "4: There is no folder ./nothing/*. Paths begin at the folder of the sweep.",
        "5: stable-diffusion is a diffusion pipeline. Export it by itself: sweeps take models.",
        f"6: vit serves none of fill-mask. It serves {', '.join(catalog.supported_tasks('vit'))}.",
    ]


def test_folders_of_checkpoints(planned, checkpoint, tmp_path):
    for place in ("one/bert", "two/bert"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).symlink_to(checkpoint("bert", "fill-mask"))
    found = planned(models=["./*/bert"], tasks=[], axes={"batch_size": 1, "sequence_length": 8})
    assert [(job.model, job.architecture, job.task) for job in found.jobs] == [
        (str(tmp_path / "one/bert"), "bert", "fill-mask"),
        (str(tmp_path / "two/bert"), "bert", "fill-mask"),
    ]
    names = [job.name for job in found.jobs]
    assert len({*names}) == 2
    assert all(
        name.startswith("bert.fill-mask.torchscript.batch_size_1.sequence_length_8.") for name in names
    )


def test_sizes_that_a_checkpoint_needs_are_asked_for(planned, checkpoint):
    found = planned(models=[str(checkpoint("bert", "fill-mask"))])
    assert not found.jobs
    assert "needs batch_size, sequence_length. Add it to axes." in str(found.problems[0])


def test_a_folder_that_is_no_checkpoint_is_told(planned, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in str(planned(models=["./empty"]).problems[0])


def test_a_backend_that_is_not_there_is_refused(planned):
    with pytest.raises(RequestError, match="There is no backend 'torchskript'; did you mean torchscript"):
        planned(backends=["torchskript"])


def test_options_that_a_backend_has_not_are_refused(planned):
    with pytest.raises(RequestError, match="No backend of this sweep can do optlevel=1: torchscript: "):
        planned(compiler={"optlevel": 1})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": ["esm"]}, "NC202 unknown key 'model'"),
        ({"models": []}, "NC203 models: should not be empty"),
        ({"axes": {"batch_size": 0}}, "NC203 axes.batch_size"),
        ({"limits": {"memory": "8 GB"}}, "should be a number with K, M, G or T, such as 8G, not '8 GB'"),
        ({"limits": {"retries": -1}}, "NC203 limits.retries"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_line(given, message, planned):
    with pytest.raises(CatalogError, match=message.replace(".", r"\.")) as error:
        planned(**given)
    assert "sweep.yaml:" in str(error.value)


def test_the_destination_begins_at_the_folder_of_the_sweep(planned, tmp_path):
    assert planned().place == str(tmp_path / "out")
    assert planned(destination="s3://bucket/x").place == "s3://bucket/x"
