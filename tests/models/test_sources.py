"""Tiny models are the same everywhere, and loading leaves no trace in the process."""

import json

import pytest
import torch
import transformers

from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.request import ExportRequest, resolve
from neuron_catalog.models.sources import CheckpointSource, quiet_transformers


def load(catalog, seed):
    resolved = resolve(ExportRequest(architecture="esm", task="fill-mask", seed=seed), catalog)
    return resolved.source.load(resolved.plan).module


def test_tiny_models_are_seeded(catalog):
    first, again, other = (load(catalog, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_tiny_models_leave_the_random_state_alone(catalog):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load(catalog, 1)
    assert torch.equal(torch.rand(3), expected)


def test_tiny_models_have_no_weight_that_could_be_left_out_unseen(catalog):
    for name, parameter in load(catalog, 0).named_parameters():
        assert parameter.numel() == 1 or len(parameter.unique()) > 1, name


def test_tiny_codebooks_are_not_empty(catalog):
    resolved = resolve(ExportRequest(architecture="encodec", task="feature-extraction"), catalog)
    codec = resolved.source.load(resolved.plan).module
    books = [book for name, book in codec.named_buffers() if name.endswith("codebook.embed")]
    assert books
    assert all(len(book.unique(dim=0)) == len(book) for book in books)


def test_tiny_models_are_in_eval_mode_and_float32(catalog):
    model = load(catalog, 0)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_transformers_is_as_talkative_after_as_before():
    log = transformers.utils.logging
    before = (log.get_verbosity(), log.is_progress_bar_enabled())
    with quiet_transformers():
        assert log.get_verbosity() == log.ERROR
        assert not log.is_progress_bar_enabled()
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == before


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"text_config": {"model_type": "x", "auto_map": {"AutoConfig": "code.X"}}}, "text_config.auto_map"),
        ({"parts": [{}, {"vision": {"auto_map": {"AutoModel": "you/code--x.X"}}}]}, "parts.vision.auto_map"),
    ],
)
def test_code_for_a_part_of_a_model_is_refused(part, place, trusted, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava", **part}))
    source = CheckpointSource(model=str(tmp_path), trust_remote_code=trusted)
    with pytest.raises(RequestError, match=f"names code of its own for a part of the model \\({place}\\)"):
        source.raw_config()


def test_code_for_a_whole_model_is_not_read_unless_asked_for(tmp_path):
    config = {"model_type": "bert", "auto_map": {"AutoConfig": "code.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text("raise SystemExit")
    source = CheckpointSource(model=str(tmp_path))
    assert source.raw_config()["auto_map"]
    assert type(source.config()).__name__ == "BertConfig"
