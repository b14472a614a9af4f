"""What an export tells: progress while it runs, then the familiar lines for each output and check."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from neuron_catalog.manifest import AxisFit, Check, Manifest, Plan
    from neuron_catalog.proving.selftest import Row
    from neuron_catalog.sdk.compiler_errors import CompilerError

MARKS = {"passed": "✓", "failed": "✗", "not_run": "–", "deviates": "!"}


STEPS = 5
"""How often an export reports that a step begins."""


def say(line: str) -> None:
    """Print one line."""
    typer.echo(line)


@contextmanager
def progress(total: int, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Yield a function to call as each step begins: a bar on a terminal, plain lines elsewhere."""
    if quiet or not _on_terminal():
        yield (lambda _: None) if quiet else lambda step: typer.echo(f"{step} ...", err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=total)

        def advance(step: str) -> None:
            bar.update(task, description=step, advance=1)

        yield advance


@contextmanager
def row_progress(total: int, quiet: bool = False) -> Iterator[Callable[[Row], None]]:
    """Yield a function that prints a finished row: below it, on a terminal, a bar says how many are left."""
    if quiet or not _on_terminal():
        yield (lambda _: None) if quiet else print_row
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    left = TextColumn("rows,"), TimeRemainingColumn(), TextColumn("left")
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), *left)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=total)

        def advance(row: Row) -> None:
            if sys.stdout.isatty():
                console.print("\n".join(row_lines(row)), soft_wrap=True)  # above the bar
            else:
                print_row(row)
            bar.advance(task)

        yield advance


def _on_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def print_checks(manifest: Manifest) -> None:
    """Print the outcome of the checks, output by output for the values of the largest graph."""
    *buckets, graph = manifest.graphs
    if not manifest.was_run:
        _print_not_run(manifest)
        return
    say(f"Validating the {manifest.plan.architecture} graph, saved and read back, against the eager model:")
    for check in graph.checks:
        if check.name == "signature":
            names = ", ".join(tensor.name for tensor in graph.plan.outputs)
            say(f"-[{MARKS[check.status]}] output names match the plan: {names}")
        elif check.name == "values":
            _print_values(check, graph.plan)
        else:
            say(f"-[{MARKS[check.status]}] {check.name}: {check.detail}")
    for fit in graph.fits:
        say(f"-[{MARKS['passed' if fit.filled else 'not_run']}] {fit_line(fit)}")
    for bucket in buckets:
        largest = max((d.largest for check in bucket.checks for d in check.differences), default=0.0)
        say(f"-[✓] {sizes(bucket.plan)}: the same checks, largest difference {largest:.1e}")


def _print_not_run(manifest: Manifest) -> None:
    """Say what was seen of graphs that were not run: nothing at all, or what they were compiled from."""
    graph = manifest.graphs[-1]
    before = [check for check in graph.checks if check.status != "not_run"]
    if not before:
        say(f"Not validated: {graph.checks[0].detail}.")
        return
    target = manifest.backend.arguments.get("target", manifest.backend.name)
    say(f"Compiled for {target}, and not run: {graph.checks[0].detail}. Seen on the CPU, before:")
    for check in before:
        say(f"-[{MARKS[check.status]}] {check.name}: {check.detail}")
    for fit in graph.fits:
        say(f"-[{MARKS['passed' if fit.filled else 'not_run']}] {fit_line(fit)}")
    say("`neuron-catalog validate` runs all checks where a device is.")


def sizes(plan: Plan) -> str:
    """Return the sizes of a graph in words."""
    return ", ".join(f"{axis} {size}" for axis, size in plan.axes.items())


def sizes_of_all(plans: Iterable[Plan]) -> str:
    """Return the sizes of all graphs in words: `batch_size 1, sequence_length 64, 128`."""
    together: dict[str, list[int]] = {}
    for plan in plans:
        for axis, size in plan.axes.items():
            together.setdefault(axis, []).append(size)
    return ", ".join(f"{axis} {', '.join(map(str, sorted({*each})))}" for axis, each in together.items())


FILLINGS = {"rows": "filled up with rows", "right": "padded on the right", "left": "padded on the left"}


def fit_line(fit: AxisFit) -> str:
    """Say whether inputs may be smaller along an axis."""
    how = FILLINGS[fit.filled] if fit.filled else "must match"
    return f"{fit.axis} {how}: {fit.detail}"


def _print_values(check: Check, plan: Plan) -> None:
    for tensor in plan.outputs:
        seen = [d for d in check.differences if d.output == tensor.name]
        shape = tuple("any" if size is None else size for size in tensor.shape)
        worst = max(seen, key=lambda d: d.largest)
        seeds = ", ".join(str(d.seed) for d in seen)
        say(f'-[{MARKS[check.status]}] output "{tensor.name}":')
        say(f"    -[✓] shape {shape} and {tensor.dtype} match")
        say(
            f"    -[{MARKS[check.status]}] all values close on {len(seen)} fresh inputs (seeds {seeds}): "
            f"largest difference {worst.largest:.1e}, allowed {worst.allowed:.1e}"
        )


def print_plan(plan: Plan) -> None:
    """Print every tensor of a plan with names and sizes of its dimensions."""
    use = f" for {plan.task}" if plan.task else ""  # a component of a pipeline has none
    say(f"{plan.architecture}{use} ({plan.model_class}, wrapper {plan.wrapper})")
    for title, tensors in (("inputs", plan.inputs), ("outputs", plan.outputs)):
        say(f"{title}:")
        for tensor in tensors:
            dims = ", ".join(
                axis if size is None else f"{axis}={size}"
                for axis, size in zip(tensor.axes, tensor.shape, strict=True)
            )
            pad = getattr(tensor, "pad", None)
            say(f"  {tensor.name}: {tensor.dtype}[{dims}]" + ("" if pad is None else f" padded with {pad}"))
    for constant in plan.constants:
        say(f"fixed: {constant.name} = {json.dumps(constant.value)}")
    for waiver in plan.waivers:
        say(f"by design not {waiver.check}: {waiver.reason}")


def print_row(row: Row) -> None:
    """Print the outcome of one row of the selftest, and what is wrong with it."""
    for line in row_lines(row):
        say(line)


def row_lines(row: Row) -> list[str]:
    """Return the lines that tell the outcome of a row."""
    deviates = [check.name for check in row.checks if check.status == "deviates"]
    note = f"  (by design not {', '.join(deviates)})" if deviates else ""
    mark = MARKS["not_run" if row.not_run else "passed" if row.passed else "failed"]
    title = f"[{mark}] {row.architecture} {row.task} {row.backend} {row.seconds:.1f} s{note}"
    return [title, *(f"      {line}" for line in row.complaint.splitlines())]


def print_compiler_error(error: CompilerError) -> None:
    """Print what an error of the compiler means, what to do about it, and where it is documented."""
    say(f"{error.code}: {error.title}")
    say(f"  {error.means}")
    say(f"  Fix: {error.remedy}")
    say(f"  Source: aws-neuron/aws-neuron-sdk, {error.source}")
