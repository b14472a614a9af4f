"""Export tries along which axes inputs may be smaller, and says why not where they may not."""

import re

import pytest

from neuron_catalog import ExportRequest, export
from neuron_catalog.exporting import fits


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Axis → what was found, of a tiny model."""

    def export_tiny(architecture, task, **request):
        out = tmp_path_factory.mktemp("fits") / architecture
        (graph,) = export(
            ExportRequest(architecture=architecture, task=task, out=out, **request)
        ).manifest.graphs
        return {fit.axis: fit for fit in graph.fits}

    return export_tiny


def test_a_masked_text_is_padded_and_its_batch_filled_up(tried):
    found = tried("bert", "multiple-choice")
    assert {axis: fit.filled for axis, fit in found.items()} == {
        "batch_size": "rows",
        "sequence_length": "right",
        "num_choices": "right",
    }
    assert found["sequence_length"].detail.startswith("1 to 15 instead of 16: largest difference")


@pytest.mark.parametrize("architecture", ["fnet", "convbert"])
def test_a_model_that_sees_padding_is_never_given_any(architecture, tried):
    found = tried(architecture, "fill-mask")["sequence_length"]
    assert found.filled is None
    assert re.match(r"with sequence_length \d+ logits differs by", found.detail)


def test_a_model_that_computes_short_texts_in_another_way_is_found_out(tried):
    found = tried("big_bird", "fill-mask")["sequence_length"]
    assert (found.filled, found.detail.split(" differs")[0]) == (None, "with sequence_length 14 logits")


def test_a_model_that_works_in_steps_is_found_out(tried):
    """Of 16 tokens 15, 8 and 4 came out right, and 10 did not."""
    assert tried("canine", "text-classification")["sequence_length"].filled is None


def test_of_a_large_axis_some_sizes_are_tried(tried):
    found = tried("bert", "fill-mask", axes={"sequence_length": 48})["sequence_length"]
    assert found.detail.startswith("47, 46, 45, 32, 24, 12, 1 instead of 48: largest difference")


def test_an_image_must_have_its_size_and_texts_are_counted_apart(tried):
    found = tried("clip", "zero-shot-image-classification")
    assert (found["text_batch_size"].filled, found["image_batch_size"].filled) == ("rows", "rows")
    assert found["height"].detail == "pixel_values has no pad value"


def test_what_an_input_is_computed_from_is_fixed(tried):
    assert tried("vit", "masked-im")["height"].detail == "num_patches of bool_masked_pos depends on it"


def test_an_output_whose_size_cannot_be_cut_forbids_it(tried):
    found = tried("llava", "feature-extraction")["batch_size"]
    assert found.detail == "with batch_size 1 image_hidden_states comes out as (32, 32) instead of (16, 32)"


def test_a_size_of_one_has_nothing_to_fill_up(tried):
    assert "batch_size" not in tried("bert", "fill-mask", axes={"batch_size": 1})


def test_nothing_is_filled_up_without_validation(tried):
    found = tried("bert", "fill-mask", validation=False)
    assert {fit.filled for fit in found.values()} == {None}
    assert found["batch_size"].detail == "--disable-validation was given"


def test_a_filling_that_makes_a_difference_is_not_used(tried, monkeypatch):
    """A planted fault: outputs are cut one place too far to the right."""
    cut = fits.cut_back
    monkeypatch.setattr(fits, "cut_back", lambda *given: cut(*given).roll(1, -2))
    found = tried("bert", "fill-mask")
    assert found["sequence_length"].filled is None
    assert "logits differs by" in found["sequence_length"].detail


@pytest.mark.parametrize("architecture", ["deberta-v2", "gemma2"])
def test_what_a_model_says_at_padding_means_nothing(architecture, tried):
    assert tried(architecture, "feature-extraction")["sequence_length"].filled == "right"


def test_what_trials_show_by_chance_only_is_declared(tried):
    found = tried("hy_v4", "text-generation")
    assert found["sequence_length"].detail.startswith("Its indexer picks the best tokens by scores")
    assert (found["sequence_length"].filled, found["batch_size"].filled) == (None, "rows")


def test_of_a_batch_few_sizes_are_tried(tried):
    """Each trial is a run of the eager model; a batch of 16 must not cost 45 of them."""
    found = tried("bert", "fill-mask", axes={"batch_size": 16})["batch_size"]
    assert found.detail.startswith("15, 8, 1 instead of 16: largest difference")
