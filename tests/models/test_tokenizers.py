"""Tiny tokenizers pad, cut and end a prompt as the real ones do, and a saved one reads the same."""

import pytest
import transformers

from neuron_catalog.models.tokenizers import (
    CLIP_VOCAB_SIZE,
    T5_VOCAB_SIZE,
    tiny_clip_tokenizer,
    tiny_t5_tokenizer,
)

PROMPT = "a photo of an astronaut riding a horse"

MADE = {
    "clip": (tiny_clip_tokenizer, "CLIPTokenizer"),
    "clip padded with !": (lambda: tiny_clip_tokenizer(pad_token="!"), "CLIPTokenizer"),
    "t5": (tiny_t5_tokenizer, "T5TokenizerFast"),
}
"""Name to (maker, the class that model_index.json of real pipelines names)."""


@pytest.fixture(params=MADE)
def made(request):
    maker, name = MADE[request.param]
    return maker(), getattr(transformers, name)


def ids_of(tokenizer, text, length=16):
    return tokenizer(text, padding="max_length", max_length=length, truncation=True).input_ids


@pytest.mark.parametrize("text", ["", PROMPT, "Two RED apples, 4k!", "naïve 日本\n\ttab", "x" * 100])
def test_a_saved_tokenizer_reads_the_same(made, text, tmp_path):
    tokenizer, class_named = made
    tokenizer.save_pretrained(tmp_path)
    loaded = class_named.from_pretrained(tmp_path)
    assert tokenizer(text, padding="max_length") == loaded(text, padding="max_length")
    assert loaded.model_max_length == tokenizer.model_max_length
    assert loaded.pad_token_id == tokenizer.pad_token_id


def test_prompts_are_spelled(made):
    tokenizer, _ = made
    ids = tokenizer(PROMPT).input_ids
    assert len(set(ids)) > 10
    assert tokenizer.unk_token_id not in ids[:-1]
    assert tokenizer.decode(ids, skip_special_tokens=True) == PROMPT
    assert ids != tokenizer(PROMPT.replace("horse", "house")).input_ids


def test_vocabularies_have_the_sizes_that_tiny_configs_name():
    assert len(tiny_clip_tokenizer()) == CLIP_VOCAB_SIZE
    assert len(tiny_t5_tokenizer()) == T5_VOCAB_SIZE


@pytest.mark.parametrize(("pad_token", "pad"), [("<|endoftext|>", 513), ("!", 0)])
def test_clip_begins_ends_and_pads_as_stable_diffusion(pad_token, pad):
    tokenizer = tiny_clip_tokenizer(pad_token=pad_token)
    assert ids_of(tokenizer, "", 4) == [512, 513, pad, pad]
    assert ids_of(tokenizer, PROMPT, 4)[-1] == 513  # the end stays when the prompt is cut


def test_clip_ends_with_the_greatest_id():
    """With `eos_token_id: 2`, Stable Diffusion's text encoder pools where the id is greatest."""
    assert max(tiny_clip_tokenizer().get_vocab().values()) == tiny_clip_tokenizer().eos_token_id


def test_clip_knows_every_byte():
    text = "".join(map(chr, range(0x21, 0x250))) + "日本語"
    ids = tiny_clip_tokenizer(length=4096)(text).input_ids
    assert tiny_clip_tokenizer().unk_token_id not in ids[:-1]


def test_t5_ends_and_pads_as_t5():
    assert ids_of(tiny_t5_tokenizer(), "", 4) == [1, 0, 0, 0]
    assert ids_of(tiny_t5_tokenizer(), PROMPT, 4)[-1] == 1
    assert tiny_t5_tokenizer()("日").input_ids == [3, 2, 1]


def test_the_length_is_the_caller_s():
    assert tiny_clip_tokenizer(20).model_max_length == 20
    assert len(ids_of(tiny_t5_tokenizer(24), PROMPT, None)) == 24
