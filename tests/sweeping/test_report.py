"""A report of a sweep has the same facts in each form, whatever they are and whenever it is made."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.pages.sweeps import HOSTILE, data_of, done, failed, job, mixed, plant

from neuron_catalog.storage.stores import Store
from neuron_catalog.sweeping.report.facts import report_of
from neuron_catalog.sweeping.report.page import as_page
from neuron_catalog.sweeping.report.texts import COLUMNS, as_json, as_markdown, plain

NAMES = ["report.html", "report.json", "report.md"]


def report(jobs, outcomes, folder=""):
    return report_of("exports", jobs, {each.job.name: each for each in outcomes}, folder)


def read(made, kind):
    """Return the texts of a kind of element of a Markdown page, as a reader sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(made)
    opened = [number for number, token in enumerate(tokens) if token.type == f"{kind}_open"]
    inside = [tokens[number + 1].children for number in opened]
    return [
        "".join(part.content for part in parts if part.type in ("text", "code_inline")) for parts in inside
    ]


def test_json_has_everything_that_is_known():
    jobs = [job(f"esm.{number}") for number in range(3)]
    said = json.loads(as_json(report(jobs, [done(jobs[0]), failed(jobs[1])])))
    assert said["format"] == 1
    assert said["totals"] == {"jobs": 3, "done": 1, "cached": 0, "failed": 1, "not_done": 1}
    first, second, third = said["jobs"]
    assert first == {
        "name": "esm.0",
        "source": "tiny esm",
        "architecture": "esm",
        "task": "fill-mask",
        "axes": {"batch_size": 1, "sequence_length": [64, 128]},
        "backend": "torchscript",
        "state": "done",
        "seconds": 2.5,
        "megabytes": 300,
        "attempts": 1,
        "artifact_bytes": 1_500_000,
        "difference": 0.25,
        "cause": "",
        "remedy": "",
        "where": "here:1",
        "manifest": "esm.0/neuron_catalog.json",
    }
    assert (second["state"], second["cause"], second["remedy"]) == ("failed", "It broke.", "Mend it.")
    assert (second["attempts"], second["megabytes"], second["manifest"]) == (2, None, None)
    assert third["state"] == "not_done"
    assert {third[key] for key in ("seconds", "megabytes", "attempts", "difference", "manifest")} == {None}


def test_outcomes_of_other_sweeps_are_passed_over():
    said = json.loads(as_json(report([job()], [done(job("another"))])))
    assert said["totals"] == {"jobs": 1, "done": 0, "cached": 0, "failed": 0, "not_done": 1}


def test_numbers_that_json_has_not_are_left_out():
    odd = done(job(), seconds=float("nan"), difference=float("inf"))
    made = report([job()], [odd])
    (line,) = json.loads(as_json(made), parse_constant=pytest.fail)["jobs"]
    assert (line["seconds"], line["difference"]) == (None, None)
    assert "inf" not in as_markdown(made)
    json.loads(data_of(as_page(made)), parse_constant=pytest.fail)


def test_markdown_tells_the_same():
    jobs, outcomes = mixed()
    made = as_markdown(report(jobs, outcomes))
    cells = read(made, "td")
    assert cells[:8] == ["done", "12", "from the cache", "4", "failed", "4", "not done yet", "4"]
    assert read(made, "th")[2:] == [*COLUMNS]
    assert len(cells) == 8 + len(jobs) * len(COLUMNS)
    second = cells[8 + len(COLUMNS) : 8 + 2 * len(COLUMNS)]
    assert second == ["tiny albert", "fill-mask", "batch_size 4", "torchscript", "failed", "1.0", *[""] * 4]
    assert read(made, "heading")[2:4] == ["2 × Cause 1.", "2 × Cause 3."]
    assert "\n→ Mend it.\n" in made


def test_failures_are_together_by_cause_the_most_frequent_first():
    jobs = [job(f"esm.{number}") for number in range(4)]
    causes = ["a", "b", "b", ""]
    found = report(
        jobs, [failed(each, cause=cause) for each, cause in zip(jobs, causes, strict=True)]
    ).failures
    assert [(each.cause, len(each.lines)) for each in found] == [
        ("b", 2),
        ("a", 1),
        ("No cause was recorded.", 1),
    ]


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(ANY_TEXT)
@example("a|b")
@example("\\|")
@example("*a* _b_ `c` [d](e) <b> &amp; ~~f~~ <http://a.b>")
@example("a\r\n\n| b |\u2028c\x85")
@example("![x](y)")
@example(HOSTILE[0])
def test_markdown_shows_every_text_as_it_is(text):
    made = job("esm", model=text, task=text, axes={text: 1}, backend=text)
    page = as_markdown(report([made], [failed(made, cause=text, remedy=text)]))
    cells = read(page, "td")
    assert len(cells) == 8 + len(COLUMNS)
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    inside = [part for token in tokens for part in token.children or ()]
    assert not [
        part for part in [*tokens, *inside] if part.type.startswith(("html", "image", "em_", "strong_"))
    ]
    (seen,) = MarkdownIt("commonmark").parseInline(plain(text))
    shown = "".join(part.content for part in seen.children)
    wanted = " ".join(
        re.sub(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", " ", text).split()
    )
    assert " ".join(shown.replace("\ufffd", " ").split()) == " ".join(wanted.replace("\ufffd", " ").split())


@given(st.lists(ANY_TEXT, min_size=1, max_size=3, unique=True))
def test_page_and_json_have_every_text_as_it_is(texts):
    jobs = [job(f"esm.{number}", model=text) for number, text in enumerate(texts)]
    made = report(jobs, [failed(each, cause=each.model) for each in jobs])
    assert [each["cause"] for each in json.loads(as_json(made))["jobs"]] == texts
    name = json.loads(data_of(as_page(made)))["values"][0]
    assert [name["words"][place] for place in name["of"]] == texts


@pytest.mark.parametrize("form", [as_page, as_json, as_markdown])
def test_the_same_facts_are_the_same_text(form):
    jobs, outcomes = mixed()
    assert form(report(jobs, outcomes)) == form(report(jobs, outcomes[::-1]))


def test_the_command_writes_three_files_beside_the_artifacts(run, tmp_path):
    plant(tmp_path / "out", *mixed())
    code, out, _ = run("sweep", "report", "out")
    assert code == 0
    assert out.split() == [f"out/{name}" for name in NAMES]
    said = json.loads((tmp_path / "out" / "report.json").read_text())
    links = [each["manifest"] for each in said["jobs"] if each["manifest"]]
    assert len(links) == 16
    assert all((tmp_path / "out" / unquote(link)).is_file() for link in links)
    assert run("sweep", "status", "out")[1].startswith("24 jobs: 12 done")
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_report_can_be_made_at_any_moment_and_again(run, tmp_path):
    jobs, outcomes = mixed()
    destination = plant(tmp_path / "out", jobs)
    for known in range(0, len(outcomes), 7):
        destination.write(outcomes[known])
        assert run("sweep", "report", "out")[0] == 0
    said = json.loads((tmp_path / "out" / "report.json").read_text())
    assert said["totals"]["not_done"] == len(jobs) - 3


@pytest.mark.parametrize("folder", ["elsewhere", "a b/c#d%é"])
def test_a_report_elsewhere_leads_to_the_artifacts(run, tmp_path, folder):
    plant(tmp_path / "a sweep 100%", *mixed())
    code, out, _ = run("sweep", "report", "a sweep 100%", "--out", folder)
    assert code == 0
    assert out.splitlines() == [f"{folder}/{name}" for name in NAMES]
    said = json.loads((tmp_path / folder / "report.json").read_text())
    (link, *_) = [each["manifest"] for each in said["jobs"] if each["manifest"]]
    parts = urlsplit(link)
    assert parts.scheme == "file"
    assert tmp_path / "a sweep 100%" in Path(unquote(parts.path)).parents
    assert "](<file:///" in (tmp_path / folder / "report.md").read_text()


def test_links_stay_short_if_out_is_the_destination(run, tmp_path):
    plant(tmp_path / "out", *mixed())
    assert run("sweep", "report", "out", "--out", str(tmp_path / "out"))[0] == 0
    assert "file://" not in (tmp_path / "out" / "report.json").read_text()


def test_a_store_gets_its_report(run, s3, tmp_path):
    made = job()
    plant(s3, [made], [done(made)])
    code, out, _ = run("sweep", "report", s3)
    assert (code, out.split()) == (0, [f"{s3}/{name}" for name in NAMES])
    said = json.loads(Store(s3).read("report.json"))
    assert said["jobs"][0]["manifest"] == "esm.fill-mask/neuron_catalog.json"
    assert run("sweep", "report", s3, "--out", "here")[0] == 0
    said = json.loads((tmp_path / "here" / "report.json").read_text())
    assert said["jobs"][0]["manifest"] == f"{s3}/esm.fill-mask/neuron_catalog.json"
    assert b"<title>Sweep report</title>" in Store(s3).read("report.html")


def test_without_a_sweep_there_is_no_report(run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = run("sweep", "report", "empty")
    assert code == 4
    assert "empty has no sweep: there is no sweep.json." in err
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_target_that_cannot_be_written_is_told(run, tmp_path):
    plant(tmp_path / "out", *mixed())
    (tmp_path / "file").write_text("")
    code, _, err = run("sweep", "report", "out", "--out", "file")
    assert code == 4
    assert "file/report.html could not be written: " in err
    assert "Choose another folder with --out." in err


def test_a_destination_with_signs_in_its_name_is_one_folder(run, tmp_path):
    plant(tmp_path / "a b#c%20é", *mixed())
    assert [path.name for path in tmp_path.iterdir()] == ["a b#c%20é"]
    assert run("sweep", "report", "a b#c%20é")[0] == 0
