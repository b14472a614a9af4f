"""A module is afterwards what it was before it was traced."""

import pytest
from torch import nn

from neuron_catalog.exporting.backends.undisturbed import undisturbed


class Frozen(dict):
    """A dictionary that takes no changes, as the configs of diffusers."""

    def clear(self):
        raise TypeError("frozen")

    update = __setitem__ = clear


def test_what_a_module_keeps_is_put_back():
    module = nn.Sequential(nn.Linear(1, 1))
    module[0].seen, module[0].table = "before", {"a": 1}
    with undisturbed(module):
        module[0].seen, module[0].new = "traced", 1
        module[0].table["a"], module[0].table["b"] = 2, 3
    assert (module[0].seen, module[0].table) == ("before", {"a": 1})
    assert not hasattr(module[0], "new")


def test_what_is_frozen_is_left_alone():
    module = nn.Linear(1, 1)
    module.config = Frozen(a=1)
    with undisturbed(module):
        module.seen = 1
    assert module.config == {"a": 1}
    assert not hasattr(module, "seen")


def test_a_failed_trace_leaves_nothing_either():
    module = nn.Linear(1, 1)

    def failing():
        module.seen = 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), undisturbed(module):
        failing()
    assert not hasattr(module, "seen")
