"""What is told of a graph in HLO, on modules in XLA's JSON that are written by hand."""

import copy
import json

import pytest

from neuron_catalog.exporting.backends.hlo import HloModule

HUB = "/opt/env/lib/python3.11/site-packages/transformers/models/bert/modeling_bert.py"
TORCH = "/opt/env/lib/python3.11/site-packages/torch/nn/modules/linear.py"

FRAMES = {
    "fileNames": [HUB, TORCH],
    "functionNames": ["forward"],
    "fileLocations": [
        {"fileNameId": 1, "functionNameId": 1, "line": 30},
        {"fileNameId": 1, "functionNameId": 1, "line": 40},
        {"fileNameId": 2, "functionNameId": 1, "line": 134},
    ],
    "stackFrames": [
        {"fileLocationId": 1},
        {"fileLocationId": 2, "parentFrameId": 1},
        {"fileLocationId": 3, "parentFrameId": 2},
        {"fileLocationId": 3},
    ],
}
"""Line 30 of a model calls line 40, which calls torch; and torch alone."""


def shape(element_type, *sizes, dynamic=False):
    if not sizes:
        return {"elementType": element_type}
    flags = [dynamic] * len(sizes)
    return {"elementType": element_type, "dimensions": [str(n) for n in sizes], "isDynamicDimension": flags}


def tuple_of(*shapes):
    return {"elementType": "TUPLE", "tupleShapes": [*shapes]}


def instruction(number, opcode, shape, *operands, **more):
    """An instruction as XLA writes it: keys in camel case, and numbers of 64 bits as texts."""
    given = {"operandIds": [str(n) for n in operands]} if operands else {}
    name = f"{opcode}.{number}"
    return {"name": name, "opcode": opcode, "shape": shape, "metadata": {}, "id": str(number)} | given | more


def module(*instructions, calls=()):
    """A module of one computation, after those that it calls."""
    entry = {"name": "graph.99", "instructions": [*instructions], "id": "99"}
    entry |= {"rootId": instructions[-1]["id"], "programShape": {"parameterNames": ["p0"]}}
    content = {"name": "graph.99", "entryComputationName": "graph.99", "computations": [*calls, entry]}
    content |= {"id": "99", "entryComputationId": "99", "stackFrameIndex": FRAMES}
    return HloModule.parse(json.dumps(content))


def adder(first=1):
    """The computation that a sum calls for each two values."""
    scalar = shape("F32")
    instructions = [
        instruction(first, "parameter", scalar),
        instruction(first + 1, "parameter", scalar, parameterNumber="1"),
        instruction(first + 2, "add", scalar, first, first + 1),
    ]
    return {"name": "add.50", "instructions": instructions, "id": "50", "rootId": str(first + 2)}


def summed():
    """Twice the sum over the rows of a parameter."""
    return module(
        instruction(10, "parameter", shape("F32", 4, 3)),
        instruction(11, "constant", shape("F32"), literal={"shape": shape("F32"), "f32s": [0]}),
        instruction(12, "reduce", shape("F32", 3), 10, 11, calledComputationIds=["50"], dimensions=["0"]),
        instruction(13, "add", shape("F32", 3), 12, 12, metadata={"stackFrameId": 3, "opName": "aten__add"}),
        calls=[adder()],
    )


def changed(graph, change):
    """The graph after a change to a copy of its JSON."""
    content = copy.deepcopy(dict(graph.content))
    change(content)
    return HloModule(content)


def test_operators_are_counted_in_all_computations():
    assert summed().operators == {"add": 2, "reduce": 1}


def test_custom_calls_are_counted_by_target():
    flat = shape("F32", 2)
    graph = module(
        instruction(1, "parameter", flat),
        instruction(2, "custom-call", flat, 1, customCallTarget="AwsNeuronErf"),
        instruction(3, "custom-call", flat, 2, customCallTarget="AwsNeuronErf"),
        instruction(4, "custom-call", flat, 3, customCallTarget="Mine"),
    )
    assert graph.operators == {"AwsNeuronErf": 2, "Mine": 1}


def test_memory_of_a_chain():
    """48 of the parameter, 4 of the constant, and 12 of the sum with 12 of what is made of it."""
    assert summed().peak_bytes == 48 + 4 + 12 + 12


def test_memory_is_free_after_the_last_use():
    """400 are always there. 800 are needed for the first two steps, which are never there with the last."""
    graph = module(
        instruction(1, "parameter", shape("F32", 100)),
        instruction(2, "negate", shape("F64", 100), 1),
        instruction(3, "slice", shape("F64", 10), 2),
        instruction(4, "broadcast", shape("F32", 150), 3),
    )
    assert graph.peak_bytes == 400 + 800 + 80
    longer = changed(graph, lambda c: c["computations"][0]["instructions"][3].update(operandIds=["3", "2"]))
    assert longer.peak_bytes == 400 + 800 + 80 + 600


def test_memory_behind_tuples_is_kept_as_long_as_they_are_used():
    """Both results of the sort, 40 and 40, are there when 400 come, since one of them is taken out."""
    both = tuple_of(shape("F32", 10), shape("S32", 10))
    graph = module(
        instruction(1, "parameter", shape("F32", 10)),
        instruction(2, "iota", shape("S32", 10)),
        instruction(3, "sort", both, 1, 2),
        instruction(4, "get-tuple-element", shape("F32", 10), 3),
        instruction(5, "broadcast", shape("F32", 100), 4),
        instruction(6, "tuple", tuple_of(shape("F32", 100)), 5),
    )
    assert graph.peak_bytes == 40 + 80 + 400


def test_results_stay_to_the_end():
    """A result of 40 that is made first is there beside the second one and what that is made of."""
    flat = shape("F32", 10)
    graph = module(
        instruction(1, "parameter", flat),
        instruction(2, "negate", flat, 1),
        instruction(3, "exponential", flat, 1),
        instruction(4, "sine", flat, 3),
        instruction(5, "tuple", tuple_of(flat, flat), 2, 4),
    )
    assert graph.peak_bytes == 4 * 40


@pytest.mark.parametrize(
    ("element_type", "size"),
    [
        *(("PRED", 3), ("S8", 3), ("U64", 24), ("F16", 6), ("BF16", 6), ("F64", 24), ("C64", 24)),
        *(("C128", 48), ("F8E4M3FN", 3), ("F8E5M2", 3), ("F8E8M0FNU", 3)),
        *(("S4", 2), ("U4", 2), ("F4E2M1FN", 2), ("S2", 1), ("TOKEN", 0)),
    ],
)
def test_sizes_of_element_types(element_type, size):
    """Three of each; those below a byte are packed, and the last byte is a whole one."""
    assert module(instruction(1, "parameter", shape(element_type, 3))).peak_bytes == size


def test_an_empty_value_takes_no_memory():
    assert module(instruction(1, "parameter", shape("F32", 4, 0))).peak_bytes == 0


def renumber(content):
    """Add 1000 to all numbers, as a later lowering in one process has them."""
    for computation in content["computations"]:
        for each in (computation, *computation["instructions"]):
            each["id"] = str(1000 + int(each["id"]))
            for key in ("operandIds", "calledComputationIds"):
                if key in each:
                    each[key] = [str(1000 + int(n)) for n in each[key]]
        computation["rootId"] = str(1000 + int(computation["rootId"]))
    content["id"] = content["entryComputationId"] = "1099"


def rename(content):
    content["name"] = content["entryComputationName"] = "other"
    for computation in content["computations"]:
        computation["name"] = "other"
        if "programShape" in computation:
            computation["programShape"]["parameterNames"] = ["other"]
        for each in computation["instructions"]:
            each["name"] = "other"


def retell(content):
    content["stackFrameIndex"] = {**FRAMES, "fileNames": ["/opt/other.py", "/opt/another.py"]}
    for each in content["computations"][1]["instructions"]:
        each["metadata"] = {"opName": "other", "sourceFile": "/opt/other.py", "stackFrameId": 1}


@pytest.mark.parametrize("change", [renumber, rename, retell])
def test_numbers_names_and_places_do_not_alter_the_digest(change):
    assert changed(summed(), change).sha256 == summed().sha256


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (3, {"operandIds": ["12", "10"]}),
        (3, {"opcode": "multiply"}),
        (3, {"shape": shape("F32", 4)}),
        (3, {"shape": shape("F64", 3)}),
        (1, {"literal": {"shape": shape("F32"), "f32s": [1]}}),
        (2, {"dimensions": ["1"]}),
        (2, {"calledComputationIds": ["99"]}),
    ],
    ids=["operand", "opcode", "size", "element type", "literal", "attribute", "called"],
)
def test_what_is_computed_decides_the_digest(number, change):
    other = changed(summed(), lambda c: c["computations"][1]["instructions"][number].update(change))
    assert other.sha256 != summed().sha256


def test_another_called_computation_alters_the_digest():
    other = changed(summed(), lambda c: c["computations"][0]["instructions"][2].update(opcode="multiply"))
    assert other.sha256 != summed().sha256


def placed(**metadata):
    graph = summed()
    graph.computations[1]["instructions"][3]["metadata"] = metadata
    return graph.found[-1].place


def test_a_place_is_the_innermost_line_of_a_model():
    assert placed(stackFrameId=3) == "transformers/models/bert/modeling_bert.py:40"
    assert placed(stackFrameId=1) == "transformers/models/bert/modeling_bert.py:30"


def test_without_a_line_of_a_model_there_is_no_place():
    assert placed(stackFrameId=4) == ""
    assert placed() == ""


def test_what_was_seen_of_a_documented_graph():
    assert summed().observed() == {
        "hlo_sha256": summed().sha256,
        "operators": {"add": 2, "reduce": 1},
        "peak_bytes": 76,
    }


def test_doubtful_operators_come_with_their_first_line():
    flat, whole = shape("F32", 2), tuple_of(shape("F32", 2), shape("S32", 2))
    line = "transformers/models/bert/modeling_bert.py"
    graph = module(
        instruction(1, "parameter", flat),
        instruction(2, "custom-call", flat, 1, customCallTarget="Mine", metadata={"stackFrameId": 1}),
        instruction(3, "custom-call", flat, 2, customCallTarget="Mine", metadata={"stackFrameId": 2}),
        instruction(4, "sort", whole, 3, metadata={"stackFrameId": 3}),
        instruction(5, "stochastic-convert", flat, 1),
    )
    seen = graph.observed()
    assert seen["refused"] == {"Mine": f"{line}:30", "sort": f"{line}:40"}
    assert seen["unknown"] == {"stochastic-convert": ""}


def test_element_types_are_those_of_results_and_operands():
    graph = module(
        instruction(1, "parameter", shape("BF16", 2)),
        instruction(2, "sort", tuple_of(shape("F32", 2), tuple_of(shape("S32", 2))), 1),
        instruction(3, "get-tuple-element", shape("F32", 2), 2),
        instruction(4, "compare", shape("PRED", 2), 3, 3),
    )
    sort, compare = (each.instruction for each in graph.found)
    assert sort.element_types == ("f32", "s32", "bf16")
    assert compare.element_types == ("pred", "f32", "f32")
    assert not sort.dynamic


def test_a_dimension_without_a_fixed_size_is_seen_on_results_and_operands():
    graph = module(
        instruction(1, "parameter", shape("F32", 2, dynamic=True)),
        instruction(2, "negate", shape("F32", 2), 1),
        instruction(3, "negate", shape("F32", 2), 2),
    )
    assert [each.instruction.dynamic for each in graph.found] == [True, False]
    assert graph.observed()["refused"] == {"negate": ""}
