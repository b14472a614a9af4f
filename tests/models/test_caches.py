"""Token by token, whatever was in its cache, a model gives what it gives for the whole text at once."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuron_catalog import CompileError, ExportRequest, RequestError
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.exporting.backends.protocol import Compilation
from neuron_catalog.exporting.request import resolve
from neuron_catalog.models.continuation import dirty, zeros
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.wrappers import WRAPPERS, causal
from neuron_catalog.models.wrappers.causal import prefill_name
from neuron_catalog.models.wrappers.seq2seq import decode_name
from neuron_catalog.models.wrappers.stepwise import part_named

SIZES = {"batch_size": 2, "prompt_length": 16, "sequence_length": 32}

DECODERS = ["llama", "gemma2", "gemma3_text", "bloom", "mixtral", "qwen3_moe", "gpt_neo", "jamba", "mamba"]
"""Grouped queries; sliding windows; positions that follow from the mask; experts; a shifted cache; states."""

ANSWERING = {
    "t5": ("text2text-generation", {"sequence_length": 12}),
    "bart": ("text2text-generation", {"sequence_length": 12}),
    "whisper": ("speech-to-text", {}),
}


@dataclass(frozen=True)
class Traced:
    """The functions of a tiny model, traced, and the model."""

    eager: Any
    plan: Any
    functions: dict[str, Any]
    parts: Any

    def text(self, states=dirty):
        """Begin a text; the states hold something already, as after another text."""
        name = prefill_name if "prompt_length" in self.plan.axes else decode_name
        part = part_named(self.parts, name(self.plan))
        return WRAPPERS[self.plan.wrapper].text(self.plan, self.functions, states(part))

    def whole(self, ids, mask):
        """Return the plain model's scores [rows, length, vocabulary] of whole texts."""
        arguments = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        if self.plan.architecture not in ("bloom", "jamba", "mamba"):  # those number no tokens
            arguments["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.no_grad():
            return self.eager(**arguments).logits

    def begin(self, text, ids, mask):
        return text.begin({"input_ids": ids, "attention_mask": mask})


@pytest.fixture(scope="module")
def traced(catalog):
    made = {}

    def trace(architecture, task="text-generation", **sizes):
        key = (architecture, causal.LEAST_REACH, *sizes.items())
        if key not in made:
            request = ExportRequest(architecture=architecture, task=task, axes=sizes)
            resolved = resolve(request, catalog)
            model, plan = resolved.source.load(resolved.plan).module, resolved.plan
            wrapped = WRAPPERS[plan.wrapper].wrapped(model, {"forward": plan}, 0)
            program = torchscript.compile(Compilation(wrapped.module, wrapped.examples))
            made[key] = Traced(model, plan, program.graphs, wrapped.parts)
        return made[key]

    return trace


def prompts(length, padding=(0, 3), seed=1):
    """Return ids and mask of texts with so many tokens of padding on their left."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 99, (len(padding), length), generator=generator)
    mask = (torch.arange(length) >= torch.tensor(padding)[:, None]).long()
    return ids * mask, mask


def tokens(rows, count, seed=2):
    return torch.randint(3, 99, (rows, count), generator=torch.Generator().manual_seed(seed))


def joined(ids, mask, following):
    return torch.cat([ids, following], 1), torch.cat([mask, torch.ones_like(following)], 1)


def written(text, following):
    """Let a text take some tokens; returns the scores after each."""
    return torch.cat([text.step(each) for each in following.split(1, 1)], 1)


def close(given, expected):
    assert given.shape == expected.shape
    assert (given - expected).abs().max() <= 2e-5 * expected.abs().max()


@pytest.mark.parametrize("length", [1, 5, 12, 16])
@pytest.mark.parametrize("architecture", DECODERS)
def test_each_step_from_a_dirty_cache_is_the_plain_forward(architecture, length, traced):
    model = traced(architecture, **SIZES)
    ids, mask = prompts(length, padding=(0, min(3, length - 1)))
    following = tokens(2, 14)
    text = model.text()
    assert all(state.abs().max() > 1 for state in text.states)
    scores = torch.cat([model.begin(text, ids, mask), written(text, following)], 1)
    close(scores, model.whole(*joined(ids, mask, following))[:, length - 1 :])


@pytest.mark.parametrize("length", [1, 7, 12])
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "bloom", "mixtral"])
def test_a_step_sees_no_more_places_than_it_needs(architecture, length, traced, monkeypatch):
    """Small sizes stand for large ones: here a function for 8, 16 and 32 places instead of 128, 256, ..."""
    monkeypatch.setattr(causal, "LEAST_REACH", 8)
    model = traced(architecture, **SIZES)
    ids, mask = prompts(length, padding=(0, length - 1))
    following = tokens(2, 32 - length)
    text = model.text()
    assert list(text.decode) == [8, 16, 32]
    seen = []
    for reach, function in dict(text.decode).items():
        text.decode[reach] = lambda *given, reach=reach, function=function: (
            seen.append(reach) or function(*given)
        )
    scores = torch.cat([model.begin(text, ids, mask), written(text, following)], 1)
    close(scores, model.whole(*joined(ids, mask, following))[:, length - 1 :])
    assert seen == [8 if place <= 8 else 16 if place <= 16 else 32 for place in range(length + 1, 33)]


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3_text"])
def test_the_windows_of_these_models_are_shorter_than_the_texts(architecture, traced):
    """Else they would prove nothing of windows."""
    model = traced(architecture, **SIZES)
    ids, mask = prompts(16)
    before = model.whole(ids, mask)
    windows = [(module, module.sliding_window) for module in model.eager.modules() if _slides(module)]
    try:
        assert {window for _, window in windows} == {8}
        model.eager.config.sliding_window = 64
        for module, _ in windows:
            module.sliding_window = 64
        assert (model.whole(ids, mask) - before).abs().max() > 1e-3
    finally:
        model.eager.config.sliding_window = 8
        for module, window in windows:
            module.sliding_window = window


def _slides(module):
    return isinstance(getattr(module, "sliding_window", None), int)


@pytest.mark.parametrize("architecture", ANSWERING)
def test_each_token_of_an_answer_from_a_dirty_cache_is_the_plain_forward(architecture, traced):
    task, sizes = ANSWERING[architecture]
    model = traced(architecture, task, batch_size=2, decoder_sequence_length=20, **sizes)
    inputs = make_inputs(model.plan, 4)
    inputs.pop("decoder_input_ids")
    answer = tokens(2, 20)
    text = model.text()
    assert all(state.abs().max() > 1 for state in text.states)
    hidden = text.begin(inputs)
    with torch.no_grad():
        expected = model.eager(**inputs, decoder_input_ids=answer, use_cache=False)
    close(written(text, answer), expected.logits)
    close(hidden, expected.encoder_last_hidden_state)


@pytest.mark.parametrize("architecture", ["llama", "gpt_neo", "jamba"])
def test_what_fills_up_a_prompt_costs_no_place_in_the_cache(architecture, traced):
    """A prompt of 5 in a graph of 16 leaves 27 of 32 places; the step after the last of them is refused."""
    model = traced(architecture, **SIZES)
    ids, mask = prompts(5, padding=(0, 2))
    text = model.text()
    first = model.begin(text, ids, mask)
    assert text.length == 5
    following = tokens(2, 27)
    scores = torch.cat([first, written(text, following)], 1)
    close(scores, model.whole(*joined(ids, mask, following))[:, 4:])
    assert text.length == 32
    with pytest.raises(RequestError) as refused:
        text.step(following[:, :1])
    assert refused.value.cause == "The cache holds 32 tokens, and all are taken."
    assert refused.value.remedy == "Ask for fewer new tokens, or export with a larger --sequence_length."


def test_an_answer_ends_with_its_cache(traced):
    task, sizes = ANSWERING["t5"]
    model = traced("t5", task, batch_size=2, decoder_sequence_length=20, **sizes)
    inputs = make_inputs(model.plan, 4)
    text = model.text()
    text.begin(inputs)
    written(text, tokens(2, 20))
    with pytest.raises(RequestError, match="The cache holds 20 tokens, and all are taken"):
        text.step(tokens(2, 1))


@pytest.mark.parametrize("order", [[1, 0], [0, 0], [1, 1]])
@pytest.mark.parametrize("architecture", DECODERS)
def test_a_row_goes_on_from_the_text_of_another(architecture, order, traced):
    """The rows have other tokens and another padding, before the change and after it."""
    model = traced(architecture, **SIZES)
    ids, mask = prompts(9, padding=(1, 6))
    before, after = tokens(2, 4, seed=3), tokens(2, 5, seed=4)
    text = model.text()
    model.begin(text, ids, mask)
    written(text, before)
    text.reorder(torch.tensor(order))
    so_far = torch.cat([ids, before], 1)[order]
    seen = torch.cat([mask, torch.ones_like(before)], 1)[order]
    close(written(text, after), model.whole(*joined(so_far, seen, after))[:, 13:])


@pytest.mark.parametrize("architecture", ANSWERING)
def test_a_row_goes_on_from_the_answer_of_another(architecture, traced):
    """With it goes what the encoder made of the other's input."""
    task, sizes = ANSWERING[architecture]
    model = traced(architecture, task, batch_size=2, decoder_sequence_length=20, **sizes)
    inputs = make_inputs(model.plan, 4)
    inputs.pop("decoder_input_ids")
    before, after = tokens(2, 4, seed=3), tokens(2, 5, seed=4)
    text = model.text()
    text.begin(inputs)
    written(text, before)
    text.reorder(torch.tensor([1, 0]))
    turned = {name: value.flip(0) for name, value in inputs.items()}
    with torch.no_grad():
        answer = torch.cat([before.flip(0), after], 1)
        expected = model.eager(**turned, decoder_input_ids=answer, use_cache=False).logits
    close(written(text, after), expected[:, 4:])


def test_beams_go_on_from_their_prompt(traced):
    model = traced("llama", **SIZES, num_beams=3)
    ids, mask = prompts(9)
    text = model.text()
    assert model.begin(text, ids, mask).shape[0] == 2
    following = tokens(6, 4)
    three = [each.repeat_interleave(3, 0) for each in (ids, mask)]
    close(written(text, following), model.whole(*joined(*three, following))[:, 9:])


def test_what_was_in_the_cache_makes_no_difference_in_the_last_digit(traced):
    model = traced("llama", **SIZES)
    ids, mask = prompts(7)
    scores = []
    for states in (zeros, dirty):
        text = model.text(states)
        scores += [torch.cat([model.begin(text, ids, mask), written(text, tokens(2, 10))], 1)]
    assert torch.equal(*scores)


@pytest.mark.parametrize("architecture", ["mamba", "jamba"])
def test_a_recurrent_model_is_not_given_padding_on_its_right(architecture, catalog):
    request = ExportRequest(architecture=architecture, task="text-generation", axes=SIZES)
    resolved = resolve(request, catalog)
    model = resolved.source.load(resolved.plan).module
    with pytest.raises(CompileError) as refused:
        WRAPPERS["static-cache"].wrapped(model, {"forward": resolved.plan}, 0)
    assert refused.value.cause == (
        "The model has recurrent layers, which would read what fills up a prompt on its right."
    )
    assert refused.value.remedy == "Name the wrapper shifted-cache for this task in the architecture's YAML."


@st.composite
def masks(draw):
    """Draw two rows of a prompt's mask: padding on the left, holes, and a real token at the end."""
    length = draw(st.integers(1, 16))
    row = st.lists(st.booleans(), min_size=length - 1, max_size=length - 1)
    return torch.tensor([[*draw(row), True] for _ in range(2)]).long()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=masks(), steps=st.integers(1, 16), seed=st.integers(0, 1000))
def test_any_prompt_may_be_continued_by_any_number_of_tokens(traced, mask, steps, seed):
    model = traced("llama", **SIZES)
    length = mask.shape[1]
    ids = prompts(length, padding=(0, 0), seed=seed)[0] * mask
    following = tokens(2, steps, seed=seed + 1)
    text = model.text()
    scores = torch.cat([model.begin(text, ids, mask), written(text, following)], 1)
    close(scores, model.whole(*joined(ids, mask, following))[:, length - 1 :])
