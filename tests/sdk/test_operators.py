"""What the documents say of an instruction, and that no rule is hidden behind another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_catalog.sdk.compiler_errors import compiler_errors
from neuron_catalog.sdk.operators import Instruction, Rule, judge, operators

SAID = operators()
NAMES_OF_OPCODES = """
    abs add add-dependency after-all all-gather all-gather-done all-gather-start all-reduce all-reduce-done
    all-reduce-start all-to-all and async-done async-start async-update atan2 batch-norm-grad
    batch-norm-inference batch-norm-training bitcast bitcast-convert broadcast call cbrt ceil cholesky clamp
    collective-broadcast collective-permute collective-permute-done collective-permute-start compare complex
    concatenate conditional constant convert convolution copy copy-done copy-start cosine count-leading-zeros
    custom-call divide domain dot dynamic-reshape dynamic-slice dynamic-update-slice erf exponential
    exponential-minus-one fft floor fusion gather get-dimension-size get-tuple-element imag infeed iota
    is-finite log log-plus-one logistic map maximum minimum multiply negate not opt-barrier or outfeed pad
    parameter partition-id popcnt power ragged-all-to-all ragged-dot real recv recv-done reduce
    reduce-precision reduce-scatter reduce-window remainder replica-id reshape reverse rng rng-bit-generator
    rng-get-and-update-state round-nearest-afz round-nearest-even rsqrt scatter select select-and-scatter send
    send-done set-dimension-size shift-left shift-right-arithmetic shift-right-logical sign sine slice sort
    sqrt stochastic-convert subtract tan tanh topk transpose triangular-solve tuple while xor
    """
OPCODES = frozenset(NAMES_OF_OPCODES.split())
"""All opcodes of HLO, from XLA's hlo_opcode.h."""
NAMES_OF_TYPES = """
    pred s2 s4 s8 s16 s32 s64 u2 u4 u8 u16 u32 u64 f16 bf16 f32 f64 c64 c128 f4e2m1fn f8e3m4 f8e4m3 f8e4m3fn
    f8e4m3fnuz f8e4m3b11fnuz f8e5m2 f8e5m2fnuz f8e8m0fnu token
    """
TYPES = tuple(NAMES_OF_TYPES.split())
"""Element types of HLO, from XLA's primitive_util.h."""


def test_the_list_of_operators_is_complete_and_made_of_real_opcodes():
    assert len(SAID.operators.opcodes) == 62
    assert set(SAID.operators.opcodes.values()) <= OPCODES
    assert set(SAID.operators.limits) <= set(SAID.operators.opcodes.values())


def test_rules_and_mentions_are_about_real_opcodes_and_types():
    for said in (*SAID.rules, *SAID.elsewhere):
        assert set(said.opcodes) <= OPCODES
    for rule in SAID.rules:
        assert set(rule.types) <= set(TYPES)
        assert set(rule.targets) <= set(SAID.targets)
        assert not rule.code or rule.code in compiler_errors()
        assert len(rule.opcodes) == len(set(rule.opcodes))


def test_a_target_stands_in_one_list():
    assert len(SAID.targets) == sum(len(calls.targets) for calls in SAID.custom_calls) == 32


@pytest.mark.parametrize("rule", SAID.rules, ids=lambda rule: f"{rule.code} {rule.reason[:20]}")
def test_no_rule_is_hidden_behind_another(rule):
    for opcode in rule.opcodes or ("custom-call" if rule.targets else "reduce",):
        for target in rule.targets or ("",):
            for kind in rule.types or ("f32",):
                found = judge(Instruction(opcode, (kind, kind), target, dynamic=rule.dynamic))
                assert (found.verdict, found.source) == (rule.verdict, rule.source)
                assert rule.reason in found.reason
                assert rule.code in found.reason


@pytest.mark.parametrize(
    ("instruction", "verdict", "part"),
    [
        (("add", ("f32", "f32", "f32")), "documented", "listed as Add"),
        (("compare", ("pred", "s64", "s64")), "documented", "listed as Compare"),
        (("convert", ("s32", "s64")), "documented", "ConvertElementType"),
        (("convolution", ("f32",) * 3), "documented", "EVRF010"),
        (("logistic", ("f32", "f32")), "unknown", "no document"),
        (("cholesky", ("f32", "f32")), "unknown", "no document"),
        (("while", ("s32", "f32")), "unknown", "no document"),
        (("dot", ("f32", "f32", "f32")), "documented", "listed as Dot"),
        (("dot", ("s32", "s8", "s8")), "documented", "listed as Dot"),
        (("dot", ("s32", "s32", "s32")), "unknown", "EVRF035"),
        (("scatter", ("f32", "f32", "s64", "f32")), "documented", "listed as Scatter"),
        (("scatter", ("s64", "s64", "s64", "s64")), "unknown", "EVRF016"),
        (("topk", ("f32", "s32", "f32")), "documented", "sampling"),
        (("topk", ("s64", "s32", "s64")), "refused", "EVRF013"),
        (("custom-call", ("f32", "s32", "f32"), "AwsNeuronTopK"), "documented", "knows"),
        (("custom-call", ("s32", "s32", "s32"), "AwsNeuronTopK"), "refused", "EVRF013"),
        (("custom-call", ("f32", "f32"), "Sharding"), "refused", "EVRF015"),
        (("sort", ("f32", "s32", "f32", "s32")), "refused", "torch.sort"),
        (("fft", ("c64", "f32")), "refused", "torch.fft"),
        (("multiply", ("c64", "c64", "c64")), "unknown", "SDK 2.32"),
        (("real", ("f32", "c64")), "unknown", "SDK 2.32"),
        (("reduce", ("c64", "c64", "c64")), "refused", "EVRF004"),
        (("multiply", ("c128",) * 3), "refused", "EVRF004"),
        (("convert", ("f8e4m3fn", "f32")), "refused", "trn3"),
        (("shift-right-arithmetic", ("s32", "s32", "s16")), "documented", "32 bits"),
        (("shift-right-arithmetic", ("s16", "s16", "s32")), "refused", "EVRF022"),
        (("constant", ("u64",)), "unknown", "ESFH002"),
        (("add", ("f64",) * 3), "unknown", "64 bits"),
        (("add", ("f32",) * 3, "", True), "refused", "EMOD025"),
    ],
)
def test_what_the_documents_say(instruction, verdict, part):
    found = judge(Instruction(*instruction))
    assert found.verdict == verdict
    assert part in found.reason


INSTRUCTIONS = st.builds(
    Instruction,
    opcode=st.sampled_from(sorted(OPCODES)) | st.text(max_size=5),
    element_types=st.lists(st.sampled_from(TYPES), max_size=4).map(tuple),
    target=st.just("") | st.sampled_from(sorted(SAID.targets)) | st.text(max_size=5),
    dynamic=st.booleans(),
)


@given(INSTRUCTIONS)
def test_every_instruction_is_judged_and_only_the_unknown_has_no_page(instruction):
    found = judge(instruction)
    listed = (
        instruction.target in SAID.targets if instruction.target else instruction.opcode in SAID.documented
    )
    assert found.reason
    assert found.source or (found.verdict == "unknown" and not listed)
    assert found.verdict != "documented" or listed
    assert found.verdict == "refused" or not instruction.dynamic


@given(INSTRUCTIONS, st.sampled_from(["f32", "bf16"]))
def test_floats_behind_change_nothing_but_what_is_about_all_types(instruction, kind):
    more = Instruction(
        instruction.opcode, (*instruction.element_types, kind), instruction.target, instruction.dynamic
    )
    if instruction.opcode != "dot":
        assert judge(more) == judge(instruction)


def test_a_rule_about_everything_is_refused():
    with pytest.raises(ValueError, match="a rule is about opcodes"):
        Rule(verdict="refused", reason="because", source="page.rst")
