"""Run scenarios in child processes that are hit, and hold what is left to what must hold."""

import errno
import os
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

from tests.torture.faults import arm, failing, kill
from tests.torture.scenarios import Scenario

from neuron_catalog.errors import NeuronCatalogError
from neuron_catalog.storage import disk

DONE, TOLD, BROKEN = 0, 3, 4
"""How a child ends: well, with an error that tells cause and remedy, or with any other."""

HANGING_SECONDS = 120
"""A child that takes longer is ended, and counts as one that broke."""


@dataclass
class Outcome:
    """What happened to one scenario."""

    scenario: str
    kind: str
    hits: int = 0
    """How often a process was killed, or an operation failed."""
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What did not hold; nothing is tolerated."""


@contextmanager
def prepared(scenario: Scenario) -> Iterator[Path]:
    """Yield a folder in which everything is as it is before."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        done(child(lambda: scenario.before(folder)))
        yield folder


def child(work: Callable[[], str | None]) -> tuple[int, str]:
    """Do work in a child process; return how it ended, below 0 if by a signal, and what it had to say."""
    with tempfile.TemporaryFile() as told:
        pid = os.fork()
        if not pid:
            _do(work, told)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        told.seek(0)
        return code, told.read().decode()


def _do(work: Callable[[], str | None], told: BinaryIO) -> NoReturn:
    code, said = BROKEN, ""
    signal.alarm(HANGING_SECONDS)
    try:
        said = work() or ""
        code = DONE
    except NeuronCatalogError as error:
        code, said = TOLD, str(error)
    except BaseException as error:  # noqa: BLE001, a child must never return into its parent's code
        said = "".join(traceback.format_exception(error))[-2000:]
    finally:
        told.write(said.encode())
        told.flush()
        os._exit(code)


def done(ended: tuple[int, str]) -> str:
    """Return what a child said that must have come to its end."""
    code, said = ended
    assert code == DONE, said or name_of(code)
    return said


def count_points(scenario: Scenario) -> list[str]:
    """Return the operations of a scenario in their order."""
    with prepared(scenario) as folder:

        def work() -> str:
            faults = arm(folder, 0, kill)
            scenario.run(folder)
            faults.armed = False
            return ",".join(faults.seen)

        seen = done(child(work))
        scenario.require(folder, True)
    return seen.split(",")


def hit(scenario: Scenario, at: int, how: Callable[[str], None], outcome: Outcome) -> None:
    """Hit a scenario at one operation, hold what is left to its requirements, and run it again."""
    with prepared(scenario) as folder:

        def work() -> None:
            arm(folder, at, how)
            scenario.run(folder)

        code, said = child(work)
        outcome.hits += 1
        outcome.ends[name_of(code)] += 1
        place = f"{scenario.name}, operation {at}"
        if code in (BROKEN, -signal.SIGALRM):
            outcome.wrong.append(f"{place}: {said or name_of(code)}")
        settle(scenario, folder, code == DONE, place, outcome)


def killed_at(scenario: Scenario, seconds: float, outcome: Outcome) -> bool:
    """Kill a scenario after so long, and do the same; return whether it was still at work."""
    with prepared(scenario) as folder:
        pid = os.fork()
        if not pid:
            try:
                scenario.run(folder)
            finally:
                os._exit(DONE)
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code < 0:
            outcome.hits += 1
            outcome.ends[name_of(code)] += 1
        settle(scenario, folder, code == DONE, f"{scenario.name}, after {seconds:.4f} s", outcome)
    return code < 0


def settle(scenario: Scenario, folder: Path, finished: bool, place: str, outcome: Outcome) -> None:
    """Look at what is left, run the scenario once more, and look again: nothing may be left over then."""
    try:
        scenario.require(folder, finished)

        def again() -> None:
            disk.YOUNG_SECONDS = -1
            scenario.run(folder)

        done(child(again))
        scenario.require(folder, True)
        left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        assert not left, f"left over: {left}"
    except (AssertionError, NeuronCatalogError) as error:
        outcome.wrong.append(f"{place}: {type(error).__name__} {error}")


def name_of(code: int) -> str:
    """Return how a process ended, in words."""
    if code == -signal.SIGALRM:
        return "hung"
    if code < 0:
        return "killed"
    return {DONE: "went on", TOLD: "told what was wrong"}.get(code, "broke")


ERRORS = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES, errno.EDQUOT)
"""What operations fail with: a full disk, a read-only one, a broken one, no permission, no quota."""


def at_points(scenario: Scenario, points: Iterable[int], how: Literal["kill", "fail"]) -> Outcome:
    """Kill a process at each of these operations, or let each fail, with one error after the other."""
    kind = "killed at an operation" if how == "kill" else "an operation failed"
    outcome = Outcome(scenario.name, kind)
    for at in points:
        hit(scenario, at, kill if how == "kill" else failing(ERRORS[at % len(ERRORS)]), outcome)
    return outcome


def at_random(scenario: Scenario, count: int, seed: int, until: float = float("inf")) -> Outcome:
    """Kill a process at random times, until it was at work so many times or the time is over."""
    outcome = Outcome(scenario.name, "killed at a random time")
    chance = random.Random(seed)
    with prepared(scenario) as folder:
        started = time.monotonic()
        done(child(lambda: scenario.run(folder)))
        longest = time.monotonic() - started
    while outcome.hits < count and time.monotonic() < until:
        killed_at(scenario, chance.uniform(0, longest), outcome)
    return outcome
