"""The commands of docs/neuron.md that need the SDK are well-formed: they are run with the double."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "neuron.md"
LINES = [
    line.removeprefix("neuron-catalog ")
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("neuron-catalog ")
]
OUTCOMES = {
    "lower": (0, "") if find_spec("torch_xla") else (4, "torch-xla is not installed"),
    "selftest": (4, "is a double for tests: what it ran proves nothing"),
}
"""Command → how it ends here, if not well."""


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}
    config = BertConfig(vocab_size=99, **sizes, max_position_embeddings=128, initializer_range=0.5)
    BertForSequenceClassification(config).save_pretrained("my-bert")


def test_commands_are_as_the_page_shows_them(sdk, checkpoint, run):
    assert {line.split()[0] for line in LINES} == {"export", "validate", "lower", "selftest"}
    for line in LINES:
        code, _, err = run(*line.split())
        expected, said = OUTCOMES.get(line.split()[0], (0, ""))
        assert (code, said in err) == (expected, True), (line, err)


def test_the_versions_are_those_of_the_data():
    from neuron_catalog.sdk.releases import last_with

    last = last_with("torch-neuronx")
    assert PAGE.read_text().count(last.torch_neuronx[-1]) >= 2
    assert PAGE.read_text().count(last.neuronx_cc[-1]) >= 2
