"""Every class of a pipeline makes the images of diffusers' own, in a process that did not export it."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from tests.runtime.diffusion.twins import COPY, STEP, images

pytestmark = pytest.mark.filterwarnings(COPY)

PAINT = Path(__file__).with_name("paint.py")
STEERED = ("stable-diffusion", "stable-diffusion-xl")
"""Pipelines that can be exported with a ControlNet."""


def in_a_fresh_process(twins, names):
    """Return class → largest difference, for all classes of some pipelines."""
    folders = []
    for name in names:
        twin = twins(name, ("tiny",) if name in STEERED else ())
        cases = {}
        for use, kind in twin.composition.uses.items():
            asked = twin.asked(use)
            cases[kind] = asked, images(twin.theirs(use), **asked)
            assert cases[kind][1].std() > 0.02
        (twin.folder.parent / "cases.pickle").write_bytes(pickle.dumps(cases))
        folders.append(str(twin.folder.parent))
    done = subprocess.run(
        [sys.executable, PAINT, *folders], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len(names)
    return {kind: seen for each in found.values() for kind, seen in each.items()}


def hold(found, pipelines, catalog):
    classes = {use.runtime_class for name in pipelines for use in catalog.pipelines[name].uses.values()}
    assert set(found) == classes
    assert {kind: seen for kind, seen in found.items() if not seen <= STEP} == {}


def test_stable_diffusion_xl_and_flux_make_the_images_of_diffusers(twins, catalog):
    names = ("stable-diffusion", "stable-diffusion-xl", "flux")
    hold(in_a_fresh_process(twins, names), names, catalog)


@pytest.mark.slow
def test_the_other_pipelines_make_the_images_of_diffusers(twins, catalog):
    names = tuple(set(catalog.pipelines) - {"stable-diffusion", "stable-diffusion-xl", "flux"})
    hold(in_a_fresh_process(twins, names), names, catalog)
