"""Write docs/neuron-*.md from the documented facts of the SDK; `--check` tells whether they are current."""

from __future__ import annotations

import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neuron_catalog.sdk.compiler_errors import compiler_errors
from neuron_catalog.sdk.operators import Operators, Rule, operators

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DOCUMENTS = "https://awsdocs-neuron.readthedocs-hosted.com/en"
"""The documentation of each version of the SDK: the pages of errors are taken from the newest one."""


def page_texts() -> dict[Path, str]:
    """Return path → text of every generated page."""
    jinja = Environment(
        loader=FileSystemLoader(ROOT / "tools" / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
        lstrip_blocks=True,
    )
    jinja.filters["page"] = linked
    said = operators()
    facts = {
        "neuron-compiler-errors": {"errors": list(compiler_errors().values())},
        "neuron-operators": {
            "source": said.operators.source,
            "listed": listed(said),
            "elsewhere": said.elsewhere,
            "custom_calls": said.custom_calls,
            "rules": [(subject(rule), rule) for rule in said.rules],
        },
    }
    return {
        DOCS / f"{name}.md": jinja.get_template(f"{name}.md.j2").render(each) for name, each in facts.items()
    }


def linked(source: str) -> str:
    """Return a link to a page of the SDK's documentation, called by the last part of its path."""
    path = Path(source).with_suffix("")
    name = path.parent.name if path.name == "index" else path.name
    version = "latest" if path.parent.name == "error-codes" else "v2.32.0"
    return f"[{name}]({DOCUMENTS}/{version}/{path.as_posix()}.html)"


def listed(said: Operators) -> list[tuple[str, str, str]]:
    """Return opcode, its names in the list, and the limits that the list tells of."""
    names: dict[str, list[str]] = {}
    for name, opcode in said.operators.opcodes.items():
        names.setdefault(opcode, []).append(name)
    return [(each, ", ".join(names[each]), said.operators.limits.get(each, "")) for each in sorted(names)]


def subject(rule: Rule) -> str:
    """Say which instructions a rule is about."""
    about = [f"`{each}`" for each in (*rule.opcodes, *rule.targets)]
    types = [f"`{each}`" for each in rule.types]
    parts = [", ".join(about) or "all", f"of {', '.join(types)}" if types else ""]
    return " ".join(filter(None, [*parts, "with a dynamic shape" if rule.dynamic else ""]))


def stale() -> list[Path]:
    """Return the pages that are missing or out of date."""
    texts = page_texts()
    return [path for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]


def main() -> int:
    """Write the pages, or check them."""
    if "--check" in sys.argv[1:]:
        wrong = stale()
        for path in wrong:
            print(f"{path.name} is not current: run python tools/generate_neuron_pages.py", file=sys.stderr)
        return 1 if wrong else 0
    for path, text in page_texts().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
