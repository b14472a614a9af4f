"""What an export would do, printed: for `export --dry_run` and `cache why`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_catalog.cli.context import print_json
from neuron_catalog.cli.printing import say

if TYPE_CHECKING:
    from neuron_catalog.catalog.index import Catalog
    from neuron_catalog.exporting.forecast import Forecast
    from neuron_catalog.exporting.pipeline_request import PipelineRequest
    from neuron_catalog.exporting.request import ExportRequest, Resolved

MOST_SHOWN = 20
"""More differences than these tell nobody more."""

LONGEST = 60
"""Characters of a value that are shown."""


def foretell(resolved: Resolved, request: ExportRequest, as_json: bool) -> None:
    """Print what the export of a model would do."""
    from neuron_catalog.exporting.exporter import default_target
    from neuron_catalog.exporting.forecast import forecast

    found = forecast(resolved, request.validation, request.use_cache)
    target = request.out or default_target(request, resolved.plan)
    if as_json:
        print_json({"target": str(target), **_as_json(found)})
        return
    _print(found, f"into {target}")


def foretell_composed(request: PipelineRequest, catalog: Catalog, as_json: bool) -> None:
    """Print what the export of a pipeline would do with each of its parts."""
    from neuron_catalog.exporting.forecast import forecast
    from neuron_catalog.exporting.pipeline import default_pipeline_target
    from neuron_catalog.exporting.pipeline_request import resolve_pipeline

    resolved = resolve_pipeline(request, catalog)
    target = request.out or default_pipeline_target(resolved)
    found = {
        name: forecast(part.resolved, request.validation, request.use_cache)
        for name, part in resolved.parts.items()
    }
    if as_json:
        print_json({"target": str(target), "parts": {name: _as_json(each) for name, each in found.items()}})
        return
    for name, each in found.items():
        say(f"{name}:")
        _print(each, f"into {Path(target, name)}")


def _print(found: Forecast, where: str) -> None:
    if found.entry:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.entry.made))
        size = found.entry.bytes / 1e6
        say(f"In the compile cache since {day}: {size:.1f} MB would be copied {where}; nothing is compiled.")
        return
    if found.failure:
        say(f"The compiler refused the same before: {found.failure.cause} --no_cache would try again.")
        return
    say(f"Not in the compile cache: it would be compiled {where}.")
    if found.why_not:
        say(found.why_not)
    if not found.nearest:
        return
    say(f"The nearest entry, {found.nearest.digest[:16]}, differs in:")
    for each in found.differences[:MOST_SHOWN]:
        say(f"  {each.fact}: {_shown(each.mine)} here, {_shown(each.theirs)} there")
    if len(found.differences) > MOST_SHOWN:
        say(f"  and {len(found.differences) - MOST_SHOWN} more")


def _shown(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= LONGEST else f"{value[:LONGEST]}…"


def _as_json(found: Forecast) -> dict[str, Any]:
    return {
        "hit": found.entry is not None,
        "key": found.key.digest if found.key else None,
        "bytes": found.entry.bytes if found.entry else None,
        "failure": found.failure.cause if found.failure else None,
        "why_not": found.why_not or None,
        "nearest": found.nearest.digest if found.nearest else None,
        "differences": [vars(each) for each in found.differences],
    }
