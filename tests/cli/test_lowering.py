"""`neuron-catalog lower`: a model in HLO, its operators, and files that a Neuron SDK compiles."""

import json
from importlib.util import find_spec

import pytest

from neuron_catalog.exporting import lowering
from neuron_catalog.exporting.backends import xla

BAD_REQUEST = 4
BERT = ("lower", "bert", "--task", "fill-mask")


@pytest.fixture
def torch_xla():
    """Skip where torch-xla is not."""
    return pytest.importorskip("torch_xla", reason="torch-xla is not installed; see `make xla-env`")


def test_without_torch_xla_it_says_how_to_get_it(run, monkeypatch):
    found = find_spec
    monkeypatch.setattr(xla, "find_spec", lambda name: None if name == "torch_xla" else found(name))
    code, out, err = run(*BERT)
    assert (code, out) == (BAD_REQUEST, "")
    assert "torch-xla is not installed" in err
    assert "make xla-env" in err


def test_an_unknown_architecture_is_refused(run, torch_xla):
    code, out, err = run("lower", "bertt", "--task", "fill-mask")
    assert (code, "bert" in err) == (BAD_REQUEST, True)


def test_it_shows_operators_memory_and_a_digest(run, torch_xla, tmp_path):
    code, out, err = run(*BERT)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith("forward: ")
    assert ["dot", "18"] in lines
    assert "memory of the unfused graph: 0.1" in out
    assert "sha256 of the graph: " in out
    assert "in no list of the Neuron compiler's documents" in out
    assert any(words[0] == "erf" and words[1].startswith("transformers/activations.py:") for words in lines)
    assert [*tmp_path.iterdir()] == []


def test_one_graph_is_written_to_the_file(run, torch_xla, tmp_path):
    code, out, err = run(*BERT, "-o", "graphs/bert.hlo")
    assert code == 0
    content = (tmp_path / "graphs" / "bert.hlo").read_bytes()
    assert b"parameter" in content
    assert b"site-packages" not in content
    assert "neuronx-cc compile --framework XLA graphs/bert.hlo" in out.replace("\n", " ")


def test_several_graphs_are_written_beside_it(run, torch_xla, tmp_path):
    code, out, err = run("lower", "gpt2", "--task", "text-generation", "--json", "-o", "gpt2.hlo")
    assert code == 0
    told = json.loads(out)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) > 1
    assert names == sorted(f"gpt2.{name}.hlo" for name in told["graphs"]) == sorted(told["files"])


def test_json_says_what_the_text_says(run, torch_xla):
    told = json.loads(run(*BERT, "--json")[1])
    (seen,) = told["graphs"].values()
    assert told["files"] == []
    assert set(seen) >= {"hlo_sha256", "operators", "peak_bytes"}
    text = run(*BERT)[1]
    assert seen["hlo_sha256"] in text
    assert f"{sum(seen['operators'].values())} instructions, {len(seen['operators'])} operators" in text
    assert json.loads(run(*BERT, "--json")[1]) == told


def test_sizes_are_those_asked_for(run, torch_xla):
    first, other = (
        json.loads(run(*BERT, "--json", "--sequence_length", size)[1])["graphs"] for size in ("8", "16")
    )
    assert [seen["peak_bytes"] for seen in first.values()] < [seen["peak_bytes"] for seen in other.values()]


def test_what_may_be_in_the_way_is_told_with_its_line(run, monkeypatch):
    seen = {"hlo_sha256": "0", "operators": {"dot": 2}, "peak_bytes": 10}
    doubtful = {
        "refused": {"sort": "transformers/one.py:1"},
        "fixed": {"transformers/two.py:2": "aten::_local_scalar_dense"},
    }
    monkeypatch.setattr(xla, "unavailable", lambda: "")
    monkeypatch.setattr(
        lowering, "lowered", lambda *_: lowering.LoweredModel({}, {"forward": seen | doubtful})
    )
    code, out, err = run(*BERT)
    assert code == 0
    told = [" ".join(line.split()) for line in out.splitlines()[4:]]
    assert told == [
        "refused by the Neuron compiler, by its documents:",
        "sort transformers/one.py:1",
        "fixed to what it is for the example inputs; export checks it with others:",
        "transformers/two.py:2 aten::_local_scalar_dense",
    ]


def test_a_file_that_cannot_be_written_is_a_mistake_of_the_request(run, torch_xla, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for target in ("file/bert.hlo", "folder"):
        code, out, err = run(*BERT, "-o", target)
        assert (code, "cannot be written" in err) == (BAD_REQUEST, True)
