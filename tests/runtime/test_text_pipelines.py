"""Pipelines that write texts give with an exported model what they give with the eager one."""

import json
import shutil

import numpy as np
import pytest
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoFeatureExtractor, AutoTokenizer, PreTrainedTokenizerFast

from neuron_catalog import NeuronAutoModel, RequestError, pipeline

SOUND = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000, "feature_size": 1}
SOUND |= {"padding_value": 0.0, "do_normalize": True, "return_attention_mask": False}


def words(folder, side):
    """Save a tokenizer of made-up words beside a checkpoint."""
    vocabulary = {f"w{number}": number for number in range(99)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="w8"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "w8", "bos_token": "w1", "eos_token": "w2", "pad_token": "w0"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, padding_side=side, **special)
    tokenizer.save_pretrained(folder)


@pytest.fixture
def source(checkpoint, tmp_path):
    def make(architecture, task, side="left"):
        folder = shutil.copytree(checkpoint(architecture, task), tmp_path / architecture)
        words(folder, side)
        return folder

    return make


PROMPTS = ["w5 w6 w7 w30", "w40 w41", "w50 w51 w52 w53 w54 w55 w56"]

ASKED = {
    "greedy": {"do_sample": False},
    "beams": {"num_beams": 3, "do_sample": False},
    "new text only": {"return_full_text": False, "do_sample": False},
    "sampled, two by two": {"do_sample": True, "batch_size": 2, "top_k": 20},
    "several": {"do_sample": True, "num_return_sequences": 3},
}


@pytest.mark.parametrize("architecture", ["llama", "gpt_neo"])
def test_texts_are_continued(architecture, source, tmp_path):
    folder = source(architecture, "text-generation")
    sizes = {"batch_size": 2, "prompt_length": 8, "sequence_length": 24, "num_beams": 3}
    model = NeuronAutoModel.from_pretrained(folder, export=True, task="text-generation", **sizes)
    artifact = model.save_pretrained(tmp_path / "artifact")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    eager = transformers.pipeline("text-generation", model=str(folder), tokenizer=tokenizer)
    theirs = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    ours = pipeline(None, artifact)
    assert ours.task == "text-generation"
    for options in ASKED.values():
        texts = []
        for each in (eager, theirs, ours):
            transformers.set_seed(3)
            texts.append(each(PROMPTS, max_new_tokens=10, **options))
        assert texts[0] == texts[1] == texts[2]
        assert len({str(text) for text in texts[0]}) == len(PROMPTS)


def test_a_pipeline_that_wants_more_than_there_is_room_for_says_so(source):
    """transformers' pipeline asks for 256 tokens if it is not told otherwise."""
    folder = source("llama", "text-generation")
    sizes = {"batch_size": 1, "sequence_length": 24}
    model = NeuronAutoModel.from_pretrained(folder, export=True, task="text-generation", **sizes)
    with pytest.raises(RequestError) as refused:
        pipeline(None, model)("w5 w6 w7")
    assert refused.value.cause == "3 tokens and 256 new ones are 259; the model was exported for 24."


def test_speech_is_written_down(source, tmp_path):
    folder = source("moonshine", "speech-to-text", "right")
    (folder / "preprocessor_config.json").write_text(json.dumps(SOUND))
    sizes = {"batch_size": 2, "audio_sequence_length": 6400, "decoder_sequence_length": 20, "num_beams": 2}
    model = NeuronAutoModel.from_pretrained(folder, export=True, task="speech-to-text", **sizes)
    artifact = model.save_pretrained(tmp_path / "artifact")
    parts = {
        "tokenizer": AutoTokenizer.from_pretrained(folder),
        "feature_extractor": AutoFeatureExtractor.from_pretrained(folder),
    }
    name = "automatic-speech-recognition"
    eager = transformers.pipeline(name, model=str(folder), **parts)
    theirs = transformers.pipeline(name, model=model, **parts)
    ours = pipeline(name, artifact)
    sounds = [np.random.default_rng(seed).standard_normal(6400).astype(np.float32) for seed in (1, 2)]
    for beams in (1, 2):
        asked = {"max_new_tokens": 12, "num_beams": beams, "do_sample": True, "suppress_tokens": [0, 1, 2]}
        texts = []
        for each in (eager, theirs, ours):
            transformers.set_seed(3)
            texts.append(each(sounds, batch_size=2, generate_kwargs=asked))
        assert texts[0] == texts[1] == texts[2]
        assert texts[0][0] != texts[0][1]
