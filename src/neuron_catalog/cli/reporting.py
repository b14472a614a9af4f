"""The command that tells what became of a sweep: sweep report."""

from __future__ import annotations

from typing import Annotated

import typer

from neuron_catalog.cli.printing import say

Place = Annotated[
    str, typer.Argument(metavar="DIR", help="The destination of the sweep: a folder or an address.")
]
Out = Annotated[
    str | None, typer.Option("--out", metavar="FOLDER", help="Where to write, if not at the destination.")
]


def report(place: Place, out: Out = None) -> int:
    """Write what has become of a sweep so far: report.html, report.json and report.md."""
    from neuron_catalog.sweeping.destination import Destination
    from neuron_catalog.sweeping.report.writing import write_report

    for path in write_report(Destination(place), out):
        say(path)
    return 0
