"""Time whole commands against each other, in turn, so that a drifting machine treats both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Wall seconds and peak resident MiB of one run of a command."""

    seconds: float
    mebibytes: float


def measure(command: Sequence[str]) -> Sample:
    """Run a command once.

    Raises:
        RuntimeError: if it fails; a failed run has no time.
    """
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    err = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{err.decode()}")
    return Sample(seconds, usage.ru_maxrss / 1024)


def compare(
    ours: Sequence[str], base: Sequence[str], runs: int, before: Callable[[], None] = lambda: None
) -> tuple[list[Sample], list[Sample]]:
    """Run both commands in turn, after one warm-up of each; `before` is called before each of ours."""
    measure(ours), measure(base)
    pairs = []
    for _ in range(runs):
        before()
        pairs.append((measure(ours), measure(base)))
    return [a for a, _ in pairs], [b for _, b in pairs]


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return minimum, median and maximum."""
    return " / ".join(f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))


def report(title: str, ours: list[Sample], base: list[Sample]) -> float:
    """Print both and the ratio pair by pair; return the median ratio of wall time."""
    ratios = [a.seconds / b.seconds for a, b in zip(ours, base, strict=True)]
    print(f"{title} (min / median / max of {len(ours)} pairs)")
    print(
        f"  ours  seconds {spread([s.seconds for s in ours])}   MiB {spread([s.mebibytes for s in ours], 0)}"
    )
    print(
        f"  base  seconds {spread([s.seconds for s in base])}   MiB {spread([s.mebibytes for s in base], 0)}"
    )
    print(f"  ratio of seconds {spread(ratios)}")
    return statistics.median(ratios)
