"""Every part of diffusion pipelines that the replaced exporter offers is offered here, with the same tensors.

The rows were written out of its registry; in brackets stands what depends on a config or an option. Sizes are
not compared: it computes those of latents from pixels in each part, here the pipeline does.
"""

import csv
import re
from pathlib import Path

import pytest

from neuron_catalog.catalog.selection import selected_inputs
from neuron_catalog.schema.components import NO_TASK
from neuron_catalog.schema.tensors import PerLayer, Repeated

with Path(__file__).with_name("replaced_exporter_component_rows.csv").open(encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))

INPUTS = {
    # an input is named by its path in the arguments of the forward of diffusers
    "text_embeds": ["added_cond_kwargs.text_embeds"],
    "time_ids": ["added_cond_kwargs.time_ids"],
    # one tensor for each residual, whose number follows from the config
    "down_block_additional_residuals_{i}": ["down_block_additional_residuals"],
    # embeddings of pictures for IP-Adapters are not offered
    "image_enc_hidden_states|image_embeds": [],
}
INPUTS_OF = {
    # what diffusers calls it; the replaced exporter renamed it in a wrapper
    ("pixart-transformer-2d", "sample"): ["hidden_states"],
    # the rotary embedding is computed in the graph, from the positions that diffusers passes
    ("flux-transformer-2d", "image_rotary_emb"): ["img_ids", "txt_ids"],
}
ADDED = {
    # the replaced exporter reads the padding of a prompt like its words
    "t5-encoder": ["attention_mask"],
    # it leaves the sizes of larger images out
    "pixart-transformer-2d": ["added_cond_kwargs.resolution", "added_cond_kwargs.aspect_ratio"],
}
OUTPUTS = {"out_hidden_states": "sample"}
"""What the forward of diffusers returns has this name."""


def split(text):
    """Return the names in a cell, those that depend on something apart."""
    optional = [name for group in re.findall(r"\[(.*?) if [^]]*\]", text) for name in group.split(";")]
    return [name for name in re.sub(r"\[.*?\]", "", text).split(";") if name], optional


def always(component):
    return [use for use in component.inputs if isinstance(use, str)]


@pytest.fixture(params=ROWS, ids=lambda row: row["model_type"])
def row(request):
    return request.param


def test_the_table_is_whole(catalog):
    names = {row["model_type"] for row in ROWS}
    assert len(ROWS) == len(names) == 10
    assert names == set(catalog.components) - {"sd3-transformer-2d"}


def test_inputs_are_offered(catalog, row):
    name = row["model_type"]
    component = catalog.components[name]
    fixed, optional = split(row["inputs"])

    def renamed(names):
        return {new for old in names for new in INPUTS_OF.get((name, old), INPUTS.get(old, [old]))}

    offered = selected_inputs(component, catalog.families[component.family], NO_TASK)
    assert set(offered) == renamed([*fixed, *optional]) | set(ADDED.get(name, ()))
    assert renamed(fixed) == set(always(component)) - set(ADDED.get(name, ()))


def test_outputs_are_offered_in_the_same_order(catalog, row):
    component = catalog.components[row["model_type"]]
    fixed, optional = split(row["outputs"])
    assert component.outputs == tuple(OUTPUTS.get(name, name) for name in fixed)
    family = catalog.families[component.family]
    for name in optional:
        assert isinstance(family.outputs[name], PerLayer)
        assert family.outputs[name].option == "output_hidden_states"


def test_tolerance_is_the_same(catalog, row):
    component = catalog.components[row["model_type"]]
    assert (component.atol or catalog.families[component.family].atol) == float(row["atol"])


def test_residuals_are_a_series(catalog):
    family = catalog.families["denoiser"]
    assert family.inputs["down_block_additional_residuals"].for_each == "residual"
    assert isinstance(family.outputs["down_block_res_samples"], Repeated)
