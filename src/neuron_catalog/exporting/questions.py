"""What the checks ask the eager model for: fresh inputs, none of which was traced.

They follow from plan and seed alone. So they can be asked before there is a graph to compare.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch

from neuron_catalog.exporting.subject import PATTERNS, Subject
from neuron_catalog.manifest import InputTensor, Plan
from neuron_catalog.models.fills import Inputs, changed, make_inputs
from neuron_catalog.models.fitting import resized


def questions(subject: Subject) -> Iterator[Inputs]:
    """Yield all inputs for which a check may ask the eager model; what only explains a failure comes last."""
    yield from subject.fresh_inputs.values()
    if rowed := with_rows(subject.plan):
        yield first_row(subject.mixed_inputs, rowed)
    if subject.plan.dynamic_axes:
        yield larger_batch(subject)[1]
    yield from (inputs for _, inputs in altered(subject.plan, subject.mixed_inputs))


def with_rows(plan: Plan) -> list[str]:
    """Return the inputs that have a row for each row of the outputs; none if rows cannot be told apart.

    An input that begins with a dimension which rows have within them, such as the places of all tokens, is
    shared by all rows.
    """
    axis = plan.outputs[0].axes[:1]
    rowed = [tensor for tensor in plan.inputs if tensor.axes[:1] == axis]
    within = {each for tensor in rowed for each in tensor.axes[1:]}
    shared = all(tensor in rowed or (tensor.axes[:1] and tensor.axes[0] in within) for tensor in plan.inputs)
    alike = all(tensor.axes[:1] == axis for tensor in plan.outputs)
    return [tensor.name for tensor in rowed] if shared and alike else []


def first_row(inputs: Inputs, rowed: Collection[str]) -> Inputs:
    """Return the first row alone, beside what all rows share."""
    return {name: value[:1] if name in rowed else value for name, value in inputs.items()}


def altered(plan: Plan, inputs: Inputs) -> Iterator[tuple[InputTensor, Inputs]]:
    """Yield each input that can be another with the inputs in which it is."""
    for tensor in plan.inputs:
        new = changed(tensor, inputs[tensor.name])
        if not torch.equal(new, inputs[tensor.name]):
            yield tensor, {**inputs, tensor.name: new}


def larger_batch(subject: Subject) -> tuple[int, Inputs]:
    """Return inputs for more rows than the graph has, and their seed: that after `Subject.other_inputs`."""
    axis = subject.plan.dynamic_axes[0]
    seed = subject.seed + 2 + len(PATTERNS)
    larger = resized(subject.plan, {axis: larger_size(subject.plan.axes[axis])})
    return seed, make_inputs(larger, seed)


def larger_size(batch: int) -> int:
    """Return a number of rows that is no number of whole batches, unless a batch is one row."""
    return 2 * batch + 1
