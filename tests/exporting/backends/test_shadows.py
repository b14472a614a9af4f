"""What a model reads while it is traced is fixed and noted; what it writes comes out right."""

import linecache
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import nn

from neuron_catalog.errors import CompileError
from neuron_catalog.exporting.backends import xla
from neuron_catalog.exporting.backends.protocol import Compilation

pytest.importorskip("torch_xla", reason="torch-xla is not installed; `make xla-env` makes an environment")

HERE = Path(__file__)
EXAMPLE = torch.tensor([[3.0, -1.0, 2.0], [-2.0, 0.5, 4.0]])


class Calling(nn.Module):
    """A model that is one function of a weight and its inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.tensor([0.5, -2.0, 3.0]))
        self.register_buffer("counts", torch.tensor([1, 0, 2]))

    def forward(self, *tensors):
        given = self.function(self, *tensors)
        return given if isinstance(given, tuple) else (given,)


def compiled(function, *example):
    module = Calling(function)
    program = xla.compile(Compilation(module, {"forward": example or (EXAMPLE.clone(),)}))
    return module, program


def close(given, expected):
    for ours, theirs in zip(given, expected, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        torch.testing.assert_close(ours, theirs)


def same(function, *example):
    """Compile a function, hold the graph to it on the example, and return what was seen."""
    example = example or (EXAMPLE,)
    module, program = compiled(function, *(each.clone() for each in example))
    with torch.no_grad():
        expected = module(*(each.clone() for each in example))
    close(program.graphs["forward"](*(each.clone() for each in example)), expected)
    return program


def fixed(function, *example):
    """Return what was fixed: the text of the line → the operator."""
    notes = same(function, *example).observed["forward"].get("fixed", {})
    found = {}
    for place, operator in notes.items():
        file, _, line = place.rpartition(":")
        assert HERE.match(file)
        found[linecache.getline(str(HERE), int(line)).strip()] = operator
    return found


def read_a_number(model, value):
    count = value.argmax().item()
    return value * count


def branch(model, value):
    if (value > 3).any():
        return value + model.weight
    return value


def index_by_a_mask(model, value):
    return value[value > 0] * 2


def index_by_a_mask_among_others(model, value):
    return value[:, model.weight > 0] + 1


def find(model, value):
    return (value > 0).nonzero()


def select(model, value):
    return torch.masked_select(value, value > 0) * 2


def repeat(model, value):
    return value.repeat_interleave(model.counts, dim=1)


def unique(model, value):
    return (value > 0).to(torch.int64).unique() + model.counts[:1]


def list_of_numbers(model, value):
    rows = model.counts.tolist()
    return value * sum(rows)


def move_to_the_cpu(model, value):
    count = value.argmax().cpu()
    return value * count


@pytest.mark.parametrize(
    ("function", "line", "operator"),
    [
        (read_a_number, "count = value.argmax().item()", "aten::_local_scalar_dense"),
        (branch, "if (value > 3).any():", "aten::_local_scalar_dense"),
        (index_by_a_mask, "return value[value > 0] * 2", "aten::index"),
        (index_by_a_mask_among_others, "return value[:, model.weight > 0] + 1", "aten::index"),
        (find, "return (value > 0).nonzero()", "aten::nonzero"),
        (select, "return torch.masked_select(value, value > 0) * 2", "aten::masked_select"),
        (repeat, "return value.repeat_interleave(model.counts, dim=1)", "aten::repeat_interleave"),
        (list_of_numbers, "rows = model.counts.tolist()", "aten::_to_copy"),
        (move_to_the_cpu, "count = value.argmax().cpu()", "aten::_to_copy"),
    ],
)
def test_what_a_model_reads_is_fixed_and_noted_with_its_line(function, line, operator):
    assert fixed(function) == {line: operator}


def test_unique_values_are_fixed():
    assert set(fixed(unique).values()) == {"aten::_unique2"}


def test_what_was_read_is_fixed_for_other_inputs_and_what_is_counted_is_computed():
    """Other inputs of as many positive values are selected rightly; another branch is not taken."""
    module, program = compiled(index_by_a_mask)
    other = EXAMPLE.flip(1) * 3
    close(program.graphs["forward"](other), module(other))
    module, program = compiled(branch)
    low = torch.zeros(2, 3)
    with torch.no_grad():
        close(program.graphs["forward"](low), (low + module.weight,))


def range_from(model, value, starts):
    start = starts[0]
    return torch.arange(start, start + 2, dtype=torch.int32, device=value.device), value + 1


def range_up_to(model, value, starts):
    start = starts[0]
    return torch.arange(5 - start, 7 - start, device=value.device), value + 1


def slice_from(model, value, starts):
    start = starts[0]
    return value[:, start : start + 2] * 2


def list_of_lazy_numbers(model, value, starts):
    start = starts[0]
    return torch.tensor([7, start, start * 2], device=value.device, dtype=torch.int32), value + 1


def part_of_a_name(model, value, starts):
    start = starts[0]
    return value * {"part_1": 2, "part_0": 3}[f"part_{start - start + 1}"] + start


@pytest.mark.parametrize(
    "function", [range_from, range_up_to, slice_from, list_of_lazy_numbers, part_of_a_name]
)
def test_what_begins_at_a_lazy_number_is_computed_for_each(function):
    """Only how many entries there are is fixed."""
    module, program = compiled(function, EXAMPLE.clone(), torch.tensor([1]))
    for start in (0, 1):
        inputs = (EXAMPLE.clone(), torch.tensor([start]))
        close(program.graphs["forward"](*inputs), module(*inputs))


def test_products_by_their_indices_are_computed_further():
    def product(model, value):
        return torch.einsum("ab,cb->ac", value, value) * value.sum()

    assert "fixed" not in same(product).observed["forward"]


def test_slices_that_reach_beyond_are_fixed():
    def last(model, value, starts):
        return value[:, starts[0] : starts[0] + 9]

    notes = fixed(last, EXAMPLE.clone(), torch.tensor([1]))
    assert set(notes.values()) == {"aten::_local_scalar_dense"}


def test_nothing_is_noted_of_a_model_that_reads_nothing():
    assert "fixed" not in same(lambda model, value: value @ model.weight).observed["forward"]


def test_constants_are_computed_on_the_cpu_until_a_lazy_tensor_meets_them():
    """XLA has no bincount; and 40 operators on constants are one value of the graph."""

    def positions(model, value):
        table = torch.arange(3.0) + torch.bincount(torch.tensor([0, 2, 2]))
        for _ in range(40):
            table = table.cos()
        assert table.device.type == "cpu"
        return table + value, table

    program = same(positions)
    assert "cosine" not in program.observed["forward"]["operators"]
    assert [each for each in program.lowered["forward"].arguments if each.startswith("constant:")]


def test_a_lazy_value_in_a_constant_is_refused():
    def write(model, value):
        table = torch.zeros(2, 3)
        table[:, 0] = value[:, 0]
        return table * value

    with pytest.raises(CompileError, match=r"A value is needed .*test_shadows\.py:\d"):
        compiled(write)


def test_a_sum_under_a_mask_is_refused_and_not_taken_for_a_write():
    def add(model, value):
        return value.index_put((value > 0,), model.weight[1], accumulate=True)

    with pytest.raises(CompileError, match=r"XLA has no operator aten::index_put at .*test_shadows\.py:\d"):
        compiled(add)


def add_in_place(model, value):
    value.add_(1).mul_(model.weight)
    return value


def write_a_column(model, value):
    value[:, 1] = model.weight[:2]
    return value.sum(0), value


def write_through_a_view(model, value):
    row = value.view(-1)[:3]
    row.fill_(7)
    return value * 2, row


def write_under_a_mask(model, value):
    value[value > 0] = -1.0
    return value


def write_rows_under_a_mask(model, value):
    value[value[:, 0] > 0] = model.weight
    return value


def write_one_after_the_other_under_a_mask(model, value):
    value[value > 0] = torch.arange(4.0) * model.weight[0]
    return value


def write_under_a_mask_into_another(model, value):
    return value.index_put((value > 0,), model.weight[1]), value


def write_at_places(model, value):
    value.index_copy_(1, model.counts[1:], model.weight[:2].expand(2, 2))
    value.masked_fill_(value > 3, 0.0)
    return value


def write_and_read_before(model, value):
    before = value + 0
    value.zero_()
    return before * 2, value


def write_into_what_is_made_on_the_device(model, value):
    table = torch.zeros(2, 4, device=value.device)
    table[:, :2] = model.weight[:2]
    table[:, 2:].add_(7)
    table.view(-1)[0] = value[1, 1]
    return table, table.sum() * value


def write_into_what_is_moved_to_the_device(model, value):
    table = torch.arange(6.0).reshape(2, 3).to(value.device)
    table[:, 1:] *= value[:, 1:]
    return table, table[:, 1]


def write_into_a_copy_of_a_part(model, value):
    part = value[:, :2].clone()
    part[:, 1:] = 0
    return value + part.sum(), part


@pytest.mark.parametrize(
    "function",
    [
        write_into_what_is_made_on_the_device,
        write_into_what_is_moved_to_the_device,
        write_into_a_copy_of_a_part,
        add_in_place,
        write_a_column,
        write_through_a_view,
        write_under_a_mask,
        write_rows_under_a_mask,
        write_one_after_the_other_under_a_mask,
        write_under_a_mask_into_another,
        write_at_places,
        write_and_read_before,
    ],
)
def test_writes_come_out_right(function):
    program = same(function)
    other = EXAMPLE.flip(0) * torch.tensor([1.0, 1.5, 0.5])
    with torch.no_grad():
        expected = Calling(function)(other.clone())
    close(program.graphs["forward"](other.clone()), expected)


def test_a_write_into_an_input_leaves_the_callers_tensor_as_it_was():
    _, program = compiled(add_in_place)
    given = EXAMPLE.clone()
    program.graphs["forward"](given)
    assert torch.equal(given, EXAMPLE)


def test_a_tensor_that_is_kept_from_one_trace_to_the_next_has_its_shadow():
    @lru_cache
    def table(device):
        return torch.arange(3.0, device=device) + 1

    def keeping(model, value):
        kept = table(value.device)
        if kept.sum() > 5:
            value = value * 2
        return value + kept

    for _ in range(2):
        module, program = compiled(keeping)
        with torch.no_grad():
            (given,) = program.graphs["forward"](EXAMPLE)
        close([given], [EXAMPLE * 2 + torch.tensor([1.0, 2.0, 3.0])])


def test_a_size_is_no_value():
    def sizes(model, value):
        return value.reshape(value.shape[1], -1).expand(3, 2)

    assert fixed(sizes) == {}
