"""What a recorded run claims: no more than was run."""

import pytest

from neuron_catalog.manifest import Check
from neuron_catalog.proving.record import evidence_of, tier_of
from neuron_catalog.proving.selftest import Row


def row(backend, **statuses):
    checks = tuple(Check(name=name, status=status, detail="seen") for name, status in statuses.items())
    return Row(architecture="bert", task="fill-mask", backend=backend, checks=checks)


@pytest.mark.parametrize(
    ("backend", "values", "tier"),
    [
        ("torchscript", "passed", "traced"),
        ("torchscript", "deviates", "traced"),
        ("torch-export", "passed", "traced"),
        ("xla", "passed", "lowered"),
        ("neuronx", "passed", "device-verified"),
        ("neuronx", "not_run", "compiled"),
    ],
)
def test_a_graph_that_was_not_run_is_compiled_and_no_more(backend, values, tier):
    assert tier_of(row(backend, signature=values, values=values, oracle="passed")) == tier


def test_each_target_has_evidence_of_its_own(catalog):
    passed = row("torchscript", values="passed")
    rows = (passed.model_copy(update={"compiler": {"target": each}}) for each in ("trn1", "inf2"))
    runs = [evidence_of(catalog, each) for each in rows]
    assert len({run.key for run in runs}) == 2


def test_a_row_of_a_pipeline_is_judged_by_its_images():
    assert tier_of(row("neuronx", values="not_run", image="not_run")) == "compiled"
    assert tier_of(row("torchscript", image="passed")) == "traced"


def test_what_the_compiler_was_passed_is_part_of_the_evidence(catalog):
    told = row("torchscript", values="passed").model_copy(
        update={"compiler": {"target": "trn1"}, "observed": {"forward": {"hlo_sha256": "0"}}}
    )
    recorded = evidence_of(catalog, told)
    assert recorded.compiler == {"target": "trn1"}
    assert recorded.graphs == {"forward": {"hlo_sha256": "0"}}
