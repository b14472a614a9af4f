"""The command that lowers a model to HLO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuron_catalog.cli.context import Json, Seed, catalog_of, print_columns, print_json
from neuron_catalog.cli.options import (
    CacheDir,
    First,
    Model,
    Revision,
    TaskOption,
    TrustRemoteCode,
)
from neuron_catalog.cli.printing import progress, say
from neuron_catalog.cli.sizes import Size, with_sizes

if TYPE_CHECKING:
    from neuron_catalog.exporting.lowering import LoweredModel

MEANINGS = {
    "refused": "refused by the Neuron compiler, by its documents:",
    "unknown": "in no list of the Neuron compiler's documents, which are old and incomplete:",
    "fixed": "fixed to what it is for the example inputs; export checks it with others:",
}
"""What is seen of a graph that may be in a compiler's way → how it is introduced."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("lower")(with_sizes(lower))


def lower(
    context: typer.Context,
    architecture: First = None,
    *,
    model: Model = None,
    task: TaskOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the HLO, one file for each graph."),
    ] = None,
    revision: Revision = None,
    cache_dir: CacheDir = None,
    trust_remote_code: TrustRemoteCode = False,
    seed: Seed = 0,
    as_json: Json = False,
    axes: dict[str, Size],
) -> None:
    """Lower a model to HLO, as the Neuron compiler gets it, and show its operators. It takes torch-xla.

    Nothing is compiled or run: `export --backend xla` does that on XLA's CPU device.
    """
    from neuron_catalog.exporting.lowering import lowered, written
    from neuron_catalog.exporting.request import ExportRequest, resolve

    request = ExportRequest(
        architecture=architecture,
        task=task,
        model=model,
        axes=axes,
        backend="xla",
        seed=seed,
        revision=revision,
        cache_dir=cache_dir,
        trust_remote_code=trust_remote_code,
    )
    resolved = resolve(request, catalog_of(context))
    with progress(2, quiet=as_json) as on_step:
        found = lowered(resolved, on_step)
    files = written(found, out) if out else []
    if as_json:
        print_json({"graphs": dict(found.observed), "files": [str(file) for file in files]})
        return
    _print(found)
    for file in files:
        say(f"Wrote {file}. A Neuron SDK compiles it: neuronx-cc compile --framework XLA {file} --target …")


def _print(found: LoweredModel) -> None:
    for name, seen in found.observed.items():
        facts: Any = seen
        operators: dict[str, int] = facts["operators"]
        say(f"{name}: {sum(operators.values())} instructions, {len(operators)} operators")
        say(f"  memory of the unfused graph: {facts['peak_bytes'] / 1e6:.2f} MB at most at one time")
        say(f"  sha256 of the graph: {facts['hlo_sha256']}")
        print_columns([(f"  {operator}", str(count)) for operator, count in operators.items()])
        for kind, introduction in MEANINGS.items():
            if facts.get(kind):
                say(f"  {introduction}")
                print_columns([(f"    {first}", last) for first, last in facts[kind].items()])
