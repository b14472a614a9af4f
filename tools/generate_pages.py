"""Write `docs/supported/*.md` from the catalog and its evidence; `--check` tells whether they are current."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neuron_catalog.catalog.evidence import Evidence
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.selection import wrapper_of
from neuron_catalog.catalog.tiers import TIERS, lowest
from neuron_catalog.schema.components import NO_TASK, Pipeline
from neuron_catalog.schema.documents import Architecture
from neuron_catalog.schema.tensors import ConditionalInput
from neuron_catalog.schema.words import CACHE_AXES

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "supported"
SWEEP = ROOT / "tools" / "sweep.jsonl"
"""What `tools/sweep.py` wrote: the version of transformers, then an outcome for each model type."""
WITHOUT = "without a cache"
STATES = {"passed": "passed", "deviates": "deviates", "not_run": "not run"}
"""What runs record of the check `generation`, best first → how the page calls it."""
UNKNOWN = "not recorded"


def page_texts() -> dict[Path, str]:
    """Return path → text of every generated page."""
    catalog = Catalog([ROOT / "catalog"])
    jinja = Environment(
        loader=FileSystemLoader(ROOT / "tools" / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    texts: dict[Path, str] = {}
    pages: list[dict[str, Any]] = []
    totals = Counter[str]()
    for name in sorted(name for name, family in catalog.families.items() if not family.for_components):
        names = [a for a in catalog.architectures if catalog.get(a).family == name]
        texts[PAGES / f"{name}.md"] = jinja.get_template("family.md.j2").render(
            family=catalog.families[name],
            rows=[row(catalog, each) for each in names],
            bounds=bounds(catalog, names),
            deviations=listed(catalog, names, "deviations"),
            issues=listed(catalog, names, "known_issues"),
        )
        tiers = Counter(tier for each in names for tier in catalog.tiers(each).values())
        pages.append({"name": name, "architectures": len(names), "count": tiers.total(), "tiers": tiers})
        totals.update(tiers)
    index = jinja.get_template("index.md.j2").render(
        pages=pages,
        totals=totals,
        tiers=TIERS,
        versions=versions(catalog),
        pipelines=len(catalog.pipelines),
        components=len(catalog.components),
    )
    composed = jinja.get_template("pipelines.md.j2").render(
        pipelines=[pipeline(catalog, each) for each in catalog.pipelines],
        components=[component(catalog, each) for each in catalog.components],
    )
    types = jinja.get_template("model-types.md.j2").render(**model_types(catalog))
    writing = jinja.get_template("generation.md.j2").render(**generation(catalog))
    return {
        **texts,
        PAGES / "README.md": index,
        PAGES / "generation.md": writing,
        PAGES / "model-types.md": types,
        PAGES / "pipelines.md": composed,
    }


def generation(catalog: Catalog) -> dict[str, Any]:
    """Return, for each task whose models write texts, its architectures with wrapper and evidence."""
    tasks = []
    for name, task in sorted(catalog.tasks.items()):
        if not task.generates:
            continue
        names = [each for each in catalog.architectures if name in catalog.get(each).tasks]
        rows = [writer(catalog, each, name) for each in names]
        tasks.append(
            {
                "name": name,
                "summary": task.summary,
                "runtime_class": task.runtime_class,
                "rows": rows,
                "wrappers": Counter(row["wrapper"] for row in rows),
                "states": Counter(row["state"] for row in rows),
            }
        )
    return {
        "tasks": tasks,
        "wrappers": [*CACHE_AXES, WITHOUT],
        "states": [*STATES.values(), UNKNOWN],
        "reasons": [row for task in tasks for row in task["rows"] if row["reason"]],
    }


def writer(catalog: Catalog, name: str, task: str) -> dict[str, Any]:
    """Return what the page about generation says of an architecture and a task: the least that runs saw."""
    architecture = catalog.get(name)
    wrapper = wrapper_of(architecture, catalog.families[architecture.family], task)
    runs = [run for run in catalog.evidence(name) if run.task == task and "generation" in run.checks]
    seen = [state for state in STATES if any(run.checks["generation"] == state for run in runs)]
    found = [STATES[state] for state in seen] or [UNKNOWN]
    if len(seen) > 1:
        found = [f"{STATES[state]} with {'; '.join(with_versions(runs, state))}" for state in seen]
    return {
        "name": name,
        "task": task,
        "family": architecture.family,
        "wrapper": wrapper if wrapper in CACHE_AXES else WITHOUT,
        "state": STATES[seen[-1]] if seen else UNKNOWN,
        "shown": ", ".join(found),
        "reason": shown(reason(architecture, task, runs, seen[-1] if seen else "")),
    }


def with_versions(runs: list[Evidence], state: str) -> list[str]:
    """Return the versions of the runs that recorded a state of the check `generation`."""
    versions = (run.versions for run in runs if run.checks["generation"] == state)
    return sorted({f"transformers {each['transformers']} and torch {each['torch']}" for each in versions})


def reason(architecture: Architecture, task: str, runs: list[Evidence], state: str) -> str:
    """Return why the check `generation` was not run, as recorded, or deviates, as declared in the YAML."""
    if state == "not_run":
        return next((found for run in runs if (found := run.reasons.get("generation"))), "")
    own = (each for each in architecture.deviations if each.check == "generation" and state == "deviates")
    return next((each.reason for each in own if not each.tasks or task in each.tasks), "")


def model_types(catalog: Catalog) -> dict[str, Any]:
    """Return what the last sweep made of each model type: reproduced, written by hand, or not supported."""
    first, *lines = SWEEP.read_text(encoding="utf-8").splitlines()
    outcomes = {found["model_type"]: found for found in map(json.loads, lines)}
    own = [name for name in catalog.architectures if catalog.get(name).library == "transformers"]
    reproducible = [name for name in own if "tasks" in outcomes.get(name, {})]
    failed = {name: found["reason"] for name, found in outcomes.items() if "reason" in found}
    parts = [name for name, reason in failed.items() if "has no class for any task" in reason]
    return {
        **json.loads(first),
        "reproducible": reproducible,
        "others": sorted(set(own) - set(reproducible)),
        "missing": [(n, shown(r)) for n, r in sorted(failed.items()) if n not in own and n not in parts],
        "parts": parts,
    }


def shown(reason: str) -> str:
    """Return a reason as one cell of a table."""
    lines = [line.strip() for line in reason.splitlines() if not line.startswith("No task of")]
    return (lines[0] if lines else reason).replace("|", "\\|").replace("<", "&lt;")[:200]


def row(catalog: Catalog, name: str) -> dict[str, Any]:
    """Return what a table says of one architecture."""
    tiers = catalog.tiers(name)
    differences = [run.largest_scaled_difference for run in catalog.evidence(name)]
    tier: str = lowest(tiers.values())
    return {
        "name": name,
        "tasks": list(tiers),
        "count": len(tiers),
        "axes": catalog.get(name).mandatory_axes,
        "atol": catalog.get(name).atol,
        "tier": f"{tier} ({max(differences):.0e})" if differences else tier,
    }


def component(catalog: Catalog, name: str) -> dict[str, Any]:
    """Return what the page of pipelines says of one component."""
    found = catalog.components[name]
    inputs = [each.name if isinstance(each, ConditionalInput) else each for each in found.inputs]
    return {
        "name": name,
        "model_class": f"{found.library}.{found.model_class}",
        "inputs": inputs,
        "outputs": found.outputs,
        "tier": proved(catalog, name, NO_TASK),
        "pipelines": [n for n, each in catalog.pipelines.items() if name in components_of(each)],
    }


def pipeline(catalog: Catalog, name: str) -> dict[str, Any]:
    """Return what the page of pipelines says of one pipeline."""
    found = catalog.pipelines[name]
    return {
        "name": name,
        "summary": found.summary,
        "axes": [axis for axis, said in found.axes.items() if said.default is None],
        "parts": {part: said.component for part, said in found.parts.items()},
        "uses": {use: (said.runtime_class, proved(catalog, name, use)) for use, said in found.uses.items()},
        "issues": [issue.model_dump() for issue in found.known_issues],
    }


def components_of(pipeline: Pipeline) -> set[str]:
    """Return the names of the components that a pipeline is made of."""
    return {part.component for part in pipeline.parts.values()}


def proved(catalog: Catalog, name: str, task: str) -> str:
    """Return the tier of a row, with the largest difference that was recorded."""
    seen = [run.largest_scaled_difference for run in catalog.evidence(name) if run.task == task]
    tier: str = catalog.tiers(name)[task]
    return f"{tier} ({max(seen):.0e})" if seen else tier


def versions(catalog: Catalog) -> list[tuple[str, str, str, int]]:
    """Return backend, torch, transformers and the number of passed rows, for each set of versions."""
    runs = (run for name in catalog.names for run in catalog.evidence(name))
    count = Counter((run.backend, run.versions["torch"], run.versions["transformers"]) for run in runs)
    return [(*key, rows) for key, rows in sorted(count.items())]


def bounds(catalog: Catalog, names: list[str]) -> list[dict[str, Any]]:
    """Return the versions of packages that architectures need."""
    return [
        {"name": name, "package": package, **bound.model_dump()}
        for name in names
        for package, bound in catalog.get(name).requires.items()
    ]


def listed(catalog: Catalog, names: list[str], key: str) -> list[dict[str, Any]]:
    """Return all entries of a list in the YAML files, each with its architecture's name."""
    return [
        {"name": name, **entry.model_dump()} for name in names for entry in getattr(catalog.get(name), key)
    ]


def stale() -> list[Path]:
    """Return the pages that are missing, out of date or left over."""
    texts = page_texts()
    wrong = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    return wrong + [path for path in PAGES.glob("*") if path not in texts]


def main() -> int:
    """Write the pages, or check them."""
    if "--check" in sys.argv[1:]:
        wrong = stale()
        for path in wrong:
            print(f"{path.name} is not current: run python tools/generate_pages.py", file=sys.stderr)
        return 1 if wrong else 0
    PAGES.mkdir(exist_ok=True)
    for path in stale():
        path.unlink(missing_ok=True)
    for path, text in page_texts().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
