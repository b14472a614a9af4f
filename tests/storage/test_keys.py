"""Keys of the compile cache: equal facts have one digest, and differences are told by their places."""

import json

from hypothesis import given
from hypothesis import strategies as st

from neuron_catalog.storage.keys import Key

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
facts = st.dictionaries(st.sampled_from(["plans", "weights", "backend"]), values)


@given(facts, facts)
def test_one_digest_for_equal_facts_and_differences_for_others(mine, theirs):
    one, other = Key(mine), Key(theirs)
    equal = json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)
    assert (one.digest == other.digest) == equal
    assert (one.digests == other.digests) == equal
    if equal:
        assert one.differences(other) == ()


@given(facts)
def test_the_order_of_facts_does_not_count(given):
    assert Key(dict(reversed(given.items()))).digest == Key(given).digest


def test_differences_are_told_by_place_the_general_ones_first():
    mine = Key({"plans": [{"axes": {"n": 1}, "task": "a"}], "seed": 0})
    theirs = Key({"plans": [{"axes": {"n": 2}, "task": "b"}]})
    told = [(each.fact, each.mine, each.theirs) for each in mine.differences(theirs)]
    assert told == [
        ("seed", "0", None),
        ("plans.0.task", '"a"', '"b"'),
        ("plans.0.axes.n", "1", "2"),
    ]
