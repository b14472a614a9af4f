"""Seeded example inputs for tracing and validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor

from neuron_catalog.manifest import InputTensor, Plan

Inputs = dict[str, Tensor]

LARGEST_COORDINATE = 1000
"""Of a box; pages are measured in thousandths."""

Pattern = Literal["full", "one_token", "right_padded", "mixed_lengths"]
"""How a text is laid out. No padding; no padding and one token over and over, which finds graphs whose way
was chosen by the traced tokens (experts in use); all rows cut at one length; a length of its own for each."""


def make_inputs(plan: Plan, seed: int, pattern: Pattern = "mixed_lengths") -> Inputs:
    """Return one tensor for each input of the plan, in its order.

    Ids under a zero of the mask are the pad value, as a tokenizer writes them; all others differ from it.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = {mask.name: MASKS[mask.fill](mask, generator, pattern).bool() for mask in plan.masks}
    for tensor in plan.inputs:
        if tensor.placeholders and (mask := _mask_of(tensor, plan)):
            places = _held(tensor, plan)
            kept[mask.name][..., places.start - 1 : places.stop + 1] = True  # an image is never padding
    inputs: Inputs = {}
    for tensor in plan.inputs:
        if tensor.name in kept:
            inputs[tensor.name] = kept[tensor.name].to(getattr(torch, tensor.dtype))
            continue
        value = FILLS[tensor.fill](tensor, generator)
        if pattern == "one_token" and tensor.fill == "random_ids":
            value = value.flatten()[0].expand_as(value).clone()
        if mask := _mask_of(tensor, plan):
            value = _padded(tensor, value, kept[mask.name], mask.axes)
        if tensor.placeholders:
            places = _held(tensor, plan)
            value = torch.zeros_like(value) if tensor.fill == "span" else value
            standing = 1 if tensor.placeholder is None else tensor.placeholder
            value[..., places.start : places.start + tensor.placeholders] = standing
            for place, each in enumerate(tensor.marks, start=places.start + tensor.placeholders):
                value[..., place] = each
        inputs[tensor.name] = value
    return inputs


def _held(tensor: InputTensor, plan: Plan) -> slice:
    """Return the places of a text that stand for an image or a sound.

    They follow the first token, or, if padding is on the left, come before the last.
    """
    count = tensor.placeholders + len(tensor.marks)
    left = any(mask.fill == "left_padded_mask" for mask in plan.masks)
    start = tensor.shape[-1] - 1 - count if left else 1
    return slice(start, start + count)


def _mask_of(tensor: InputTensor, plan: Plan) -> InputTensor | None:
    return next((mask for mask in plan.masks if tensor.name in mask.masks), None)


def _padded(tensor: InputTensor, value: Tensor, kept: Tensor, axes: tuple[str, ...]) -> Tensor:
    if tensor.pad is not None:
        value = torch.where(over(kept, axes, value, tensor), value, torch.full_like(value, tensor.pad))
    if tensor.ends_with is not None:
        last = kept.sum(-1, keepdim=True) - 1
        value = value.scatter(-1, last, torch.full_like(last, tensor.ends_with))
    return value


def random_ids(tensor: InputTensor, generator: Generator) -> Tensor:
    """Draw ids from 0 to `below`, leaving out the pad value and ids that mean something to the model.

    It takes the pad value for the end of a text, so that it must not stand within one. With two ids (token
    types) there is no choice: the pad value is an ordinary id as well.
    """
    assert tensor.below is not None
    dtype = getattr(torch, tensor.dtype)
    special = {
        each for each in (tensor.pad, *_meant(tensor)) if each is not None and 0 <= each < tensor.below
    }
    left_out = sorted(special) if tensor.below >= 3 else []
    drawn = torch.randint(0, tensor.below - len(left_out), tensor.shape, generator=generator, dtype=dtype)
    for each in left_out:
        drawn = drawn + (drawn >= each).to(dtype)
    return drawn


def padded_mask(tensor: InputTensor, generator: Generator, pattern: Pattern = "mixed_lengths") -> Tensor:
    """Return ones and zeros over the last dimension; the first entry of each row is always one."""
    *rows, length = tensor.shape
    if pattern in ("full", "one_token"):
        kept = torch.ones(tensor.shape)
    else:
        shortest, longest = max(1, length // 4), max(1, length - 1)
        lengths = torch.randint(shortest, longest + 1, (*rows, 1), generator=generator)
        if pattern == "right_padded":
            lengths = torch.full_like(lengths, int(lengths.flatten()[0]))
        kept = torch.arange(length) < lengths
    kept[..., 0] = 1
    return kept.to(getattr(torch, tensor.dtype))


def left_padded_mask(tensor: InputTensor, generator: Generator, pattern: Pattern = "mixed_lengths") -> Tensor:
    """Return zeros and ones over the last dimension; the last entry of each row is always one."""
    return padded_mask(tensor, generator, pattern).flip(-1)


def random_normal(tensor: InputTensor, generator: Generator) -> Tensor:
    """Draw standard normal noise: what processors make of pixels and waveforms is near it in scale."""
    return torch.randn(tensor.shape, generator=generator, dtype=getattr(torch, tensor.dtype))


def random_fractions(tensor: InputTensor, generator: Generator) -> Tensor:
    """Draw numbers from 0 to 1: times of a whole, colours, shares."""
    return torch.rand(tensor.shape, generator=generator, dtype=getattr(torch, tensor.dtype))


def ones(tensor: InputTensor, generator: Generator) -> Tensor:
    """Return ones: nothing is padding where another input says how much of it there is."""
    del generator
    return torch.ones(tensor.shape, dtype=getattr(torch, tensor.dtype))


def random_halves(tensor: InputTensor, generator: Generator) -> Tensor:
    """Set half of each row to true, at random places; each row has the same number of them."""
    order = torch.rand(tensor.shape, generator=generator).argsort(-1)
    return (order < tensor.shape[-1] // 2).to(getattr(torch, tensor.dtype))


def boxes(tensor: InputTensor, generator: Generator) -> Tensor:
    """Draw boxes (left, top, right, bottom) with left < right and top < bottom, from 0 to 1000."""
    near = torch.randint(0, 500, (*tensor.shape[:-1], 2), generator=generator)
    size = torch.randint(1, 500, near.shape, generator=generator)
    return torch.cat([near, near + size], dim=-1).to(getattr(torch, tensor.dtype))


def span(tensor: InputTensor, generator: Generator) -> Tensor:
    """Set the entries after the first that stand for an image to one, the others to zero."""
    del generator
    value = torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype))
    value[..., 1 : tensor.placeholders + 1] = 1
    return value


def grid(tensor: InputTensor, generator: Generator) -> Tensor:
    """Return column and row of each patch of a square image, row by row."""
    del generator
    *rows, patches, _ = tensor.shape
    number = torch.arange(patches)
    side = int(patches**0.5)
    places = torch.stack([number % side, number // side], dim=-1)
    return places.expand(*rows, patches, 2).to(getattr(torch, tensor.dtype)).clone()


def over(mask: Tensor, axes: tuple[str, ...], value: Tensor, tensor: InputTensor) -> Tensor:
    """Give a mask the other dimensions of what it masks: the corners of a box, the bands of a frame."""
    shape = [size if axis in axes else 1 for axis, size in zip(tensor.axes, value.shape, strict=True)]
    return mask.reshape(shape).expand_as(value)


def changed(tensor: InputTensor, value: Tensor) -> Tensor:
    """Return a value that differs everywhere it can: the next id, the opposite mask or sign, a mirrored box,
    what a share leaves of the whole.

    A span moves too, and a grid is turned.
    The opposite mask keeps the first entry, since a row of zeros means nothing. It also masks early tokens,
    which a decoder notices where it would not notice longer padding.
    """
    if tensor.below is not None:
        return _next_ids(tensor, value, tensor.below)
    if tensor.fill == "ones":
        return value
    if tensor.fill == "padded_mask":
        opposite = 1 - value
        opposite[..., 0] = 1
        return opposite
    if tensor.fill == "left_padded_mask":
        opposite = 1 - value
        opposite[..., -1] = 1
        return opposite
    if tensor.fill == "boxes":  # not moved alike: a model may see where boxes are from each other only
        return LARGEST_COORDINATE - value[..., [2, 3, 0, 1]]
    if tensor.fill == "random_halves" and tensor.dtype != "bool":
        return 1 - value
    if tensor.fill == "random_fractions":
        return 1 - value
    if tensor.fill == "grid":
        return value.flip(-1)
    if tensor.fill == "span":
        return value.roll(1, -1)
    return ~value if tensor.dtype == "bool" else -value


def _meant(tensor: InputTensor) -> set[int]:
    """Return the ids that mean something to the model: the end of a text, a part of an image."""
    return {each for each in (tensor.ends_with, tensor.placeholder, *tensor.marks) if each is not None}


def _next_ids(tensor: InputTensor, value: Tensor, below: int) -> Tensor:
    """Return the next id of each; those that mean something stay where they are, and none is added."""
    meant = _meant(tensor)
    following = (value + 1) % below
    for _ in meant:
        for each in meant:
            following = torch.where(following == each, (following + 1) % below, following)
    for each in meant:
        following = torch.where(value == each, value, following)
    return following


MASKS: dict[str, Callable[[InputTensor, Generator, Pattern], Tensor]] = {
    "padded_mask": padded_mask,
    "left_padded_mask": left_padded_mask,
}
"""Word → function that lays out padding. A text that is to be continued has it on the left."""

FILLS: dict[str, Callable[[InputTensor, Generator], Tensor]] = {
    "random_ids": random_ids,
    "padded_mask": padded_mask,
    "random_normal": random_normal,
    "random_fractions": random_fractions,
    "ones": ones,
    "random_halves": random_halves,
    "boxes": boxes,
    "span": span,
    "grid": grid,
}
"""Word in the YAML → function."""
