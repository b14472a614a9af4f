"""How a sweep tells how far it is."""

from io import StringIO

from rich.console import Console
from rich.live import Live

from neuron_catalog.cli.progress import Progress, progress_of, spoken, summary
from neuron_catalog.sweeping.jobs import Job, Outcome


def outcome(state="done", seconds=2.0, **more):
    job = Job(
        name="esm.fill-mask", architecture="esm", model=None, task="fill-mask", axes={}, backend="torchscript"
    )
    return Outcome(job=job, state=state, seconds=seconds, megabytes=1, where="here:1", **more)


def test_a_line_for_each_job(capsys):
    with progress_of(3, [outcome("cached")], workers=1, as_json=False) as progress:
        progress.tell(outcome())
        progress.tell(outcome("failed", cause="It broke.", remedy="Mend it."))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "[2/3] esm.fill-mask: done, 2.0 s",
        "[3/3] esm.fill-mask: FAILED, 2.0 s. It broke. Mend it.",
    ]
    assert lines[2].startswith("3 jobs: 1 done, 1 from the cache, 1 failed in ")


def test_what_is_left_is_guessed_from_what_was_done():
    progress = Progress(total=10, workers=2)
    assert progress.line() == "10 jobs: 0 done, 0 from the cache, 0 failed, 2 running, 8 not done yet"
    for _ in range(2):
        progress.tell(outcome(seconds=30))
    assert progress.line().endswith("2 running, 6 not done yet, about 2 min 0 s left")


def test_a_terminal_gets_what_is_done_now_and_what_failed():
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    progress = Progress(total=2, workers=1)
    with Live(get_renderable=progress.table, console=console, auto_refresh=False) as progress.live:
        progress.begin(outcome().job)
        progress.live.refresh()
        assert "esm.fill-mask  0 s" in screen.getvalue()
        screen.truncate(0)
        progress.tell(outcome())
        progress.tell(outcome("failed", cause="[It] broke."))
        progress.live.refresh()
    told = screen.getvalue()
    assert "esm.fill-mask: FAILED, 2.0 s. [It] broke." in told
    assert "esm.fill-mask: done" not in told
    assert "2 jobs: 1 done, 0 from the cache, 1 failed" in told


def test_words():
    assert summary(2, {"done": 2}) == "2 jobs: 2 done, 0 from the cache, 0 failed"
    assert [spoken(each) for each in (0.4, 59.6, 3600)] == ["0 s", "1 min 0 s", "60 min 0 s"]
