"""Whatever is killed or fails: what is there is whole, and the next run succeeds.

`make torture` hits every operation of every scenario, and kills at more than 600 random times; each day
another part of it is run here.
"""

import datetime

import pytest
from tests.torture.harness import at_points, at_random, count_points
from tests.torture.scenarios import SCENARIOS, resolved

PARTS = 8
TODAY = datetime.date.today().toordinal()


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """Read the catalog once, before processes are forked."""
    resolved(0)
    resolved(1)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_operations_that_are_hit(scenario, how):
    points = range(1 + TODAY % PARTS, len(count_points(scenario)) + 1, PARTS)
    outcome = at_points(scenario, points, how)
    assert outcome.wrong == []
    assert outcome.hits == len(points) > 0
    if how == "kill":
        assert outcome.ends == {"killed": outcome.hits}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS[-2:], ids=lambda scenario: scenario.name)
def test_exports_that_are_killed_at_random_times(scenario):
    outcome = at_random(scenario, 5, TODAY)
    assert (outcome.wrong, outcome.hits) == ([], 5)


def test_the_harness_finds_what_is_half_there():
    """A scenario that writes into its target without a publication breaks at nearly every point."""
    from dataclasses import replace

    from tests.torture.scenarios import written

    def careless(folder):
        out = folder / "out"
        out.mkdir(exist_ok=True)
        written(out, {"one": b"new" * 60_000, "three": b"new"})

    scenario = replace(SCENARIOS[0], run=careless)
    outcome = at_points(scenario, range(1, len(count_points(scenario)) + 1), "kill")
    assert len(outcome.wrong) >= 2
