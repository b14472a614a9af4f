"""Write a report where its sweep is, or into a folder."""

from __future__ import annotations

from pathlib import Path

from neuron_catalog.errors import RequestError
from neuron_catalog.storage.stores import Store, is_url
from neuron_catalog.sweeping.destination import Destination
from neuron_catalog.sweeping.report.facts import Report, report_of
from neuron_catalog.sweeping.report.page import as_page
from neuron_catalog.sweeping.report.texts import as_json, as_markdown

FORMS = {"report.html": as_page, "report.json": as_json, "report.md": as_markdown}


def write_report(destination: Destination, out: str | None = None) -> tuple[str, ...]:
    """Write what has become of a sweep so far, in three forms; return where they are.

    Raises:
        RequestError: if there is no sweep, the store cannot be reached, or nothing can be written.
    """
    place = destination.place
    to = place if out is None else out
    folder = "" if _same(to, place) else _address(place)
    report = report_of(place, destination.record().jobs, destination.outcomes(), folder)
    return tuple(_written(report, to, name) for name in FORMS)


def _same(one: str, other: str) -> bool:
    if is_url(one) or is_url(other):
        return one.rstrip("/") == other.rstrip("/")
    return Path(one).resolve() == Path(other).resolve()


def _address(place: str) -> str:
    return place.rstrip("/") + "/" if is_url(place) else f"{Path(place).absolute().as_uri()}/"


def _written(report: Report, to: str, name: str) -> str:
    content = FORMS[name](report).encode()
    if is_url(to):
        store = Store(to)
        store.write(name, content)
        return f"{to.rstrip('/')}/{name}"
    path = Path(to) / name
    beside = path.with_name(f".{name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise RequestError(
            f"{path} could not be written: {error.strerror}.", "Choose another folder with --out."
        ) from error
    return str(path)
