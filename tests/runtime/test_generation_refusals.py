"""What `generate` of an exported model cannot do is refused by name, before anything is computed."""

import pytest
import torch
from transformers import GenerationConfig

from neuron_catalog import ExportRequest, RequestError, export

TEXT = {"batch_size": 2, "prompt_length": (8, 16), "sequence_length": 32, "num_beams": 3}
ANSWER = {"batch_size": 2, "sequence_length": (6, 12), "decoder_sequence_length": (8, 20)}
WHOLE = {"batch_size": 2, "sequence_length": 24}


def ids(rows, length):
    return torch.arange(3, 3 + rows * length).reshape(rows, length)


TWO = {"input_ids": ids(2, 8)}
OTHER_INPUTS = (
    "cannot be given to an exported model: its graphs take token ids, and a cache of a fixed size that "
)
OTHER_INPUTS += "is made for each call."
OTHER_CACHE = "needs another cache than the one of a fixed size in the graph."

REFUSALS = {
    "a prompt longer than the longest": (
        {"input_ids": ids(2, 17), "max_new_tokens": 4},
        "A prompt of 17 tokens was given; the model was exported for 16.",
        "Shorten it, or export with --prompt_length 17.",
    ),
    "more new tokens than there is room for": (
        {"input_ids": ids(2, 16), "max_new_tokens": 17},
        "16 tokens and 17 new ones are 33; the model was exported for 32.",
        "Shorten the text, ask for fewer new tokens, or export for longer texts.",
    ),
    "a length beyond the cache": (
        {**TWO, "max_length": 33},
        "8 tokens and 25 new ones are 33; the model was exported for 32.",
        "Shorten the text, ask for fewer new tokens, or export for longer texts.",
    ),
    "a generation config that wants too much": (
        {**TWO, "generation_config": GenerationConfig(max_new_tokens=30)},
        "8 tokens and 30 new ones are 38; the model was exported for 32.",
        "Shorten the text, ask for fewer new tokens, or export for longer texts.",
    ),
    "more texts than exported": (
        {"input_ids": ids(3, 8), "max_new_tokens": 4},
        "3 texts were given at once; the model was exported for 2.",
        "Give fewer at a time, or export with --batch_size 3.",
    ),
    "more beams than exported": (
        {**TWO, "num_beams": 4, "max_new_tokens": 4},
        "2 texts with 4 beams or sequences each are 8 rows; the model was exported for 6.",
        "Export with --num_beams 4, or with a larger --batch_size.",
    ),
    "more sequences than exported": (
        {**TWO, "num_return_sequences": 5, "do_sample": True, "max_new_tokens": 4},
        "2 texts with 5 beams or sequences each are 10 rows; the model was exported for 6.",
        "Export with --num_beams 5, or with a larger --batch_size.",
    ),
    "an assistant": (
        {**TWO, "assistant_model": object()},
        f"assistant_model {OTHER_INPUTS}",
        "Leave assistant_model out.",
    ),
    "a way to generate from the hub": (
        {**TWO, "custom_generate": "some/repository"},
        f"custom_generate {OTHER_INPUTS}",
        "Leave custom_generate out.",
    ),
    "vectors instead of tokens": (
        {"inputs_embeds": torch.zeros(2, 8, 32)},
        f"inputs_embeds {OTHER_INPUTS}",
        "Leave inputs_embeds out.",
    ),
    "a cache": (
        {**TWO, "past_key_values": object()},
        f"past_key_values {OTHER_INPUTS}",
        "Leave past_key_values out.",
    ),
    "tokens looked up in the prompt": (
        {**TWO, "prompt_lookup_num_tokens": 3},
        f"prompt_lookup_num_tokens {OTHER_CACHE}",
        "Leave prompt_lookup_num_tokens out.",
    ),
    "another cache": (
        {**TWO, "cache_implementation": "static"},
        f"cache_implementation {OTHER_CACHE}",
        "Leave cache_implementation out.",
    ),
    "a prompt in pieces": (
        {**TWO, "prefill_chunk_size": 4},
        f"prefill_chunk_size {OTHER_CACHE}",
        "Leave prefill_chunk_size out.",
    ),
    "guidance, which reads two texts": (
        {**TWO, "guidance_scale": 1.5},
        f"guidance_scale {OTHER_CACHE}",
        "Leave guidance_scale out.",
    ),
    "attentions": (
        {**TWO, "output_attentions": True, "return_dict_in_generate": True},
        "The graphs return scores only, no output_attentions.",
        "Leave output_attentions out.",
    ),
    "a misspelt option": (
        {**TWO, "max_new_token": 5},
        "generate knows no argument 'max_new_token'; did you mean max_new_tokens or min_new_tokens or "
        "max_cache_len?",
        "Leave max_new_token out.",
    ),
    "a misspelt input": (
        {**TWO, "attention_maks": torch.ones(2, 8)},
        "generate knows no argument 'attention_maks'; did you mean attention_mask?",
        "Leave attention_maks out.",
    ),
    "an input of other models": (
        {**TWO, "pixel_values": torch.ones(2, 3, 8, 8)},
        None,
        "Leave pixel_values out.",
    ),
    "no input": ({}, "The input 'input_ids' is missing.", "Pass it by name."),
    "a mask alone": (
        {"attention_mask": torch.ones(2, 8)},
        "The input 'input_ids' is missing.",
        "Pass it by name.",
    ),
    "a list": (
        {"input_ids": [[3, 4, 5]]},
        "input_ids is a list, not a tensor of torch.",
        'Ask the tokenizer or processor for return_tensors="pt".',
    ),
    "no batch": (
        {"input_ids": torch.tensor([3, 4, 5])},
        "input_ids has shape (3,); the graph takes (batch_size, prompt_length), none of them empty.",
        "Give it these dimensions.",
    ),
    "an empty prompt": (
        {"input_ids": torch.zeros(2, 0, dtype=torch.int64)},
        "input_ids has shape (2, 0); the graph takes (batch_size, prompt_length), none of them empty.",
        "Give it these dimensions.",
    ),
    "no whole numbers": (
        {"input_ids": torch.ones(2, 8)},
        "input_ids is torch.float32; the graph takes int64.",
        "Convert it.",
    ),
    "a mask of another length": (
        {**TWO, "attention_mask": torch.tensor([[0, 1, 1, 1, 1]] * 2), "max_new_tokens": 4},
        "input_ids has prompt_length 8, attention_mask has 5.",
        "Give all of them the same.",
    ),
    "nothing but padding": (
        {**TWO, "attention_mask": torch.zeros(2, 8, dtype=torch.int64), "max_new_tokens": 4},
        "attention_mask is 0 everywhere: there is nothing to go on from.",
        "Give tokens.",
    ),
}


def refused(model, given, ran):
    names = ran(model)
    with pytest.raises(RequestError) as error:
        model.generate(**given)
    assert names == []
    return error.value.cause, error.value.remedy


@pytest.mark.parametrize("what", REFUSALS)
def test_a_decoder_refuses(what, pair, ran):
    given, cause, remedy = REFUSALS[what]
    said = refused(pair("llama", "text-generation", **TEXT).model, given, ran)
    assert said == (cause or said[0], remedy)
    if cause is None:
        assert said[0].startswith("generate knows no argument 'pixel_values'; ")


@pytest.mark.parametrize(
    ("given", "cause", "remedy"),
    [
        (
            {"input_ids": ids(2, 12), "max_new_tokens": 20},
            "1 tokens and 20 new ones are 21; the model was exported for 20.",
            "Shorten the text, ask for fewer new tokens, or export for longer texts.",
        ),
        (
            {"input_ids": ids(2, 12), "decoder_input_ids": ids(2, 5), "max_new_tokens": 16},
            "5 tokens and 16 new ones are 21; the model was exported for 20.",
            "Shorten the text, ask for fewer new tokens, or export for longer texts.",
        ),
        (
            {"input_ids": ids(2, 13), "max_new_tokens": 4},
            "input_ids has sequence_length 13; the graph was compiled for 6 or 12, no more.",
            "Shorten it (truncation=True, max_length=12), or load with truncate=True.",
        ),
        (
            {"input_ids": ids(1, 6), "num_beams": 3, "max_new_tokens": 4},
            "1 texts with 3 beams or sequences each are 3 rows; the model was exported for 2.",
            "Export with --num_beams 3, or with a larger --batch_size.",
        ),
        (
            {"decoder_input_ids": ids(2, 5), "max_new_tokens": 4},
            "The input 'input_ids' is missing.",
            "Pass it by name.",
        ),
        (
            {"input_ids": ids(2, 6), "decoder_input_ids": ids(2, 2), "decoder_attention_mask": ids(2, 2)},
            None,
            "Leave decoder_attention_mask out.",
        ),
    ],
)
def test_an_encoder_decoder_refuses(given, cause, remedy, pair, ran):
    said = refused(pair("t5", "text2text-generation", **ANSWER).model, given, ran)
    assert said == (cause or said[0], remedy)


@pytest.mark.parametrize(
    ("given", "cause", "remedy"),
    [
        (
            {"input_ids": ids(2, 8), "max_new_tokens": 17},
            "8 tokens and 17 new ones are 25; the model was exported for 24.",
            "Shorten the text, ask for fewer new tokens, or export for longer texts.",
        ),
        (
            {"input_ids": ids(2, 8), "num_beams": 2, "max_new_tokens": 4},
            "2 texts with 2 beams or sequences each are 4 rows; the model was exported for 2.",
            "Export with a larger --batch_size.",
        ),
    ],
)
def test_a_model_without_a_cache_refuses(given, cause, remedy, pair, ran):
    said = refused(pair("mllama_text_model", "text-generation", **WHOLE).model, given, ran)
    assert said == (cause, remedy)


@pytest.mark.parametrize(
    ("architecture", "task", "sizes", "more", "cause", "remedy"),
    [
        (
            "llama",
            "text-generation",
            {"batch_size": 1, "sequence_length": 16, "prompt_length": 17},
            {},
            "prompt_length 17 is larger than sequence_length 16.",
            "Use --prompt_length 16 or less, or a larger --sequence_length.",
        ),
        (
            "llama",
            "text-generation",
            {"batch_size": 1, "sequence_length": (8, 32), "prompt_length": (8, 16)},
            {},
            "prompt_length 16 is larger than sequence_length 8.",
            "Use --prompt_length 8 or less, or a larger --sequence_length.",
        ),
        (
            "llama",
            "text-generation",
            {"batch_size": 1, "sequence_length": 65},
            {},
            "sequence_length 65 is longer than this llama model allows: its config gives at most 64 "
            "(max_position_embeddings).",
            "Use --sequence_length 64 or less.",
        ),
        (
            "llama",
            "text-generation",
            {"batch_size": 1, "sequence_length": 32},
            {"dynamic_batch_size": True},
            "--dynamic_batch_size is not for generation: the cache has a place for each row of one batch.",
            "Leave it out, and export with the largest --batch_size; smaller ones are filled up.",
        ),
        (
            "t5",
            "text2text-generation",
            {"batch_size": 1, "sequence_length": 12, "decoder_sequence_length": 12},
            {"dynamic_batch_size": True},
            "--dynamic_batch_size is not for generation: the cache has a place for each row of one batch.",
            "Leave it out, and export with the largest --batch_size; smaller ones are filled up.",
        ),
        (
            "llama",
            "text-generation",
            {"batch_size": 1, "sequence_length": 16, "decoder_sequence_length": 4},
            {},
            "llama has no axis 'decoder_sequence_length' for text-generation; did you mean sequence_length?",
            "Its axes are: batch_size, sequence_length, prompt_length, num_beams.",
        ),
        (
            "llama",
            "text-classification",
            {"batch_size": 1, "sequence_length": 16, "num_beams": 4},
            {},
            "llama has no axis 'num_beams' for text-classification; known are: batch_size, sequence_length",
            "Its axes are: batch_size, sequence_length.",
        ),
    ],
)
def test_an_export_refuses(architecture, task, sizes, more, cause, remedy, tmp_path):
    request = ExportRequest(architecture=architecture, task=task, axes=sizes, out=tmp_path / "out", **more)
    with pytest.raises(RequestError) as refused:
        export(request)
    assert (refused.value.cause, refused.value.remedy) == (cause, remedy)
    assert list(tmp_path.iterdir()) == []
