"""States that stay on the device from one call to the next, such as the cache of a decoder.

`torch_neuronx.trace` takes them as parameters of the traced module, each aliased to the output that is its
new value; whoever begins a text copies the first values into the parameters of the compiled module. To its
caller the graph still takes the states and returns them: what it returns stands for what is on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from neuron_catalog.exporting.backends.protocol import StatePlace


class Stateful(nn.Module):
    """A function whose states are parameters, so that a compiler can keep them on the device."""

    def __init__(self, function: nn.Module, tensors: Sequence[Tensor], places: Sequence[StatePlace]) -> None:
        super().__init__()
        self.function = function
        self._inputs = [number for number, _ in places]
        self.states = nn.ParameterList(
            nn.Parameter(tensors[number].clone(), requires_grad=False) for number in self._inputs
        )

    def forward(self, *tensors: Tensor) -> Any:
        given = list(tensors)
        for number, state in zip(self._inputs, self.states, strict=True):
            given.insert(number, state)
        return self.function(*given)


@dataclass
class StatefulGraph:
    """A compiled graph whose states are on the device, called as if they were not."""

    run: Callable[..., tuple[Tensor, ...]]
    """Takes the other inputs; gives the other outputs, or all of them."""
    states: Sequence[Tensor]
    """The parameters of the compiled module, in the order of the places."""
    places: Sequence[StatePlace]
    """Their outputs are the last ones."""
    issued: Any = field(default_factory=WeakTensorKeyDictionary)
    """What graphs of one program gave for states on the device → the graph, as long as it is kept."""
    _current: list[Tensor] = field(default_factory=list)
    """What stands for the states that are on the device now."""

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run one step.

        Raises:
            RuntimeError: if the states given were on the device, and those of another text took their place.
        """
        taken = [number for number, _ in self.places]
        self._put([tensors[number] for number in taken])
        given = self.run(*(tensor for number, tensor in enumerate(tensors) if number not in taken))
        self._current = [state.detach() for state in self.states]
        for each in self._current:
            self.issued[each] = self
        return (*given[: self.places[0][1]], *self._current)

    def _put(self, given: Sequence[Tensor]) -> None:
        for number, (state, tensor) in enumerate(zip(self.states, given, strict=True)):
            owner = self.issued.get(tensor)
            if owner is not None and not any(tensor is each for each in owner._current):
                raise RuntimeError(
                    "the states of this text were on the device, and those of another text took their place: "
                    "write one text at a time, or load the artifact once for each"
                )
            if owner is not self or tensor is not self._current[number]:
                with torch.no_grad():
                    state.copy_(tensor)
