"""Write `docs/codes/*.md` from the codes and tests/bad_catalog; `--check` tells whether they are current."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neuron_catalog.authoring.rewriting import rewrite
from neuron_catalog.catalog.codes import CODES
from neuron_catalog.catalog.evidence import read_evidence
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.loader import kind_of, load
from neuron_catalog.catalog.source import read_yaml
from neuron_catalog.errors import CatalogError, Finding
from neuron_catalog.schema.kinds import DOCUMENTS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "codes"
BAD = ROOT / "tests" / "bad_catalog"

GROUPS = {
    "NC1": "The text of a file",
    "NC2": "The content of a file",
    "NC3": "Names that other files define",
    "NC4": "Evidence",
}
EXAMPLES = {
    "NC103": "yaml/colon_in_text.yaml",
    "NC104": "yaml/two_documents.yaml",
    "NC105": "yaml/anchor_and_alias.yaml",
    "NC106": "yaml/tag_python.yaml",
    "NC107": "yaml/deep_lists.yaml",
    "NC108": "yaml/duplicate_key.yaml",
    "NC109": "yaml/key_integer.yaml",
    "NC110": "yaml/exponent_without_point.yaml",
    "NC201": "schema/architecture/missing_key.yaml",
    "NC202": "schema/architecture/tiny_misspelt_config.yaml",
    "NC203": "schema/architecture/mandatory_axes_as_text.yaml",
    "NC301": "checks/architecture_in_another_file",
    "NC302": "checks/unknown_task",
    "NC303": "checks/output_without_shape_for_the_task",
    "NC304": "checks/mandatory_axis_left_out",
    "NC305": "checks/random_ids_without_below",
    "NC306": "checks/condition_on_a_misspelt_task",
    "NC307": "checks/tiny_axis_left_out",
    "NC308": "checks/looser_atol_without_reason",
    "NC309": "checks/version_bound",
    "NC310": "checks/synonym_of_two_tasks",
    "NC311": "checks/limit_with_two_bounds",
    "NC312": "checks/listed_twice",
    "NC313": "checks/config_lacks_a_dim",
    "NC314": "checks/task_of_another_library",
}
"""Code → the file, or folder in front of the surroundings, that shows it."""


class Made(NamedTuple):
    """An example that cannot lie in tests/bad_catalog; the finding is made afresh each time."""

    told: str
    path: str
    content: bytes | None
    read: Callable[[Path], object]
    command: str = "check"


MADE = {
    "NC100": Made("A file that does not exist.", "architectures/toy.yaml", None, read_yaml),
    "NC101": Made("A file of 70,000 bytes.", "architectures/toy.yaml", b"#" * 70_000, read_yaml),
    "NC102": Made("A `é` in Latin-1.", "architectures/toy.yaml", b"summary: Jou\xe9t\n", read_yaml),
    "NC111": Made(
        "`ratio: 123456789012345678.0e+99`, whose shortest spelling has an exponent of three digits.",
        "architectures/toy.yaml",
        b"tiny: {config: {ratio: 123456789012345678.0e+99}}\n",
        rewrite,
        "check --fix",
    ),
    "NC200": Made("A file with another suffix.", "architectures/toy.yml", b"", kind_of),
    "NC400": Made("A line written by hand.", "evidence/toy.jsonl", b'{"task": "x"}\n', read_evidence, "list"),
}


def page_texts() -> dict[Path, str]:
    """Return path → text of every generated page."""
    jinja = Environment(
        loader=FileSystemLoader(ROOT / "tools" / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
        lstrip_blocks=True,
    )
    page = jinja.get_template("code.md.j2")
    texts = {
        PAGES / f"{name}.md": page.render(name=name, code=CODES[name], **example(name)) for name in CODES
    }
    groups = [
        (heading, [(name, code) for name, code in CODES.items() if name.startswith(begin)])
        for begin, heading in GROUPS.items()
    ]
    return {**texts, PAGES / "README.md": jinja.get_template("codes.md.j2").render(groups=groups)}


def example(name: str) -> dict[str, object]:
    """Return what a page shows: a snippet, or words, and the findings without the folder before the file."""
    if name in MADE:
        made = MADE[name]
        return {
            "snippet": "",
            "told": made.told,
            "command": made.command,
            "case": "",
            "findings": said_of(made),
        }
    case = BAD / EXAMPLES[name]
    folder, findings = findings_of(case)
    shown = [finding for finding in findings if finding.code == name]
    file = shown[0].file
    lines = file.read_text(encoding="utf-8").splitlines()
    return {
        "file": file.relative_to(folder),
        "snippet": "\n".join(snippet(lines, [each.line for each in shown if each.file == file])),
        "findings": [told(each, folder) for each in shown],
        "command": "check",
        "case": EXAMPLES[name],
    }


def findings_of(case: Path) -> tuple[Path, tuple[Finding, ...]]:
    """Return the folder that paths are told from, and everything wrong in an example."""
    if case.is_dir():
        return case, Catalog((case, BAD / "surroundings")).check(sorted(case.rglob("*.yaml")))
    kind = case.relative_to(BAD).parts[1]
    try:
        load(case, DOCUMENTS[kind]) if kind in DOCUMENTS else read_yaml(case)
    except CatalogError as error:
        return case.parent, error.findings
    raise AssertionError(f"{case} has no mistake")


def said_of(made: Made) -> list[str]:
    """Make the file of an example and return what is said of it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / made.path
        file.parent.mkdir()
        if (content := made.content) is not None:
            file.write_bytes(content)
        try:
            made.read(file)
        except CatalogError as error:
            return [told(finding, folder) for finding in error.findings]
    raise AssertionError(f"{made.path} has no mistake")


def told(finding: Finding, folder: Path) -> str:
    """Return a finding as the command line prints it, with its file as seen from `folder`."""
    return str(finding).replace(str(finding.file), finding.file.relative_to(folder).as_posix(), 1)


def snippet(lines: list[str], numbers: Iterable[int]) -> list[str]:
    """Return the numbered lines with one before and after each, and the keys that they stand under."""
    kept: set[int] = set()
    for number in numbers:
        kept.update(range(max(1, number - 1), min(len(lines), number + 1) + 1))
        indent = indentation(lines[number - 1])
        for above in range(number - 1, 0, -1):
            if indentation(lines[above - 1]) < indent:
                indent = indentation(lines[above - 1])
                kept.add(above)
    shown = sorted(kept)
    cut = [lines[shown[0] - 1]]
    for before, number in pairwise(shown):
        cut += ["# …"] * (number > before + 1) + [lines[number - 1]]
    return ["# …"] * (shown[0] > 1) + cut + ["# …"] * (shown[-1] < len(lines))


def indentation(line: str) -> int:
    """Return the number of spaces before a line's text."""
    return len(line) - len(line.lstrip(" "))


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
            print(f"{path.name} is not current: run python tools/generate_code_pages.py", file=sys.stderr)
        return 1 if wrong else 0
    PAGES.mkdir(exist_ok=True)
    for path in stale():
        path.unlink(missing_ok=True)
    for path, text in page_texts().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
