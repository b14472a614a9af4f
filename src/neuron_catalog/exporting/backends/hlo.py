"""A lowered graph as data: its instructions, how much memory it takes, and a digest of what it computes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from neuron_catalog.exporting.backends.places import is_model_code, place
from neuron_catalog.sdk.operators import Instruction, judge

NO_COMPUTATION = ("parameter", "tuple", "get-tuple-element", "constant")
"""What only says where a value comes from."""

BITS = {"PRED": 8}
"""Element type → its size, where the name does not tell it."""

PASSED_ON = ("tuple", "get-tuple-element")
"""What has no memory of its own, and keeps that of its operands."""

NAMES_AND_PLACES = (
    *("name", "entryComputationName", "parameterNames"),
    *("metadata", "frontendAttributes", "stackFrameIndex"),
)
"""Keys that decide nothing about what is computed."""

REFERENCES = {
    "rootId": "instruction",
    "operandIds": "instruction",
    "controlPredecessorIds": "instruction",
    "calledComputationIds": "computation",
    "entryComputationId": "computation",
}
"""Keys that hold numbers of instructions and computations, which differ from one process to the next."""


@dataclass(frozen=True)
class Found:
    """An instruction of a graph, and the line of code that it comes from."""

    instruction: Instruction
    place: str


@dataclass(frozen=True)
class HloModule:
    """A module of HLO, from the JSON that XLA writes of it."""

    content: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> HloModule:
        """Read XLA's JSON of an `HloModuleProto`."""
        return cls(json.loads(text))

    @property
    def computations(self) -> list[dict[str, Any]]:
        """The computations; those that others call come first."""
        return self.content["computations"]  # type: ignore[no-any-return]

    @cached_property
    def found(self) -> tuple[Found, ...]:
        """The instructions of all computations that compute something."""
        return tuple(self._found())

    def _found(self) -> Iterator[Found]:
        for computation in self.computations:
            shapes = {each["id"]: each["shape"] for each in computation["instructions"]}
            for each in computation["instructions"]:
                if each["opcode"] not in NO_COMPUTATION:
                    seen = [each["shape"], *(shapes[i] for i in each.get("operandIds", ()))]
                    yield Found(_instruction(each, seen), self._place(each.get("metadata", {})))

    def _place(self, metadata: Mapping[str, Any]) -> str:
        """Return the innermost line of a model's code among the frames of an instruction."""
        index = self.content.get("stackFrameIndex", {})
        number = metadata.get("stackFrameId", 0)
        while number:
            frame = index["stackFrames"][number - 1]
            location = index["fileLocations"][frame["fileLocationId"] - 1]
            file = index["fileNames"][location["fileNameId"] - 1]
            if is_model_code(file):
                return place(file, location.get("line"))
            number = frame.get("parentFrameId", 0)
        return ""

    @property
    def operators(self) -> dict[str, int]:
        """Opcode → how often; a custom call by its target."""
        counts = Counter(each.instruction.target or each.instruction.opcode for each in self.found)
        return dict(sorted(counts.items()))

    @property
    def peak_bytes(self) -> int:
        """The largest sum of the sizes of values that are alive at one time, parameters included.

        The graph is taken as it stands, in order and not fused: what a compiler needs is near or below it.
        """
        entry = next(c for c in self.computations if c["id"] == self.content["entryComputationId"])
        instructions = entry["instructions"]
        last = _last_uses(instructions)
        ends: dict[int, list[int]] = {}
        alive = peak = 0
        for number, each in enumerate(instructions):
            size = 0 if each["opcode"] in PASSED_ON else _bytes(each["shape"])
            alive += size
            peak = max(peak, alive)
            if each["opcode"] not in ("parameter", "constant"):
                ends.setdefault(last.get(each["id"], len(instructions)), []).append(size)
            alive -= sum(ends.pop(number, ()))
        return peak

    @property
    def sha256(self) -> str:
        """The digest of what is computed: equal for two lowerings of one model on any machine."""
        numbers = {"computation": {c["id"]: n for n, c in enumerate(self.computations)}, "instruction": {}}
        for computation in self.computations:
            for each in computation["instructions"]:
                numbers["instruction"][each["id"]] = len(numbers["instruction"])
        said = json.dumps(_renumbered(dict(self.content), numbers), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def observed(self) -> dict[str, JsonValue]:
        """Return what is recorded of a graph: digest, operators, memory, and what may not compile.

        Operators that the Neuron compiler does not document, or documents as refused, come with the line of
        code that they come from.
        """
        doubtful: dict[str, dict[str, JsonValue]] = {"unknown": {}, "refused": {}}
        for each in self.found:
            judgement = judge(each.instruction)
            if judgement.verdict in doubtful:
                name = each.instruction.target or each.instruction.opcode
                doubtful[judgement.verdict].setdefault(name, each.place)
        return {
            "hlo_sha256": self.sha256,
            "operators": dict(self.operators),
            "peak_bytes": self.peak_bytes,
            **{verdict: dict(sorted(names.items())) for verdict, names in doubtful.items() if names},
        }


def _last_uses(instructions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return instruction → the number of the last that needs its value; none for results of the graph."""
    last: dict[str, int] = {}
    for number, each in reversed([*enumerate(instructions)]):
        needed = last.get(each["id"], len(instructions)) if each["opcode"] in PASSED_ON else number
        for operand in each.get("operandIds", ()):
            last[operand] = max(needed, last.get(operand, 0))
    return last


def _instruction(each: Mapping[str, Any], shapes: Iterable[Mapping[str, Any]]) -> Instruction:
    leaves = [leaf for shape in shapes for leaf in _leaves(shape)]
    return Instruction(
        opcode=each["opcode"],
        element_types=tuple(leaf["elementType"].lower() for leaf in leaves),
        target=each.get("customCallTarget", ""),
        dynamic=any(any(leaf.get("isDynamicDimension", ())) for leaf in leaves),
    )


def _leaves(shape: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if shape["elementType"] != "TUPLE":
        yield shape
    for each in shape.get("tupleShapes", ()):
        yield from _leaves(each)


def _bytes(shape: Mapping[str, Any]) -> int:
    total = 0
    for leaf in _leaves(shape):
        kind = leaf["elementType"]
        bits = BITS.get(kind) or int("".join(c for c in kind.partition("E")[0] if c.isdigit()) or 0)
        count = 1
        for size in leaf.get("dimensions", ()):
            count *= int(size)
        total += -(-count * bits // 8)
    return total


def _renumbered(value: Any, numbers: Mapping[str, Mapping[str, int]], kind: str = "") -> Any:
    """Return JSON without names and places, and with numbers counted from 0."""
    if isinstance(value, list):
        return [_renumbered(each, numbers, kind) for each in value]
    if not isinstance(value, dict):
        return numbers[kind].get(value, value) if kind in numbers else value
    return {
        key: _renumbered(each, numbers, REFERENCES.get(key, ""))
        for key, each in value.items()
        if key not in NAMES_AND_PLACES and key != "id"
    }
