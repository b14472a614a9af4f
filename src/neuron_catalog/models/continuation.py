"""Texts that are continued token by token: what calls the functions of a graph with a cache, in order.

Validation and runtime use the same code, so that what was proved is what runs. States are the tensors that a
decoder keeps between two tokens; they have one shape for a whole text, and what is not yet written is masked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import Filling, Plan
from neuron_catalog.models.fitting import filled_up
from neuron_catalog.parts import Part

Function = Callable[..., tuple[Tensor, ...]]
"""Positional tensors of fixed shapes in, a flat tuple of tensors out."""

Layout = Literal["written", "shifted"]
"""Where a new token goes in the cache: behind those before it, or to the right end, so that they move."""

States = list[Tensor]
MakeStates = Callable[[Part], States]


def zeros(part: Part) -> States:
    """Return fresh states. They are zeros: behind a mask infinity and NaN would spread."""
    return [torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype)) for tensor in part.states]


def dirty(part: Part) -> States:
    """Return states that hold something already, as after another text. The same each time."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(tensor.shape, generator=generator, dtype=getattr(torch, tensor.dtype))
        for tensor in part.states
    ]


class Continuation(ABC):
    """What is common to all: the mask over the cache, the states, and one token more."""

    def __init__(self, decode: Mapping[int, Function], beams: int, layout: Layout) -> None:
        self.decode = decode
        """How many places of the cache a function sees → the function; the most are all there are."""
        self.capacity = max(decode)
        self.beams = beams
        self.layout = layout
        self.states: States = []
        self.fixed: list[Tensor] = []
        """What `decode` takes behind token and mask, and gives back unchanged."""
        self.mask = torch.empty(0)
        """Of shape [rows, capacity]: the tokens in the cache that count."""
        self.length = 0
        """How many tokens were taken, padding included."""

    @abstractmethod
    def begin(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Read what comes before the first token that is written."""

    def step(self, ids: Tensor, reach: int | None = None) -> Tensor:
        """Take one token for each row, of shape [rows, 1], and return the scores of the next ones.

        They are of shape [rows, 1, vocabulary]. Without a `reach` the function runs that sees the fewest
        places of the cache, as long as all tokens are among them: attention costs as much as it sees.

        Raises:
            RequestError: if the cache is full.
        """
        if self.length >= self.capacity:
            raise RequestError(
                f"The cache holds {self.capacity} tokens, and all are taken.",
                "Ask for fewer new tokens, or export with a larger --sequence_length.",
            )
        if self.layout == "written":
            self.mask[:, self.length] = 1
        else:
            self.mask = torch.cat([self.mask[:, 1:], torch.ones_like(self.mask[:, :1])], dim=1)
        self.length += 1
        seen = reach or min(self.reaches)
        scores, *self.states = self.decode[seen](ids, self.mask[:, :seen], *self.fixed, *self.states)
        return scores

    @property
    def reaches(self) -> list[int]:
        """The numbers of places that include all tokens taken so far."""
        return [reach for reach in sorted(self.decode) if reach >= self.length]

    def reorder(self, order: Tensor) -> None:
        """Let each row go on from the text of another, as beam search does; `order` is of shape [rows]."""
        self.states = [state.index_select(0, order) for state in self.states]
        self.fixed = [tensor.index_select(0, order) for tensor in self.fixed]
        self.mask = self.mask.index_select(0, order)

    def _begin(self, mask: Tensor) -> None:
        """Take over a mask of what was read, of shape [batch, length], and repeat it for beams."""
        self.length = mask.shape[1]
        free = mask.new_zeros(len(mask), self.capacity - self.length)
        whole = [mask, free] if self.layout == "written" else [free, mask]
        self.mask = self._for_beams(torch.cat(whole, dim=1))

    def _for_beams(self, value: Tensor) -> Tensor:
        return value if self.beams == 1 else value.repeat_interleave(self.beams, 0)


class CausalText(Continuation):
    """A prompt that a decoder continues."""

    def __init__(
        self, plan: Plan, layout: Layout, prefill: Function, decode: Mapping[int, Function], states: States
    ) -> None:
        super().__init__(decode, plan.axes["num_beams"], layout)
        self._plan = plan
        self._prefill = prefill
        self.states = states

    def begin(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Read prompts with padding on their left; return the scores of the next token.

        Prompts shorter than the plan's are filled up on the side that costs no place in the cache.

        Raises:
            RequestError: if all is padding.
        """
        shown = inputs["attention_mask"].any(0).nonzero()
        if not len(shown):
            raise RequestError(
                "attention_mask is 0 everywhere: there is nothing to go on from.", "Give tokens."
            )
        read = int(shown.max()) + 1
        cut = {
            tensor.name: _without_end(tensor.axes, inputs[tensor.name], read) for tensor in self._plan.inputs
        }
        side: Filling = "right" if self.layout == "written" else "left"
        full = [
            filled_up(tensor, cut[tensor.name], {"batch_size": "rows", "prompt_length": side})
            for tensor in self._plan.inputs
        ]
        scores, *states = self._prefill(*full, *self.states)
        mask = next(t for t, p in zip(full, self._plan.inputs, strict=True) if p.name == "attention_mask")
        self._begin(mask[:, :read] if side == "right" else mask[:, mask.shape[1] - read :])
        self.states = [self._for_beams(state) for state in states]
        return scores


def _without_end(axes: tuple[str, ...], value: Tensor, length: int) -> Tensor:
    """Cut what is padding in every row."""
    place = axes.index("prompt_length") if "prompt_length" in axes else None
    return value if place is None else value.narrow(place, 0, length)


class AnsweredText(Continuation):
    """An input that an encoder reads, and its answer, which a decoder writes."""

    def __init__(self, plan: Plan, encode: Function, decode: Function, states: States) -> None:
        super().__init__({plan.axes["decoder_sequence_length"]: decode}, plan.axes["num_beams"], "written")
        self._plan = plan
        self._encode = encode
        self.states = states

    def begin(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Read the input, filled up to a full batch; return what the encoder makes of it."""
        full = {
            tensor.name: filled_up(tensor, inputs[tensor.name], {"batch_size": "rows"})
            for tensor in self._plan.inputs
            if not tensor.name.startswith("decoder_")
        }
        hidden, *cross = self._encode(*full.values())
        masks = [full[name] for name in ("attention_mask",) if name in full]
        self.fixed = [self._for_beams(each) for each in (*masks, *cross)]
        self._begin(torch.zeros(len(hidden), 0, dtype=torch.int64))
        return hidden
