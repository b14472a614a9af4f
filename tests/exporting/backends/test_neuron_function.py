"""What torch-neuronx is given to trace, called as it calls it: a copy on XLA's device, with lazy tensors."""

import copy

import pytest
import torch
from torch import nn

from neuron_catalog.exporting.backends.lazily import traced_lazily
from neuron_catalog.exporting.backends.neuronx import NeuronFunction

pytest.importorskip("torch_xla", reason="it needs torch-xla: `make xla-env` makes an environment with it")

from neuron_catalog.exporting.backends.lowering import xla_modules


class Asking(nn.Module):
    """Looks into a tensor, and keeps a mask that it writes into."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.tied = self.layer.weight

    def forward(self, value, mask):
        kept = torch.zeros(mask.shape, device=mask.device)
        kept[:, :2] = 1.0
        if mask.sum() > 0:
            value = value @ self.tied
        return (self.layer(value) * kept.unsqueeze(-1), value[mask.bool()])


def test_a_copy_on_the_device_computes_the_same():
    torch.manual_seed(0)
    inputs = (torch.randn(2, 3, 4), torch.tensor([[1, 1, 0], [1, 0, 0]]))
    module = Asking().eval()
    function = NeuronFunction(module, "forward", [inputs])
    with torch.no_grad():
        expected = function(*inputs)
    device = xla_modules().device
    moved = copy.deepcopy(function).to(device)
    with traced_lazily():
        given = moved(*(tensor.to(device) for tensor in inputs))
    for ours, theirs in zip(given, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs)
    assert sorted(function.fixed.values()) == ["aten::_local_scalar_dense", "aten::index"]


def test_sizes_are_told_apart():
    inputs = [(torch.ones(2, size, 4), torch.ones(2, size, dtype=torch.int64)) for size in (3, 5)]
    function = NeuronFunction(Asking().eval(), "forward", inputs)
    device = xla_modules().device
    moved = copy.deepcopy(function).to(device)
    for each in inputs:
        with traced_lazily():
            given = moved(*(tensor.to(device) for tensor in each))
        assert given[1].shape == (each[1].sum(), 4)
