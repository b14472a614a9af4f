"""What the documents of the Neuron SDK say about an instruction of an HLO module.

The lists are old and incomplete (`operators.yaml` tells their age). So `unknown` is no refusal: the
operator may well compile. What a compiler has, it says itself: `neuronx-cc list-operators --framework XLA`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from neuron_catalog.sdk.records import Fact, Items, Source, Text, read_facts

Verdict = Literal["documented", "unknown", "refused"]


@dataclass(frozen=True)
class Instruction:
    """One instruction of an HLO module, as far as the documents tell instructions apart."""

    opcode: str
    """In HLO's spelling, such as `dynamic-update-slice`."""
    element_types: tuple[str, ...]
    """Those of the results, then those of the operands, in HLO's spelling in small letters: `f32`, `pred`."""
    target: str = ""
    """What a custom call calls."""
    dynamic: bool = False
    """Whether a dimension of a result or operand has no fixed size."""


@dataclass(frozen=True)
class Judgement:
    """What the documents say of an instruction."""

    verdict: Verdict
    reason: str
    code: str = ""
    """The error of the compiler that is documented for it, such as `EVRF004`."""
    source: str = ""
    """The page, as a path in the repository aws-neuron/aws-neuron-sdk; empty where no page is known."""


class OperatorList(Fact):
    """The list of supported operators in the compiler's release notes."""

    source: Source
    opcodes: dict[str, Text] = Field(min_length=1)
    """Name in the list → opcode in a module."""
    limits: dict[str, Text] = {}
    """Opcode → what the list says of the forms that are supported."""


class Mention(Fact):
    """Opcodes that another page shows or names as supported."""

    opcodes: Items[Text]
    note: Text
    source: Source


class CustomCalls(Fact):
    """Targets of custom calls that the compiler knows."""

    targets: Items[Text]
    source: Source


Code = Annotated[str, Field(pattern=r"^(E[A-Z]{3}\d{3})?$")]
"""An error of the compiler, or an empty string."""


class Refusal(Fact):
    """Why the compiler refuses something."""

    reason: Text
    code: Code
    source: Source


class Rule(Fact):
    """What is said of some instructions, whatever the lists say of their opcode."""

    opcodes: Items[Text] = ()
    """The opcodes that it is about; all if there are none."""
    targets: Items[Text] = ()
    """The targets of custom calls that it is about."""
    types: Items[Text] = ()
    """Element types that it is about; all if there are none."""
    of: Literal["any", "first", "all"] = "any"
    """Which of the instruction's element types must be among them."""
    dynamic: bool = False
    """Whether it is about shapes without fixed sizes."""
    verdict: Literal["unknown", "refused"]
    reason: Text
    code: Code = ""
    source: Source

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if not (self.opcodes or self.targets or self.types or self.dynamic):
            raise ValueError("a rule is about opcodes, targets, types or dynamic shapes")
        return self

    def fits(self, instruction: Instruction) -> bool:
        """Return whether the rule is about an instruction."""
        if self.dynamic and not instruction.dynamic:
            return False
        if self.opcodes and instruction.opcode not in self.opcodes:
            return False
        if self.targets and instruction.target not in self.targets:
            return False
        return not self.types or self._fits_types(instruction.element_types)

    def _fits_types(self, found: tuple[str, ...]) -> bool:
        named = [each in self.types for each in found]
        if self.of == "all":
            return bool(named) and all(named)
        return any(named[:1] if self.of == "first" else named)


class Operators(Fact):
    """Everything that the documents say about operators."""

    operators: OperatorList
    elsewhere: Items[Mention]
    custom_calls: Items[CustomCalls]
    other_custom_calls: Refusal
    rules: Items[Rule]
    """The first that fits decides."""

    @cached_property
    def documented(self) -> dict[str, Judgement]:
        """Opcode → what the lists say of it."""
        source = self.operators.source
        listed = {
            opcode: Judgement("documented", f"listed as {name}", source=source)
            for name, opcode in reversed(self.operators.opcodes.items())
        }
        for mention in self.elsewhere:
            judgement = Judgement("documented", mention.note, source=mention.source)
            listed |= dict.fromkeys(mention.opcodes, judgement)
        return listed

    @cached_property
    def targets(self) -> dict[str, str]:
        """Target of a custom call that the compiler knows → the page that says so."""
        return {target: calls.source for calls in self.custom_calls for target in calls.targets}


@cache
def operators() -> Operators:
    """Return what `operators.yaml` says."""
    return read_facts("operators", TypeAdapter(Operators))


@lru_cache(maxsize=4096)
def judge(instruction: Instruction) -> Judgement:
    """Return what the documents say of an instruction.

    `unknown` means that no document tells: the lists are from 2022 and 2023 and were never complete. They
    are about modules that torch-neuronx lowered: another front end may lower the same model to other
    opcodes and custom calls, such as a sort where torch-neuronx has a TopK.
    """
    said = operators()
    for rule in said.rules:
        if rule.fits(instruction):
            return Judgement(rule.verdict, _with_code(rule.reason, rule.code), rule.code, rule.source)
    if instruction.target:
        return _of_custom_call(instruction.target, said)
    if judgement := said.documented.get(instruction.opcode):
        return judgement
    return Judgement("unknown", "no document tells whether it is supported")


def _of_custom_call(target: str, said: Operators) -> Judgement:
    if source := said.targets.get(target):
        return Judgement("documented", "a custom call that the compiler knows", source=source)
    other = said.other_custom_calls
    return Judgement("refused", _with_code(other.reason, other.code), other.code, other.source)


def _with_code(reason: str, code: str) -> str:
    return f"{reason} ({code})" if code and code not in reason else reason
