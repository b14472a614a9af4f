"""Sweeps without exports: jobs, and what is said to have become of them."""

import re
from pathlib import Path

from neuron_catalog.schema.sweeps import Limits
from neuron_catalog.sweeping.destination import Destination, SweepRecord
from neuron_catalog.sweeping.jobs import Job, Outcome

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title='owned'</script>",
    "'\"`${document.title}&lt;b&gt;{{ 7 * 7 }}",
    "\u202eesrever\u202c אבג",
    "long" * 400,
    "<!-- <script> ]]> \u2028\u2029",
)
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def data_of(page):
    """Return the JSON that is in a page."""
    (found,) = DATA.findall(page)
    return found


def job(name="esm.fill-mask", **given):
    facts = {
        "architecture": "esm",
        "model": None,
        "task": "fill-mask",
        "axes": {"batch_size": 1, "sequence_length": (64, 128)},
        "backend": "torchscript",
    }
    return Job(name=name, **facts | given)


def done(of, state="done", **given):
    facts = {
        "seconds": 2.5,
        "megabytes": 300,
        "where": "here:1",
        "artifact_bytes": 1_500_000,
        "difference": 0.25,
    }
    return Outcome(job=of, state=state, **facts | given)


def failed(of, cause="It broke.", remedy="Mend it.", **given):
    facts = {"seconds": 1.0, "megabytes": None, "where": "", "attempts": 2}
    return Outcome(job=of, state="failed", cause=cause, remedy=remedy, **facts | given)


def plant(place, jobs, outcomes=()):
    """Write a sweep, its outcomes, and a manifest for each that has an artifact."""
    destination = Destination(str(place))
    destination.begin(SweepRecord(jobs=tuple(jobs), limits=Limits()))
    for outcome in outcomes:
        destination.write(outcome)
        if outcome.state != "failed" and "://" not in str(place):
            folder = Path(place) / outcome.job.name
            folder.mkdir()
            (folder / "neuron_catalog.json").write_text("{}")
    return destination


def mixed():
    """Return jobs of all kinds, and their outcomes: three models, two tasks, two backends, two sizes."""
    jobs = [
        job(
            f"{model}.{task}.{backend}.batch_size_{size}+8 100%#x",
            architecture=model,
            task=task,
            backend=backend,
            axes={"batch_size": size},
        )
        for model in ("albert", "bert", "esm")
        for task in ("fill-mask", "text-classification")
        for backend in ("torchscript", "torch-export")
        for size in (1, 4)
    ]
    outcomes = []
    for number, each in enumerate(jobs):
        if number % 6 == 0:
            continue
        if number % 6 == 1:
            outcomes.append(failed(each, cause=f"Cause {number % 4}."))
        else:
            state = "cached" if number % 6 == 2 else "done"
            outcomes.append(done(each, state, seconds=number / 2, difference=number / 20))
    return jobs, outcomes
