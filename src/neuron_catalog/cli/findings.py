"""Findings as other programs want them: JSON, commands of GitHub Actions, SARIF."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from neuron_catalog.errors import Finding
from neuron_catalog.version import __version__

if TYPE_CHECKING:
    from neuron_catalog.catalog.codes import Code

Format = Literal["text", "json", "github", "sarif"]


def as_json(findings: Iterable[Finding]) -> str:
    """Return a JSON list with an object for each finding."""
    return json.dumps([{**vars(finding), "file": str(finding.file)} for finding in findings], indent=2)


def github(findings: Iterable[Finding]) -> str:
    """Return a workflow command for each finding; GitHub Actions shows them beside the changed lines."""
    return "\n".join(map(_command, findings))


def sarif(findings: Sequence[Finding]) -> str:
    """Return a report in SARIF 2.1.0, with every code as a rule."""
    from neuron_catalog.catalog.codes import CODES

    position = {name: number for number, name in enumerate(CODES)}
    address = documentation()
    rules = [_rule(name, code, address) for name, code in CODES.items()]
    driver = {"name": "neuron-catalog", "version": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, position[finding.code]) for finding in findings],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


FORMATS: dict[Format, Callable[[Sequence[Finding]], str]] = {
    "json": as_json,
    "github": github,
    "sarif": sarif,
}
"""Format → how findings are written in it. In plain text they are an error, which `cli.main` reports."""


def documentation() -> str | None:
    """Return the address of the documentation that the package names in its metadata, if it does."""
    from importlib import metadata

    try:
        labels = metadata.metadata("neuron-catalog").get_all("Project-URL") or ()
    except metadata.PackageNotFoundError:  # run from its sources
        return None
    addresses = dict(label.split(", ", 1) for label in labels)
    return addresses.get("Documentation")


def _relative(path: Path) -> Path:
    """Return a path as seen from the running folder, if it lies in there."""
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute


def _message(finding: Finding) -> str:
    return f"{finding.message}; {finding.fix}" if finding.fix else finding.message


def _command(finding: Finding) -> str:
    """Write one command; what GitHub takes for its own signs is escaped as its runner decodes it."""
    data = _message(finding).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    file = _relative(finding.file).as_posix().replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    file = file.replace(":", "%3A").replace(",", "%2C")
    return f"::error file={file},line={finding.line},col={finding.column},title={finding.code}::{data}"


def _rule(name: str, code: Code, address: str | None) -> dict[str, Any]:
    page = {"helpUri": f"{address.rstrip('/')}/codes/{name}.md"} if address else {}
    return {
        "id": name,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.wrong},
        "help": {"text": code.mend},
        **page,
    }


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    path = _relative(finding.file)
    address = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    place = {
        "artifactLocation": {"uri": address},
        "region": {"startLine": finding.line, "startColumn": finding.column},
    }
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": "error",
        "message": {"text": _message(finding)},
        "locations": [{"physicalLocation": place}],
    }
