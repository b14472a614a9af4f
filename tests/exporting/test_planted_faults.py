"""The validator can say no: each fault is planted into a backend, and the command line must refuse it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.models import wrappers
from neuron_catalog.models.wrappers.forward import ForwardWrapper

REFUSED = 6


class Altered(nn.Module):
    """Runs a faulty computation in place of the module that should be compiled."""

    def __init__(self, module: nn.Module, compute: Callable[..., tuple[torch.Tensor, ...]]) -> None:
        super().__init__()
        self.module = module
        self.compute = compute

    def forward(self, *tensors):
        return self.compute(self.module, *tensors)


def on_outputs(change):
    """A fault that changes the outputs of the right module."""
    return lambda module, example: Altered(module, lambda m, *x: change(m(*x)))


def on_inputs(change):
    """A fault that changes the inputs; `change(inputs, example)` returns those that the module gets."""
    return lambda module, example: Altered(module, lambda m, *x: m(*change(x, example)))


def on_model(change):
    """A fault in a copy of the model; the original stays as the reference."""

    def plant(module, example):
        faulty = copy.deepcopy(module)
        change(faulty)
        return faulty

    return plant


def other_weights(module):
    generator = torch.Generator().manual_seed(99)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)


def drop_last_layer(module):
    encoder = module.model.bert.encoder
    encoder.layer = encoder.layer[:-1]


def drop_bias(module):
    with torch.no_grad():
        module.model.classifier.bias.zero_()


def fixed_positions(module, example):
    def compute(m, ids, mask):
        positions = m.model.roberta.embeddings.create_position_ids_from_input_ids(example[0], 1)
        given = m.model(input_ids=ids, attention_mask=mask, position_ids=positions)
        return (given.logits,)

    return Altered(module, compute)


def leak_masked_tokens(module, example):
    def compute(m, ids, mask, types):
        return tuple(value + ids.double().mean(-1).float().reshape(-1, 1, 1) for value in m(ids, mask, types))

    return Altered(module, compute)


def nan_where_early_tokens_are_masked(module, ids, mask, types):
    early = (mask[:, 1] == 0).float().max()
    return tuple(value + torch.where(early > 0, torch.nan, 0.0) for value in module(ids, mask, types))


def batch_statistics(outputs):
    return tuple(value - value.mean(0, keepdim=True) for value in outputs)


def relative_noise(outputs):
    generator = torch.Generator().manual_seed(1)
    return tuple(v * (1 + 1e-3 * torch.randn(v.shape, generator=generator)) for v in outputs)


def at(position, value_of):
    """Replace one input by a function of all inputs and the traced example."""
    return on_inputs(lambda x, example: [*x[:position], value_of(x, example), *x[position + 1 :]])


@dataclass(frozen=True)
class Fault:
    architecture: str
    task: str
    plant: Callable[[nn.Module, tuple[torch.Tensor, ...]], nn.Module]
    said: str


FAULTS = {
    "swapped outputs": Fault(
        "bert", "question-answering", on_outputs(lambda o: (o[1], o[0])), "_logits differs by"
    ),
    "another model's weights": Fault(
        "bert", "fill-mask", on_model(other_weights), "values: logits differs by"
    ),
    "mask baked in at tracing": Fault(
        "bert",
        "fill-mask",
        at(1, lambda x, example: example[1]),
        "inputs_alive: attention_mask has no effect on any output: its traced value was baked in",
    ),
    "tokens baked in at tracing": Fault(
        "esm",
        "fill-mask",
        at(0, lambda x, example: example[0]),
        "inputs_alive: input_ids has no effect on any output: its traced value was baked in",
    ),
    "constant position table": Fault(
        "roberta", "token-classification", fixed_positions, "values: logits differs by"
    ),
    "one layer dropped": Fault("bert", "fill-mask", on_model(drop_last_layer), "values: logits differs by"),
    "one bias dropped": Fault(
        "bert", "token-classification", on_model(drop_bias), "values: logits differs by"
    ),
    "noise of 1e-3 relative": Fault(
        "bert", "fill-mask", on_outputs(relative_noise), "values: logits differs by"
    ),
    "not a number": Fault(
        "bert",
        "fill-mask",
        on_outputs(lambda o: (o[0].masked_fill(o[0] == o[0].max(), float("nan")),)),
        "finite: logits has NaN or infinity on the inputs of seed 1",
    ),
    "infinity": Fault(
        "bert",
        "fill-mask",
        on_outputs(lambda o: (o[0] / 0.0,)),
        "finite: logits has NaN or infinity",
    ),
    "wrong dtype": Fault(
        "bert",
        "fill-mask",
        on_outputs(lambda o: (o[0].double(),)),
        "signature: logits is torch.float64, the plan has torch.float32",
    ),
    "wrong shape": Fault(
        "bert",
        "fill-mask",
        on_outputs(lambda o: (o[0].transpose(1, 2),)),
        "signature: logits has shape (2, 99, 16), the plan has (2, 16, 99)",
    ),
    "missing output": Fault(
        "bert",
        "feature-extraction",
        on_outputs(lambda o: o[:1]),
        "signature: the graph returns 1 outputs, the plan has 2: last_hidden_state, pooler_output",
    ),
    "one output too many": Fault(
        "bert", "fill-mask", on_outputs(lambda o: (*o, o[0])), "signature: the graph returns 2 outputs"
    ),
    "no tuple": Fault(
        "bert",
        "fill-mask",
        on_outputs(lambda o: o[0]),
        "signature: the graph returns Tensor, not a flat tuple of tensors",
    ),
    "dead token_type_ids": Fault(
        "bert",
        "fill-mask",
        at(2, lambda x, example: torch.zeros_like(x[2])),
        "inputs_alive: token_type_ids has no effect on any output: its traced value was baked in",
    ),
    "not a number for another mask": Fault(
        "bert",
        "fill-mask",
        lambda module, example: Altered(module, nan_where_early_tokens_are_masked),
        "inputs_alive: another attention_mask gives NaN or infinity, and not where the eager model does",
    ),
    "rows mixed across the batch": Fault(
        "bert", "fill-mask", on_outputs(batch_statistics), "rows_independent: logits differs by"
    ),
    "masked tokens leak": Fault(
        "bert", "fill-mask", leak_masked_tokens, "masked_tokens_dead: logits differs by"
    ),
    "train mode": Fault(
        "bert", "fill-mask", on_model(lambda module: module.train()), "values: logits differs by"
    ),
    "works for the traced values only": Fault(
        "bert",
        "fill-mask",
        lambda module, example: Altered(
            module, lambda m, *x: (m(*x)[0][torch.zeros(2, dtype=torch.long), (x[0] - example[0])[:, 0]],)
        ),
        "signature: the compiled graph failed to run",
    ),
}


@pytest.fixture
def plant(monkeypatch):
    """Register a backend called `planted` that compiles something other than what it is given."""

    def register(fault):
        def compile(compilation):
            # clones: the tracer takes the example tensors themselves for the graph's inputs
            example = tuple(t.clone() for t in compilation.examples["forward"])
            return torchscript.compile(replace(compilation, module=fault(compilation.module, example)))

        planted = SimpleNamespace(**{**vars(torchscript), "compile": compile})
        monkeypatch.setitem(backends.BACKENDS, "planted", planted)

    return register


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_refused(name, plant, run, tmp_path):
    fault = FAULTS[name]
    plant(fault.plant)
    code, out, err = run("export", fault.architecture, "--task", fault.task, "--backend", "planted", "out")
    assert code == REFUSED
    assert fault.said in err
    assert "nothing was written" in err
    assert list(tmp_path.iterdir()) == []


def test_without_a_fault_the_planted_backend_passes(plant, run, tmp_path):
    plant(lambda module, example: module)
    code, out, err = run("export", "bert", "--task", "fill-mask", "--backend", "planted", "out")
    assert (code, [path.name for path in tmp_path.iterdir()]) == (0, ["out"])


def test_wrapper_that_disagrees_with_its_oracle_is_refused(monkeypatch, run, tmp_path):
    class Doubled(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *tensors):
            return tuple(2 * value for value in self.inner(*tensors))

    class Wrong(ForwardWrapper):
        def module(self, model, plan):
            return Doubled(super().module(model, plan))

    monkeypatch.setitem(wrappers.WRAPPERS, "forward", Wrong())
    code, out, err = run("export", "bert", "--task", "fill-mask", "out")
    assert code == REFUSED
    assert "oracle: logits differs by" in err
    assert list(tmp_path.iterdir()) == []


def test_rows_that_depend_on_their_place_break_dynamic_batches(plant, run):
    def by_row(outputs):
        return (outputs[0] + torch.arange(2.0).reshape(2, 1, 1),)

    plant(on_outputs(by_row))
    code, out, err = run(
        "export", "bert", "--task", "fill-mask", "--backend", "planted", "--dynamic-batch-size", "out"
    )
    assert code == REFUSED
    assert "dynamic_batch: logits differs by" in err


def test_disabled_validation_is_recorded_as_not_run(plant, run, tmp_path):
    plant(on_outputs(relative_noise))
    command = ("export", "bert", "--task", "fill-mask", "--backend", "planted", "--disable-validation", "out")
    code, out, err = run(*command)
    assert code == 0
    assert "Not validated: --disable-validation was given." in out
    code, out, err = run("inspect", "out")
    assert "[–] values: --disable-validation was given" in out
    assert "✓" not in out


def test_stochastic_eager_model_is_refused_by_name(monkeypatch, run, tmp_path):
    class Noisy(ForwardWrapper):
        def oracle(self, model, plan):
            oracle = super().oracle(model, plan)
            return lambda inputs: {name: value + torch.rand(1) for name, value in oracle(inputs).items()}

    monkeypatch.setitem(wrappers.WRAPPERS, "forward", Noisy())
    code, out, err = run("export", "bert", "--task", "fill-mask", "out")
    assert code == 4
    assert "The eager bert model is not deterministic in eval mode: logits changes" in err
    assert list(tmp_path.iterdir()) == []
