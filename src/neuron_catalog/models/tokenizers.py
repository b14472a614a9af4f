"""The tokenizers of tiny pipelines: made in memory, a token for every character, the same on every machine.

Both hold the special tokens that pipelines count on, at the places that checkpoints give them. So a tiny
pipeline pads, cuts and ends its prompts as the real one does. Only words are missing: a prompt is spelled.
"""

from __future__ import annotations

import string

from transformers import CLIPTokenizer, T5Tokenizer

CLIP_VOCAB_SIZE = 514
"""256 bytes, the same 256 as the last of a word, and two marks."""

T5_VOCAB_SIZE = 98
"""Three marks, the space, and the 94 visible characters of ASCII."""

_WORD_END = "</w>"
_CLIP_MARKS = ("<|startoftext|>", "<|endoftext|>")
_T5_MARKS = ("<pad>", "</s>", "<unk>")
_SPACE = "▁"


def tiny_clip_tokenizer(length: int = 77, pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    """Return CLIP's byte-level tokenizer without merges, for prompts of at most `length` tokens.

    As in checkpoints, the end is the greatest id: where `eos_token_id` is 2, as in Stable Diffusion's config,
    the text encoder pools at the greatest. Stable Diffusion XL pads its second prompt with "!", id 0.
    """
    characters = _byte_characters()
    tokens = [*characters, *(character + _WORD_END for character in characters), *_CLIP_MARKS]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length, pad_token=pad_token)


def tiny_t5_tokenizer(length: int = 512) -> T5Tokenizer:
    """Return T5's unigram tokenizer over the characters of ASCII, for prompts of at most `length` tokens.

    Ids 0, 1 and 2 are padding, end and unknown, as in T5. It has none of the 100 sentinels that T5 was
    trained to fill in: no pipeline asks for them.
    """
    visible = string.digits + string.ascii_letters + string.punctuation
    vocabulary = [(token, 0.0) for token in _T5_MARKS] + [(token, -2.0) for token in (_SPACE, *visible)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=length)


def _byte_characters() -> list[str]:
    """Return the character that byte-level BPE writes for each byte, in the order of CLIP's vocabulary.

    Visible bytes stand for themselves; the others are written, in order, as the characters from U+0100 on
    (Radford et al., 2019: `bytes_to_unicode` in GPT-2's encoder.py). The visible ones come first.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    hidden = 256 - len(visible)
    return [chr(byte) for byte in visible] + [chr(256 + index) for index in range(hidden)]


def tiny_tokenizer(form: str, length: int, pad_token: str | None) -> CLIPTokenizer | T5Tokenizer:
    """Return the tiny tokenizer of a form that the catalog knows."""
    if form == "unigrams":
        return tiny_t5_tokenizer(length)
    return tiny_clip_tokenizer(length, pad_token or _CLIP_MARKS[-1])
