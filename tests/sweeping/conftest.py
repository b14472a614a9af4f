"""Sweeps in a folder of their own."""

import pytest
import yaml

from neuron_catalog.sweeping.planning import read_plan

TINY = {"models": ["esm"], "tasks": ["fill-mask"], "backends": ["torchscript"], "destination": "out"}


@pytest.fixture
def sweep(tmp_path):
    """Write a sweep; what is not given is one job."""

    def write(**given):
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump({**TINY, **given}, sort_keys=False))
        return path

    return write


@pytest.fixture
def planned(sweep, catalog):
    return lambda **given: read_plan(sweep(**given), catalog)
