"""Constants are fixed at export, and a runtime refuses any other value."""

import pytest

from neuron_catalog import ExportRequest, RequestError, export, load_artifact
from neuron_catalog.exporting.request import resolve
from neuron_catalog.manifest import Manifest
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.fills import make_inputs


def test_a_constant_has_as_many_rows_as_the_inputs_that_it_goes_with(catalog):
    made = resolve(ExportRequest(architecture="qwen3_vl", task="image-text-to-text"), catalog).plan
    inputs = make_inputs(made, 0)
    assert fixed_arguments(made)["image_grid_thw"].shape == (2, 3)
    more = {**inputs, "input_ids": inputs["input_ids"].repeat(3, 1)}
    del more["attention_mask"], more["position_ids"], more["pixel_values"]
    one_input = made.model_copy(update={"inputs": made.inputs[:1]})
    assert fixed_arguments(one_input, more)["image_grid_thw"].tolist() == [[1, 4, 8]] * 6


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    request = ExportRequest(
        architecture="qwen2_5_vl_vision",
        task="feature-extraction",
        out=tmp_path_factory.mktemp("a") / "tower",
    )
    return export(request).folder


def test_the_manifest_names_the_value(artifact):
    (grid,) = Manifest.read(artifact).plan.constants
    assert (grid.name, grid.dtype, grid.value) == ("grid_thw", "int64", ((1, 4, 8), (1, 4, 8)))


def test_a_runtime_refuses_any_other_value(artifact):
    loaded = load_artifact(artifact)
    made = loaded.manifest.plan
    inputs, fixed = make_inputs(made, 5), fixed_arguments(made)
    assert set(loaded(**inputs, **fixed)) == {"last_hidden_state", "pooler_output"}
    with pytest.raises(RequestError, match="grid_thw is missing"):
        loaded(**inputs)
    turned = fixed["grid_thw"][:, [0, 2, 1]]
    with pytest.raises(RequestError, match=r"grid_thw is \[\[1, 8, 4\].* made for \[\[1, 4, 8\]"):
        loaded(**inputs, grid_thw=turned)
    with pytest.raises(RequestError, match="grid_thw is"):
        loaded(**inputs, grid_thw=fixed["grid_thw"][:1])
