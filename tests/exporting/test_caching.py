"""An export is taken from the compile cache where all that decides about it is the same, and only there."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from neuron_catalog.errors import CompileError, CompilerStoppedError
from neuron_catalog.exporting import backends, caching, exporter
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.exporting.exporter import export
from neuron_catalog.exporting.request import ExportRequest, resolve
from neuron_catalog.manifest import Manifest
from neuron_catalog.storage.cache import CompileCache
from neuron_catalog.storage.home import PLACE

BERT = ExportRequest(architecture="bert", task="fill-mask")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    return CompileCache(tmp_path / "cache")


@pytest.fixture
def compiled(monkeypatch):
    """Count what is compiled."""
    counted = []

    def compile(compilation):
        counted.append(compilation)
        return torchscript.compile(compilation)

    monkeypatch.setitem(backends.BACKENDS, "torchscript", Backend(compile=compile))
    return counted


class Backend:
    """torchscript with other functions."""

    def __init__(self, **given):
        vars(self).update({**vars(torchscript), **given})


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_export_is_compiled_once(catalog, tmp_path, compiled):
    first = export(replace(BERT, out=tmp_path / "one"), catalog)
    second = export(replace(BERT, out=tmp_path / "two"), catalog)
    assert (first.recalled, second.recalled, len(compiled)) == (False, True, 1)
    assert content(first.folder) == content(second.folder)
    assert first.manifest == second.manifest
    second.manifest.require_intact(second.folder)


OTHERS = {
    "another task": {"task": "token-classification"},
    "another size": {"axes": {"sequence_length": 24}},
    "buckets": {"axes": {"sequence_length": (8, 16)}},
    "another seed": {"seed": 1},
    "more outputs": {"options": frozenset({"output_hidden_states"})},
    "any batch": {"dynamic_batch_size": True},
    "a bound": {"atol": 1e-3},
    "no checks": {"validation": False},
    "another architecture": {"architecture": "esm"},
    "another backend": {"backend": "torch-export"},
}


@pytest.mark.parametrize("given", OTHERS.values(), ids=OTHERS)
def test_another_export_is_another_entry(given, catalog, tmp_path):
    export(replace(BERT, out=tmp_path / "one"), catalog)
    assert not export(replace(BERT, out=tmp_path / "two", **given), catalog).recalled
    assert export(replace(BERT, out=tmp_path / "three", **given), catalog).recalled


def test_nothing_is_asked_or_kept_where_it_is_not_wanted(catalog, tmp_path, cache, monkeypatch):
    export(replace(BERT, out=tmp_path / "one", use_cache=False), catalog)
    assert not cache.root.exists()
    export(replace(BERT, out=tmp_path / "two"), catalog)
    assert not export(replace(BERT, out=tmp_path / "three", use_cache=False), catalog).recalled
    monkeypatch.setenv(PLACE, "")
    assert not export(replace(BERT, out=tmp_path / "four"), catalog).recalled


@pytest.fixture
def bert(checkpoint, tmp_path):
    """A checkpoint of its own, with a tokenizer's settings."""
    folder = tmp_path / "bert"
    shutil.copytree(checkpoint("bert", "fill-mask"), folder)
    (folder / "tokenizer_config.json").write_text('{"padding_side": "right"}')
    return folder


def of(folder, out):
    axes = {"batch_size": 1, "sequence_length": 16}
    return ExportRequest(model=str(folder), task="fill-mask", axes=axes, out=out)


def rewritten(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


def other_weights(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    weights[name] = weights[name] + 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


CHANGES = {
    "weights": (other_weights, True),
    "config": (lambda folder: rewritten(folder / "config.json", layer_norm_eps=1e-4), True),
    "labels": (lambda folder: rewritten(folder / "config.json", id2label={"0": "no", "1": "yes"}), True),
    "tokenizer": (lambda folder: rewritten(folder / "tokenizer_config.json", padding_side="left"), True),
    "writing": (lambda folder: (folder / "generation_config.json").write_text('{"eos_token_id": 3}'), True),
    "the version that saved it": (
        lambda folder: rewritten(folder / "config.json", transformers_version="5.3.0"),
        False,
    ),
    "a note": (lambda folder: (folder / "README.md").write_text("A model."), False),
}


@pytest.mark.parametrize(("change", "decides"), CHANGES.values(), ids=CHANGES)
def test_what_decides_about_a_checkpoint(change, decides, bert, tmp_path, catalog):
    export(of(bert, tmp_path / "one"), catalog)
    change(bert)
    assert export(of(bert, tmp_path / "two"), catalog).recalled != decides


def test_a_copy_of_a_checkpoint_is_taken_under_its_own_name(bert, tmp_path, catalog):
    export(of(bert, tmp_path / "one"), catalog)
    shutil.copytree(bert, tmp_path / "copy")
    exported = export(of(tmp_path / "copy", tmp_path / "two"), catalog)
    assert exported.recalled
    assert exported.manifest.source.model == str(tmp_path / "copy")
    assert exported.manifest == Manifest.read(exported.folder)
    exported.manifest.require_intact(exported.folder)


def test_code_of_a_checkpoint_is_never_taken_from_the_cache(bert, tmp_path, catalog):
    """It may read anything."""
    rewritten(bert / "config.json", auto_map={"AutoConfig": "code.Config"})
    request = replace(of(bert, tmp_path / "out"), trust_remote_code=True)
    source = resolve(replace(request, trust_remote_code=False), catalog).source
    assert source.identity() is not None
    assert replace(source, trust_remote_code=True).identity() is None


def test_other_code_of_this_package_is_another_entry(catalog, tmp_path, monkeypatch):
    export(replace(BERT, out=tmp_path / "one"), catalog)
    monkeypatch.setattr(caching, "code_digest", lambda: "other")
    assert not export(replace(BERT, out=tmp_path / "two"), catalog).recalled


def test_what_was_altered_is_compiled_again(catalog, tmp_path, cache):
    export(replace(BERT, out=tmp_path / "one"), catalog)
    (entry,) = cache.entries()
    (cache.root / "entries" / entry.digest / "model.pt").write_bytes(b"evil")
    again = export(replace(BERT, out=tmp_path / "two"), catalog)
    assert not again.recalled
    again.manifest.require_intact(again.folder)
    assert export(replace(BERT, out=tmp_path / "three"), catalog).recalled


def test_a_failed_export_keeps_nothing(catalog, tmp_path, cache, monkeypatch):
    def other_model(compilation):
        for parameter in compilation.module.parameters():
            parameter.data = torch.zeros_like(parameter)
        return torchscript.compile(compilation)

    monkeypatch.setitem(backends.BACKENDS, "torchscript", Backend(compile=other_model))
    with pytest.raises(Exception, match="is not the model"):
        export(replace(BERT, out=tmp_path / "one"), catalog)
    assert list(cache.entries()) == []


def failing(error):
    def compile(compilation):
        raise error

    return compile


def refused(monkeypatch, catalog, tmp_path, error, *, apart):
    """Export twice where compiling raises; return how often it was tried."""
    tried = []

    def made(*arguments):
        tried.append(arguments)
        raise error

    monkeypatch.setattr(exporter, "_made", made)
    monkeypatch.setitem(backends.BACKENDS, "torchscript", Backend(APART=apart))
    for out in ("one", "two"):
        with pytest.raises(CompileError, match="too large"):
            export(replace(BERT, out=tmp_path / out), catalog)
    return len(tried)


def test_what_a_compiler_refused_is_not_tried_again(catalog, tmp_path, monkeypatch):
    error = CompileError("It is too large.", "Choose smaller sizes.")
    assert refused(monkeypatch, catalog, tmp_path, error, apart=True) == 1
    with pytest.raises(CompileError) as told:
        export(replace(BERT, out=tmp_path / "three"), catalog)
    assert told.value.cause == "It is too large. This was found when the same was compiled before."
    assert told.value.remedy == "Choose smaller sizes. --no_cache compiles it once more."


def test_what_stopped_a_compiler_may_be_gone(catalog, tmp_path, monkeypatch):
    error = CompilerStoppedError("The machine was too large a target.", "")
    assert refused(monkeypatch, catalog, tmp_path, error, apart=True) == 2


def test_what_fails_at_once_is_tried_again(catalog, tmp_path, monkeypatch):
    error = CompileError("It is too large.", "")
    assert refused(monkeypatch, catalog, tmp_path, error, apart=False) == 2
