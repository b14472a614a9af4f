"""What an exported model writes is, token for token, what transformers' own `generate` writes."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, GenerationMixin, StoppingCriteria

from neuron_catalog import NeuronAutoModel, NeuronModelForCausalLM

TEXT = {"batch_size": 2, "prompt_length": (8, 16), "sequence_length": 32, "num_beams": 3}
ANSWER = {"batch_size": 2, "decoder_sequence_length": 20, "num_beams": 3}
WHOLE = {"batch_size": 6, "sequence_length": 32}
"""Sizes of a model without a cache: its rows hold beams, too."""


@dataclass(frozen=True)
class Case:
    """An architecture that is exported for a task that writes texts."""

    architecture: str
    task: str
    wrapper: str
    sizes: dict[str, Any]

    def __str__(self) -> str:
        return self.architecture


CASES = [
    Case("llama", "text-generation", "static-cache", TEXT),
    Case("gpt_neo", "text-generation", "shifted-cache", TEXT),
    Case("jamba", "text-generation", "shifted-cache", TEXT),
    Case("mamba", "text-generation", "shifted-cache", TEXT),
    Case("llava", "image-text-to-text", "static-cache", TEXT | {"prompt_length": 24, "sequence_length": 40}),
    Case("t5", "text2text-generation", "static-encoder-decoder-cache", ANSWER | {"sequence_length": 12}),
    Case("moonshine", "speech-to-text", "static-encoder-decoder-cache", ANSWER),
    Case("mllama_text_model", "text-generation", "forward", WHOLE),
    Case("led", "text2text-generation", "forward", WHOLE | {"decoder_sequence_length": 16}),
]

SINGLE = Case("gpt2", "text-generation", "static-cache", TEXT | {"num_beams": 1})
"""One whose states are not copied for beams, so that one text could write over those of another."""

WAYS = {
    "greedy": {},
    "sampled": {"do_sample": True, "top_k": 0},
    "sampled of the best": {"do_sample": True, "top_k": 9, "top_p": 0.9, "temperature": 0.7},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "sampled beams": {"num_beams": 3, "do_sample": True, "top_k": 0},
    "several of each": {"do_sample": True, "top_k": 0, "num_return_sequences": 3},
    "repetition is punished": {"repetition_penalty": 1.9},
    "no pair twice": {"no_repeat_ngram_size": 2, "num_beams": 2},
}

ROOM = {"max_new_tokens": 12}


@pytest.fixture
def llama(pair):
    return pair("llama", "text-generation", **TEXT)


def rows(inputs, some):
    return {name: value[some] for name, value in inputs.items()}


def same(both):
    ours, theirs = both
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_tokens_are_written(case, way, pair):
    both = pair(case.architecture, case.task, **case.sizes)
    assert both.model.manifest.plan.wrapper == case.wrapper
    same(both.write(both.questions(), **ROOM, **WAYS[way]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_rows_of_a_question_are_unequal_and_each_counts(case, pair):
    """Else the test above would prove little. A row alone is also a batch smaller than exported."""
    both = pair(case.architecture, case.task, **case.sizes)
    inputs = both.questions()
    if "attention_mask" in inputs:
        assert len(set(inputs["attention_mask"].sum(1).tolist())) > 1
    texts = []
    for number in (0, 1):
        ours, theirs = both.write(rows(inputs, slice(number, number + 1)), **ROOM, **WAYS["sampled"])
        assert ours.tolist() == theirs.tolist()
        texts.append(ours[0, -12:].tolist())
    assert texts[0] != texts[1]


@pytest.mark.parametrize("way", WAYS)
def test_beams_may_run_in_the_rows_of_a_larger_batch(way, pair):
    both = pair("llama", "text-generation", batch_size=6, prompt_length=8, sequence_length=32)
    assert both.model.manifest.plan.axes["num_beams"] == 1
    same(both.write(both.questions(), **ROOM, **WAYS[way]))


@pytest.mark.parametrize("beams", [2, 4, 6])
def test_fewer_prompts_leave_room_for_more_beams(beams, llama):
    """What was exported for two texts of three beams each takes one of six."""
    prompt = rows(llama.questions(), slice(1, 2))
    same(llama.write(prompt, num_beams=beams, num_return_sequences=beams, **ROOM))


@pytest.mark.parametrize("way", ["greedy", "sampled", "beams", "no pair twice"])
def test_speech_models_with_a_generate_of_their_own_write_what_the_common_one_writes(way, pair):
    both = pair("whisper", "speech-to-text", **ANSWER)
    inputs = both.questions() | {"decoder_start_token_id": 1}
    torch.manual_seed(7)
    with torch.no_grad():
        expected = GenerationMixin.generate(both.eager, **inputs, **ROOM, **WAYS[way])
    torch.manual_seed(7)
    assert both.model.generate(**inputs, **ROOM, **WAYS[way]).tolist() == expected.tolist()


@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_may_have_a_beginning(beams, pair):
    both = pair("t5", "text2text-generation", **ANSWER, sequence_length=12)
    begun = {"decoder_input_ids": torch.tensor([[0, 5, 6], [0, 7, 8]])}
    ours, theirs = both.write(both.questions() | begun, num_beams=beams, **ROOM)
    assert ours.tolist() == theirs.tolist()
    assert ours[:, :3].tolist() == begun["decoder_input_ids"].tolist()


@pytest.mark.parametrize(
    ("architecture", "task", "sizes"),
    [
        ("llama", "text-generation", TEXT),
        ("t5", "text2text-generation", ANSWER | {"sequence_length": 12}),
        ("led", "text2text-generation", WHOLE | {"decoder_sequence_length": 16}),
    ],
)
def test_a_mask_of_ones_may_be_left_out(architecture, task, sizes, pair):
    both = pair(architecture, task, **sizes)
    inputs = {"input_ids": both.questions()["input_ids"].clamp(3)}
    same(both.write(inputs, **ROOM))


@pytest.mark.parametrize("way", ["greedy", "sampled", "beams"])
@pytest.mark.parametrize("architecture", ["llama", "t5"])
def test_scores_come_with_the_tokens_if_they_are_wanted(architecture, way, pair):
    case = next(each for each in CASES if each.architecture == architecture)
    both = pair(case.architecture, case.task, **case.sizes)
    wanted = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    ours, theirs = both.write(both.questions(), **ROOM, **WAYS[way], **wanted)
    assert type(ours) is type(theirs)
    assert ours.keys() == theirs.keys()
    assert ours.sequences.tolist() == theirs.sequences.tolist()
    assert len(ours.scores) == len(theirs.scores) == ROOM["max_new_tokens"]
    for name in ("scores", "logits"):
        for one, other in zip(ours[name], theirs[name], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    if way == "beams":
        torch.testing.assert_close(ours.sequences_scores, theirs.sequences_scores, rtol=1e-4, atol=1e-4)
        assert ours.beam_indices.tolist() == theirs.beam_indices.tolist()


class Until(StoppingCriteria):
    """Stops each text at the first of some tokens that is written; does something else meanwhile."""

    def __init__(self, tokens, meanwhile=lambda: None):
        self.tokens = torch.tensor(tokens)
        self.meanwhile = meanwhile

    def __call__(self, input_ids, scores, **more):
        self.meanwhile()
        return torch.isin(input_ids[:, -1], self.tokens)


def test_a_stopping_criterion_of_the_caller_stops_each_text_in_its_time(llama):
    sampled = ROOM | WAYS["sampled"]
    free, _ = llama.write(llama.questions(), **sampled)
    last = [free[0, 11].item(), free[1, 14].item()]
    ours, theirs = llama.write(llama.questions(), stopping_criteria=[Until(last)], **sampled)
    assert ours.tolist() == theirs.tolist()
    assert ours[0, 11:].tolist() == [last[0], *[0] * (ours.shape[1] - 12)]
    assert ours.shape[1] < free.shape[1]


class Streamer:
    """Keeps what it is given, as transformers' TextIteratorStreamer would before it decodes it."""

    def __init__(self):
        self.given = []

    def put(self, value):
        self.given.append(value.tolist())

    def end(self):
        self.given.append("end")


@pytest.mark.parametrize("architecture", ["llama", "t5"])
def test_a_streamer_gets_each_token_when_it_is_written(architecture, pair):
    case = next(each for each in CASES if each.architecture == architecture)
    both = pair(case.architecture, case.task, **case.sizes)
    ours, theirs = Streamer(), Streamer()
    for model, streamer in ((both.model, ours), (both.eager, theirs)):
        text = model.generate(**rows(both.questions(), slice(1)), streamer=streamer, **ROOM)
    prompt, *tokens, end = ours.given
    assert ours.given == theirs.given
    assert [*prompt[0], *(token for (token,) in tokens)] == text[0].tolist()
    assert (len(tokens), end) == (12, "end")


@pytest.fixture(scope="module")
def settled(checkpoint, tmp_path_factory):
    """A checkpoint with a generation_config.json of its own."""
    folder = tmp_path_factory.mktemp("settled") / "llama"
    shutil.copytree(checkpoint("llama", "text-generation"), folder)
    settings = {"max_new_tokens": 9, "repetition_penalty": 1.7, "do_sample": True, "top_k": 4}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    GenerationConfig(**settings, **ids).save_pretrained(folder)
    return folder


def test_the_generation_config_of_the_artifact_counts_and_passed_values_win(settled, llama):
    model = NeuronModelForCausalLM.from_pretrained(settled, export=True, **TEXT)
    eager = AutoModelForCausalLM.from_pretrained(settled)
    assert (model.folder / "generation_config.json").is_file()
    prompts, texts = llama.questions(), []
    for options in (
        {},
        {"max_new_tokens": 5},
        {"do_sample": False},
        {"repetition_penalty": 1.0, "top_k": 50},
        {"generation_config": GenerationConfig(max_new_tokens=4, do_sample=False, pad_token_id=0)},
    ):
        same(both := [write(each, prompts, options) for each in (model, eager)])
        texts.append(both[0].tolist())
    assert [len(text[0]) - 8 for text in texts] == [9, 5, 9, 9, 4]
    assert len({str(text) for text in texts}) == len(texts)
    assert texts[0] != llama.write(prompts, max_new_tokens=9)[0].tolist()


def write(model, prompts, options):
    torch.manual_seed(7)
    return model.generate(**prompts, **options)


def test_a_text_without_a_limit_ends_where_transformers_or_the_cache_ends_it(pair):
    roomy = pair("llama", "text-generation", **TEXT)
    with pytest.warns(UserWarning, match="default `max_length`"):
        same(roomy.write(roomy.questions()))  # 20 tokens more
    tight = pair("llama", "text-generation", batch_size=2, sequence_length=16)
    with pytest.warns(UserWarning, match="default `max_length`"):
        ours, theirs = tight.write(tight.questions(length=7))
    assert ours.tolist() == theirs[:, :16].tolist()


@pytest.mark.parametrize("architecture", ["llama", "gpt_neo"])
@pytest.mark.parametrize("length", [1, 2, 5, 8, 9, 16])
def test_a_prompt_of_any_length_goes_through_the_smallest_graph_that_takes_it(
    architecture, length, pair, ran
):
    both = pair(architecture, "text-generation", **TEXT)
    names = ran(both.model)
    same(both.write(both.questions(length), max_new_tokens=6))
    first, *others = names
    assert first == ("prefill_2x8_of_32" if length <= 8 else "prefill_2x16_of_32")
    assert len(others) == 5  # nothing is read after the last token
    assert all(name.startswith("decode_") for name in others)


@pytest.mark.parametrize("limit", [{"max_new_tokens": 8}, {"max_length": 16}, {"max_new_tokens": 9}])
def test_a_text_that_becomes_longer_takes_the_graph_with_the_larger_cache(limit, pair, ran):
    both = pair("llama", "text-generation", batch_size=2, prompt_length=8, sequence_length=(16, 32))
    names = ran(both.model)
    same(both.write(both.questions(), **limit))
    assert names[0] == ("prefill_2x8_of_32" if limit == {"max_new_tokens": 9} else "prefill_2x8_of_16")


@pytest.mark.parametrize(
    ("length", "limit", "name"),
    [
        (6, {"max_new_tokens": 7}, "encode_2x6"),
        (7, {"max_new_tokens": 7}, "encode_2x12"),
        (6, {"max_length": 8}, "encode_2x6"),
        (6, {"max_new_tokens": 8}, "encode_2x6"),
        (12, {"max_new_tokens": 19}, "encode_2x12"),
    ],
)
def test_an_answer_takes_the_cheapest_graph_with_room_for_it(length, limit, name, pair, ran):
    sizes = {"batch_size": 2, "sequence_length": (6, 12), "decoder_sequence_length": (8, 20)}
    both = pair("t5", "text2text-generation", **sizes)
    names = ran(both.model)
    whole = both.questions(seed=2)
    same(both.write({each: value[:, :length] for each, value in whole.items()}, **limit))
    assert names[0] == name
    longest = 8 if limit in ({"max_new_tokens": 7}, {"max_length": 8}) else 20
    assert set(names[1:]) == {name.replace("encode", "decode_1") + f"_of_{longest}"}


@pytest.mark.parametrize(("beams", "batch"), [(1, 1), (2, 3), (3, 3), (6, 6)])
def test_beams_take_the_graph_with_rows_for_them(beams, batch, pair, ran):
    both = pair("llama", "text-generation", batch_size=(1, 3, 6), prompt_length=8, sequence_length=24)
    names = ran(both.model)
    same(both.write(rows(both.questions(), slice(1)), num_beams=beams, **ROOM))
    assert names[0] == f"prefill_{batch}x8_of_24"


@pytest.mark.parametrize("case", [*CASES, SINGLE], ids=str)
def test_nothing_is_left_from_the_text_before(case, pair):
    both = pair(case.architecture, case.task, **case.sizes)
    fresh = NeuronAutoModel.from_pretrained(both.model.folder)
    short = both.questions(seed=8)
    sampled = ROOM | WAYS["sampled"]
    expected = write(fresh, short, sampled).tolist()
    other = write(fresh, both.questions(seed=9), sampled).tolist()
    assert write(fresh, short, sampled).tolist() == expected != other
    assert expected == write(both.eager, short, sampled).tolist()


@pytest.mark.parametrize("case", [SINGLE, *CASES[:3], CASES[5]], ids=str)
def test_texts_that_are_written_in_turns_do_not_disturb_each_other(case, pair):
    both = pair(case.architecture, case.task, **case.sizes)
    one, other = both.questions(seed=8), both.questions(seed=9)
    expected = [write(both.model, each, ROOM).tolist() for each in (one, other)]
    between = []
    meanwhile = Until([-1], lambda: between.append(write(both.model, other, ROOM).tolist()))
    interrupted = write(both.model, one, ROOM | {"stopping_criteria": [meanwhile]})
    assert interrupted.tolist() == expected[0]
    assert between == [expected[1]] * 12


def test_several_threads_may_write_at_a_time(pair):
    both = pair(SINGLE.architecture, SINGLE.task, **SINGLE.sizes)
    asked = [both.questions(seed=seed) for seed in range(6)]
    expected = [write(both.eager, each, ROOM).tolist() for each in asked]
    with ThreadPoolExecutor(3) as threads:
        given = threads.map(lambda each: both.model.generate(**each, **ROOM).tolist(), asked)
        assert list(given) == expected
    assert len({str(each) for each in expected}) == 6


@pytest.mark.parametrize("architecture", ["llama", "gpt_neo", "t5", "mllama_text_model"])
def test_it_is_loaded_as_it_was_saved(architecture, pair, tmp_path):
    case = next(each for each in CASES if each.architecture == architecture)
    both = pair(case.architecture, case.task, **case.sizes)
    loaded = NeuronAutoModel.from_pretrained(both.model.save_pretrained(tmp_path / "saved"))
    assert loaded.manifest == both.model.manifest
    assert loaded.generation_config.to_dict() == both.model.generation_config.to_dict()
    sampled = ROOM | WAYS["sampled beams"]
    text = write(loaded, both.questions(), sampled).tolist()
    assert text == write(both.eager, both.questions(), sampled).tolist()


@pytest.mark.parametrize("architecture", ["llama", "jamba", "t5"])
def test_other_weights_write_other_texts(architecture, pair, tmp_path):
    case = next(each for each in CASES if each.architecture == architecture)
    both = pair(case.architecture, case.task, **case.sizes)
    model = NeuronAutoModel.from_pretrained(both.model.folder)
    trained = type(both.eager)(both.eager.config).eval()
    torch.manual_seed(3)
    weights = {
        name: value + 0.1 * torch.randn_like(value) if value.is_floating_point() else value
        for name, value in both.eager.state_dict().items()
    }
    trained.load_state_dict(weights)
    before = write(model, both.questions(), ROOM).tolist()
    model.replace_weights(trained.state_dict())
    assert all(check.status != "failed" for graph in model.manifest.graphs for check in graph.checks)
    expected = write(trained, both.questions(), ROOM).tolist()
    assert write(model, both.questions(), ROOM).tolist() == expected != before
    saved = NeuronAutoModel.from_pretrained(model.save_pretrained(tmp_path / "saved"))
    assert write(saved, both.questions(), ROOM).tolist() == expected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_warming_up_runs_every_function_and_leaves_nothing_behind(case, pair, ran):
    both = pair(case.architecture, case.task, **case.sizes)
    names = ran(both.model)
    assert both.model.warm_up(2) is both.model
    expected = {part.name for part in both.model.manifest.parts} or {"forward"}
    assert set(names) == expected
    assert all(names.count(name) >= 2 for name in expected)
    same(both.write(both.questions(), **ROOM))


def test_a_call_gives_the_scores_of_the_next_token(llama):
    prompts = llama.questions()
    with torch.no_grad():
        expected = llama.eager(**prompts).logits[:, -1:]
    given = llama.model(**prompts)
    assert type(given).__name__ == "CausalLMOutputWithPast"
    torch.testing.assert_close(given.logits, expected, rtol=1e-4, atol=1e-5)
