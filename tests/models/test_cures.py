"""Cures change how a model is written while it is traced, not what it computes, and are undone after."""

from contextlib import suppress
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import PretrainedConfig

from neuron_catalog import CompileError
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.exporting.backends.protocol import Compilation
from neuron_catalog.models.cures import CURES, cured
from neuron_catalog.schema.words import Cure


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        ctx.save_for_backward(value)
        return 2 * value


class Layer(nn.Module):
    def forward(self, value):
        return (Doubled.apply(value) + 1,)


def test_every_word_of_the_format_has_its_cure():
    assert set(CURES) == set(Cure.__args__)


def test_without_the_cure_a_custom_function_cannot_be_saved(tmp_path):
    graph = torchscript.compile(Compilation(Layer(), {"forward": (torch.ones(2),)}))
    with pytest.raises(CompileError, match="The traced graph cannot be saved"):
        torchscript.save(graph, tmp_path / "graph.pt")


def test_with_the_cure_it_is_saved_and_computes_the_same(tmp_path):
    layer, value = Layer(), torch.tensor([1.0, -2.0])
    with cured(layer, ["plain_autograd"]):
        graph = torchscript.compile(Compilation(layer, {"forward": (torch.ones(2),)}))
        torchscript.save(graph, tmp_path / "graph.pt")
    (given,) = torchscript.load(tmp_path / "graph.pt", ["forward"]).graphs["forward"](value)
    assert torch.equal(given, layer(value)[0])


class Padded(nn.Module):
    """Pads by a size that is a tensor while the model is traced."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(2, 1, 3))

    def forward(self, value):
        return (functional.conv1d(value, self.kernel, padding=self.kernel.shape[-1] - 1, groups=2),)


def test_padding_computed_from_a_shape_reaches_the_convolution_as_an_integer():
    seen, layer, value = [], Padded(), torch.arange(8.0).reshape(1, 2, 4)
    convolve = functional.conv1d

    def watched(*arguments, padding, **named):
        seen.append(type(padding))
        return convolve(*arguments, padding=padding, **named)

    with mock.patch.object(functional, "conv1d", watched):
        torchscript.compile(Compilation(layer, {"forward": (value,)}))
        assert torch.Tensor in seen
        seen.clear()
        with cured(layer, ["integer_padding"]):
            graph = torchscript.compile(Compilation(layer, {"forward": (value,)})).graphs["forward"]
        assert set(seen) == {int}
    assert torch.equal(graph(2 * value)[0], layer(2 * value)[0])


def test_the_cure_is_undone_even_after_a_failure():
    before = Doubled.apply
    with suppress(ZeroDivisionError), cured(Layer(), ["plain_autograd"]):
        assert Doubled.apply is not before
        raise ZeroDivisionError
    assert Doubled.apply == before


class Routed(nn.Module):
    """Sends each number to one of four experts, in a loop over those in use."""

    config = PretrainedConfig(num_experts=4)

    def forward(self, value):
        chosen = functional.one_hot(value.long() % 4, 4).T
        out = torch.zeros_like(value)
        for expert in chosen.sum(-1).greater(0).nonzero():
            (places,) = torch.where(chosen[expert[0]])
            out = out.index_add(0, places, value[places] * (expert[0] + 1))
        return (out,)


def test_experts_that_the_traced_tokens_left_out_are_in_the_graph():
    layer, traced, other = Routed(), torch.tensor([0.0, 1.0, 4.0]), torch.tensor([1.0, 2.0, 3.0])
    fixed = torchscript.compile(Compilation(layer, {"forward": (traced,)})).graphs["forward"]
    with pytest.raises(RuntimeError, match="Expected 2 elements in a list but found 3"):
        fixed(other)
    with cured(layer, ["every_expert"]):
        graph = torchscript.compile(Compilation(layer, {"forward": (traced,)})).graphs["forward"]
    for value in (traced, other, torch.tensor([3.0, 3.0, 3.0])):
        assert torch.equal(graph(value)[0], layer(value)[0])
    assert torch.Tensor.nonzero(torch.tensor([True, False, False, True])).tolist() == [[0], [3]]


class Scaled(nn.Module):
    """Rounds a size, which is a tensor while the model is traced."""

    def forward(self, value):
        return (value[: int(round(value.shape[0] * 0.7, 7))],)


def test_a_size_is_rounded_as_without_a_trace():
    layer, value = Scaled(), torch.arange(10.0)
    with pytest.raises(CompileError, match="__round__"):
        torchscript.compile(Compilation(layer, {"forward": (value,)}))
    with cured(layer, ["rounded_shapes"]):
        graph = torchscript.compile(Compilation(layer, {"forward": (value,)})).graphs["forward"]
    assert torch.equal(graph(value + 1)[0], layer(value + 1)[0])
    assert not hasattr(torch.Tensor, "__round__")
