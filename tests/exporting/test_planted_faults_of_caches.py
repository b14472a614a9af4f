"""Faults of a cache are seen: each is planted into the functions or what calls them, and is refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.models.continuation import AnsweredText, Continuation
from neuron_catalog.models.wrappers import causal, seq2seq
from neuron_catalog.models.wrappers.causal import CausalCacheGraph
from neuron_catalog.models.wrappers.layers import Shifted, Slot, Written
from neuron_catalog.proving.selftest import Job, run_job
from neuron_catalog.runtime.texts import TextInProgress

REFUSED = 6


def around(owner, name, change):
    """A fault that runs `change(original, *arguments)` in place of a function."""

    def plant(monkeypatch):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *arguments, **more: change(original, *arguments, **more))

    return plant


def compiled(change):
    """A fault in the traced functions that read a token; the eager ones are right."""

    def plant(monkeypatch):
        def compile(compilation):
            module = compilation.module
            for name in [each for each in compilation.examples if each.startswith("decode_")]:
                right = getattr(module, name)
                monkeypatch.setattr(module, name, lambda *tensors, right=right: change(right, *tensors))
            return torchscript.compile(compilation)

        planted = SimpleNamespace(**{**vars(torchscript), "compile": compile})
        monkeypatch.setitem(backends.BACKENDS, "torchscript", planted)

    return plant


def both(*plants):
    def plant(monkeypatch):
        for each in plants:
            each(monkeypatch)

    return plant


def few_places(monkeypatch):
    """Have functions for 8, 16 and 24 places of the cache, as there are for 128, 256, ... of a larger one."""
    monkeypatch.setattr(causal, "LEAST_REACH", 8)


def the_last(seen, layer, kept):
    return kept[:, :, kept.shape[2] - layer.reach :]


def forget_the_mask(call, graph, named, *more, **others):
    one = named["input_ids"].shape[1] == 1
    mask = {"attention_mask": torch.ones_like(named["attention_mask"])} if one else {}
    return call(graph, named | mask, *more, **others)


def one_place_before(update, layer, *keys_and_values):
    layer.position = (layer.position - 1).clamp(min=0)
    return update(layer, *keys_and_values)


def fixed(function, mask):
    """The number that was right when the function was traced."""
    return torch.tensor(function(mask).tolist())


def no_padding(positions_of, mask):
    return torch.arange(mask.shape[1]).expand_as(mask)


def ignore(attribute, layer=None):
    """Read nothing of one state."""

    def change(write, slot, cache, value):
        chosen = slot.attribute == attribute and layer in (None, slot.layer)
        write(slot, cache, torch.zeros_like(value) if chosen else value)

    return change


def swap(write, slot, cache, value):
    others = {"keys": "values", "values": "keys"}
    write(Slot(slot.layer, others[slot.attribute]), cache, value)


def at_the_other_end(kept, graph, slot, new, old):
    graph._layout = "shifted" if graph._layout == "written" else "written"
    try:
        return kept(graph, slot, new, old)
    finally:
        graph._layout = "shifted" if graph._layout == "written" else "written"


def only_the_last(update, layer, keys, values, *more):
    layer.keys = torch.cat([layer.keys[:, :, :-1], keys], 2)
    layer.values = torch.cat([layer.values[:, :, :-1], values], 2)
    return layer.keys, layer.values


def take_no_states_over(step, text, *arguments):
    before = [state.clone() for state in text.states]
    scores = step(text, *arguments)
    text.states = before
    return scores


def show_no_new_token(step, text, *arguments):
    before = text.mask.clone()
    scores = step(text, *arguments)
    text.mask = before
    return scores


def all_of_the_input_counts(begin, text, inputs):
    hidden = begin(text, inputs)
    text.fixed[0] = torch.ones_like(text.fixed[0])
    return hidden


def of_the_neighbour(begin, text, inputs):
    hidden = begin(text, inputs)
    text.fixed = [value.flip(0) for value in text.fixed]
    return hidden


def mixed_rows(decode, *tensors):
    scores, *states = decode(*tensors)
    return (scores - scores.mean(0, keepdim=True), *states)


def nothing_written(decode, ids, mask, *states):
    scores, *_ = decode(ids, mask, *(state.clone() for state in states))
    return (scores, *states)


DECODER = ("text-generation", {"prompt_length": 8, "sequence_length": 24})
ANSWER = ("text2text-generation", {"sequence_length": 12, "decoder_sequence_length": 12})


@dataclass(frozen=True)
class Fault:
    architecture: str
    plant: Callable[[pytest.MonkeyPatch], None]
    said: tuple[str, ...] = ("values: logits differs by", "oracle: logits differs by")
    use: tuple[str, dict[str, int]] = DECODER
    more: dict[str, int] = field(default_factory=dict)


ONLY_TRACED = ("values: logits differs by",)

FAULTS = {
    "the mask is forgotten": Fault("llama", around(CausalCacheGraph, "_call", forget_the_mask)),
    "a token is written one place too early": Fault("llama", around(Written, "update", one_place_before)),
    "the place of a token is that of the trace": Fault(
        "llama", around(causal, "last_position", fixed), ONLY_TRACED
    ),
    "positions count padding": Fault("llama", around(causal, "positions_of", no_padding)),
    "positions count padding, where they are learnt": Fault(
        "gpt2", around(causal, "positions_of", no_padding)
    ),
    "the values of the last layer are not read": Fault("llama", around(Slot, "write", ignore("values", 1))),
    "the keys of the first layer are not read": Fault("llama", around(Slot, "write", ignore("keys", 0))),
    "keys and values are swapped": Fault("llama", around(Slot, "write", swap)),
    "a prompt is kept at the wrong end": Fault("llama", around(CausalCacheGraph, "_kept", at_the_other_end)),
    "a prompt is not kept": Fault("llama", around(CausalCacheGraph, "_kept", lambda kept, *given: given[-1])),
    "a step leaves the states as they were": Fault(
        "llama", around(Continuation, "step", take_no_states_over)
    ),
    "a step does not show its token": Fault("llama", around(Continuation, "step", show_no_new_token)),
    "beams go on from the prompts in turn": Fault(
        "llama",
        around(Continuation, "_for_beams", lambda _, text, value: value.repeat(2, *[1] * (value.dim() - 1))),
        more={"num_beams": 2},
    ),
    "the traced step mixes rows": Fault(
        "llama", compiled(mixed_rows), ("values: logits differs by", "rows_independent: logits differs by")
    ),
    "the traced step writes nothing": Fault("llama", compiled(nothing_written), ONLY_TRACED),
    "a step that sees fewer places sees the wrong ones": Fault(
        "llama", both(few_places, around(Written, "_seen", the_last))
    ),
    "a window of a sliding layer is forgotten": Fault(
        "gemma2", around(CausalCacheGraph, "_call", forget_the_mask)
    ),
    "a shifted cache is not shifted": Fault("gpt_neo", around(Shifted, "update", only_the_last)),
    "a shifted cache is filled at the left": Fault(
        "gpt_neo", around(CausalCacheGraph, "_kept", at_the_other_end)
    ),
    "convolution states are not read": Fault("mamba", around(Slot, "write", ignore("conv_states"))),
    "recurrent states are not read": Fault("mamba", around(Slot, "write", ignore("recurrent_states"))),
    "recurrent states of one layer of several kinds": Fault(
        "jamba", around(Slot, "write", ignore("recurrent_states", 0))
    ),
    "an answer is written one place too early": Fault(
        "t5", around(Written, "update", one_place_before), use=ANSWER
    ),
    "keys of what the encoder made are not read": Fault(
        "t5", around(Slot, "write", ignore("keys")), use=ANSWER
    ),
    "the place in an answer is that of the trace": Fault(
        "t5", around(seq2seq, "last_position", fixed), ONLY_TRACED, use=ANSWER
    ),
    "padding of the input is read": Fault(
        "t5", around(AnsweredText, "begin", all_of_the_input_counts), use=ANSWER
    ),
    "the input of another row is answered": Fault(
        "t5", around(AnsweredText, "begin", of_the_neighbour), use=ANSWER
    ),
}


def options(use, more):
    task, sizes = use
    given = [word for axis, size in {**sizes, **more}.items() for word in (f"--{axis}", str(size))]
    return ["--task", task, *given]


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_refused(name, monkeypatch, run, tmp_path):
    fault = FAULTS[name]
    fault.plant(monkeypatch)
    code, out, err = run("export", fault.architecture, *options(fault.use, fault.more), "out")
    assert code == REFUSED, out + err
    for said in fault.said:
        assert f"  {said}" in err
    assert "nothing was written" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("architecture", "use", "more"),
    sorted({(fault.architecture, fault.use[0], bool(fault.more)) for fault in FAULTS.values()}),
)
def test_without_a_fault_they_pass(architecture, use, more, run, tmp_path):
    sizes = DECODER if use == DECODER[0] else ANSWER
    code, out, err = run("export", architecture, *options(sizes, {"num_beams": 2} if more else {}), "out")
    assert (code, [path.name for path in tmp_path.iterdir()]) == (0, ["out"])


GENERATION_FAULTS = {
    "the token of one row is read for all": around(
        TextInProgress, "read", lambda read, text, ids: read(text, ids[:1].expand_as(ids))
    ),
    "scores of a prompt go to its neighbour": around(
        TextInProgress, "begin", lambda begin, text, given: begin(text, given).flip(0)
    ),
    "the last token is read again": around(
        TextInProgress, "get_seq_length", lambda length, text, *layer: max(length(text) - 1, 0)
    ),
    "a token is another one": around(
        TextInProgress, "read", lambda read, text, ids: read(text, (ids + 1) % 99)
    ),
}


@pytest.mark.parametrize("name", GENERATION_FAULTS)
def test_a_fault_in_what_calls_the_functions_fails_the_selftest(name, monkeypatch, catalog):
    GENERATION_FAULTS[name](monkeypatch)
    row = run_job(Job("llama", "text-generation", catalog.folders))
    assert not row.passed
    failed = [check.name for check in row.checks if check.status == "failed"]
    assert failed == ["generation"], row.complaint
    assert row.complaint.startswith("generation: greedy: ")


def test_without_a_fault_the_selftest_passes(catalog):
    row = run_job(Job("llama", "text-generation", catalog.folders))
    assert row.passed
    (generation,) = (check for check in row.checks if check.name == "generation")
    assert generation.detail == "16 greedy and 16 sampled tokens equal those of transformers"
