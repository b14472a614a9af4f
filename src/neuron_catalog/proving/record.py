"""Turn passed rows of a selftest into evidence."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from neuron_catalog.catalog.evidence import Evidence, key, write_evidence
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.names import named_after
from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.backends import BACKENDS
from neuron_catalog.exporting.comparisons import RELATIVE_BOUND
from neuron_catalog.proving.images import ALLOWED
from neuron_catalog.proving.selftest import Row
from neuron_catalog.version import __version__


def record(catalog: Catalog, rows: Iterable[Row]) -> int:
    """Write the passed rows into the catalogs that define their architectures; return how many.

    What was recorded of a row that fails now is withdrawn for these versions; the rest stands as it was.
    """
    done = list(rows)
    _require_no_doubles(done)
    for name in sorted({row.architecture for row in done}):
        own = [row for row in done if row.architecture == name]
        runs = [evidence_of(catalog, row) for row in own if row.passed]
        failed = [
            key(row.task, row.backend, versions_of(catalog, name, row.backend), row.compiler)
            for row in own
            if row.failed
        ]
        write_evidence(catalog.evidence_file(name), catalog.definition(name), runs, failed)
    return sum(row.passed for row in done)


def _require_no_doubles(rows: Iterable[Row]) -> None:
    """Refuse runs with a double of a package, which prove nothing.

    Raises:
        RequestError: naming the package.
    """
    for backend in {row.backend for row in rows}:
        for package, version in BACKENDS[backend].versions().items():
            if version.endswith("+double"):
                raise RequestError(
                    f"{package} {version} is a double for tests: what it ran proves nothing.",
                    "Record runs with the package itself.",
                )


def evidence_of(catalog: Catalog, row: Row) -> Evidence:
    """Describe a passed row as it will be recorded."""
    return Evidence(
        task=row.task,
        backend=row.backend,
        tier=tier_of(row),
        versions=versions_of(catalog, row.architecture, row.backend),
        date=row.date,
        definition=catalog.definition(row.architecture),
        checks={check.name: check.status for check in row.checks},
        reasons={check.name: check.detail for check in row.checks if check.status == "not_run"},
        largest_scaled_difference=scaled_difference(row),
        seconds=round(row.seconds, 1),
        compiler=row.compiler,
        graphs=row.observed,
    )


def tier_of(row: Row) -> Tier:
    """Return what a passed row proves: less than usual if its graph was compiled and could not be run."""
    was_run = any(check.name in ("values", "image") and check.status != "not_run" for check in row.checks)
    return BACKENDS[row.backend].TIER if was_run else "compiled"


def versions_of(catalog: Catalog, architecture: str, backend: str) -> dict[str, str]:
    """Return the versions of the packages that a run of an architecture rests on."""
    library = library_version(catalog, architecture)
    return plain_versions({"neuron-catalog": __version__, **BACKENDS[backend].versions(), **library})


def library_version(catalog: Catalog, architecture: str) -> dict[str, str]:
    """Return the version of the library that built the model, if it is another than transformers.

    A library that is not installed has none, and built nothing.
    """
    if architecture in catalog.pipelines:
        library = "diffusers"
    else:
        library = named_after(catalog.selection(architecture).library)
    try:
        return {} if library == "transformers" else {library: metadata.version(library)}
    except metadata.PackageNotFoundError:
        return {}


def plain_versions(versions: dict[str, str]) -> dict[str, str]:
    """Drop local build tags (`2.13.0+cpu`), which differ from machine to machine."""
    return {name: version.split("+")[0] for name, version in versions.items()}


def scaled_difference(row: Row) -> float:
    """Return the largest difference from eager as a share of the largest eager value, or of white."""
    values = next(check for check in row.checks if check.name in ("values", "image"))
    bound = RELATIVE_BOUND if values.name == "values" else ALLOWED
    shares = [d.largest / d.allowed * bound for d in values.differences if d.allowed]
    return float(f"{max(shares, default=0.0):.1e}")
