"""The card of an artifact, a README.md as the Hugging Face hub shows it: what the manifest says, for people.

It is written after the manifest, which has no digest of it. It says no more than the manifest does, and where
it comes from a checkpoint with a card, what that says of license and languages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from keyword import iskeyword
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neuron_catalog.composition import Composition
from neuron_catalog.exporting.markdown import Markdown, code, escaped
from neuron_catalog.inventory import CARD_NAME
from neuron_catalog.manifest import Check, Graph, InputTensor, Manifest, OutputTensor, Plan, Waiver
from neuron_catalog.models.source_cards import Said

TEMPLATES = Path(__file__).parent / "templates"

PIPELINE_TAGS = frozenset(
    [
        "any-to-any",
        "audio-classification",
        "audio-text-to-text",
        "audio-to-audio",
        "automatic-speech-recognition",
        "depth-estimation",
        "document-question-answering",
        "feature-extraction",
        "fill-mask",
        "graph-ml",
        "image-classification",
        "image-feature-extraction",
        "image-segmentation",
        "image-text-to-text",
        "image-to-3d",
        "image-to-image",
        "image-to-text",
        "image-to-video",
        "keypoint-detection",
        "mask-generation",
        "multiple-choice",
        "object-detection",
        "question-answering",
        "reinforcement-learning",
        "robotics",
        "sentence-similarity",
        "summarization",
        "table-question-answering",
        "table-to-text",
        "tabular-classification",
        "tabular-regression",
        "tabular-to-text",
        "text-classification",
        "text-generation",
        "text-ranking",
        "text-retrieval",
        "text-to-3d",
        "text-to-audio",
        "text-to-image",
        "text-to-speech",
        "text-to-video",
        "time-series-forecasting",
        "token-classification",
        "translation",
        "unconditional-image-generation",
        "video-classification",
        "video-text-to-text",
        "visual-document-retrieval",
        "visual-question-answering",
        "voice-activity-detection",
        "zero-shot-classification",
        "zero-shot-image-classification",
        "zero-shot-object-detection",
    ]
)
"""Tasks that the hub sorts models by: `PIPELINE_DATA` of huggingface.js. `text2text-generation` is left out:
transformers 5 has no pipeline for it."""

OUTCOMES = {"passed": "passed", "failed": "failed", "not_run": "not run", "deviates": "deviates by design"}

FILLED = {
    "rows": "may be smaller: filled up with rows",
    "right": "may be smaller: padded on the right",
    "left": "may be smaller: padded on the left",
    None: "must match",
}

UNKNOWN = {"_": "any size", "...": "any more"}
"""What dimensions are called whose size is whatever the model gives."""


def write_card(folder: Path, manifest: Manifest, said: Said | None = None) -> None:
    """Write the card of one model; `said` is what the card of its source says of license and languages."""
    _write(folder, card_of(manifest, said))


def write_pipeline_card(folder: Path, composition: Composition, said: Said | None = None) -> None:
    """Write the card of a whole pipeline, whose parts lie in `folder`."""
    parts = {name: Manifest.read(folder / name) for name in composition.parts}
    _write(folder, card_of_pipeline(composition, parts, said))


def card_of(manifest: Manifest, said: Said | None = None) -> str:
    """Return the card of one model."""
    plan, source = manifest.plan, manifest.source
    tags = _tags(manifest.backend.name, plan.architecture)
    origins = _origins([manifest]) if source.kind == "checkpoint" else []
    return _rendered(
        "model.md.j2",
        front=_front(plan.task, tags, origins, said or {}),
        manifest=manifest,
        labelled=_labelled(manifest),
        loader=_class_name(plan.runtime_class),
        said=said or {},
    )


def card_of_pipeline(
    composition: Composition, parts: Mapping[str, Manifest], said: Said | None = None
) -> str:
    """Return the card of a whole pipeline."""
    backends = {manifest.backend.name: manifest.backend for manifest in parts.values()}
    source = composition.source
    own = [source.model] if source.revision else []
    replaced = [parts[name] for name in source.others if name in parts]
    origins = [*own, *_origins(replaced)] if source.kind == "checkpoint" else []
    use = next((use for use in composition.uses if use in PIPELINE_TAGS), "")
    return _rendered(
        "pipeline.md.j2",
        front=_front(use, _tags(*backends, composition.pipeline), origins, said or {}),
        composition=composition,
        parts=parts,
        labelled=[(name, graph) for name, part in parts.items() for graph in part.graphs],
        backends=list(backends.values()),
        loader=_class_name(next(iter(composition.uses.values()), "")),
        said=said or {},
    )


def _write(folder: Path, card: str) -> None:
    (folder / CARD_NAME).write_bytes(card.encode("utf-8", "replace"))


def _rendered(template: str, **facts: Any) -> str:
    return _environment().get_template(template).render(**facts)


@cache
def _environment() -> Environment:
    """Whatever is put into a template is escaped, unless it is Markdown already."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=lambda value: value if hasattr(value, "__html__") else escaped(value),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": code,
        "codes": codes,
        "json": lambda value: json.dumps(value, ensure_ascii=False),
        "megabytes": lambda size: f"{size / 1e6:.2f} MB",
        "outcome": OUTCOMES.__getitem__,
        "filled": FILLED.__getitem__,
        "place": place,
        "shape": shape,
        "share": share,
        "sizes": sizes,
        "statuses": statuses,
        "waivers": waivers,
    }
    return environment


def _front(task: str, tags: Iterable[str], origins: list[str], said: Said) -> Markdown:
    """Return the YAML at the beginning of a card."""
    facts: dict[str, Any] = {
        **said,
        "library_name": "neuron-catalog",
        "pipeline_tag": task if task in PIPELINE_TAGS else None,
        "tags": list(tags),
        "base_model": origins[0] if len(origins) == 1 else origins or None,
    }
    told: dict[str, Any] = ModelCardData(**facts).to_dict()  # type: ignore[no-untyped-call]
    # Its own `to_yaml` strips the last value, and writes a line break of Unicode so that a space is read.
    printable = json.dumps(told, ensure_ascii=False).isprintable()
    return Markdown(yaml.safe_dump(told, sort_keys=False, allow_unicode=printable).removesuffix("\n"))


def _tags(*names: str) -> list[str]:
    neuron = ["neuron"] if any(name.startswith("neuron") for name in names[:-1]) else []
    return list(dict.fromkeys([*neuron, *names]))


def _origins(manifests: Iterable[Manifest]) -> list[str]:
    """Return the repositories of the hub that models came from: only those have a revision."""
    sources = (manifest.source for manifest in manifests)
    return list(dict.fromkeys(source.model for source in sources if source.revision))


def _labelled(manifest: Manifest) -> list[tuple[str, Graph]]:
    """Return the graphs, each with what it is called here: the only one needs no number."""
    one = len(manifest.graphs) == 1
    return [
        ("the graph" if one else f"graph {number}", graph) for number, graph in enumerate(manifest.graphs, 1)
    ]


def _class_name(name: str) -> Markdown:
    """Return a class to load an artifact with; what is no name does not get between lines of Python."""
    return Markdown(name if name.isidentifier() and not iskeyword(name) else "NeuronAutoModel")


def codes(names: Iterable[object]) -> Markdown:
    """Return names between backticks, with commas between them."""
    return Markdown(", ".join(map(code, names)))


def sizes(plan: Plan) -> str:
    """Return the sizes of a graph in words."""
    return ", ".join(f"{axis} {size}" for axis, size in plan.axes.items())


def shape(tensor: InputTensor | OutputTensor) -> str:
    """Return the dimensions of a tensor with their names, as far as they are known."""
    named = zip(tensor.axes, tensor.shape, strict=False)
    return ", ".join(UNKNOWN.get(axis, axis) if size is None else f"{axis} {size}" for axis, size in named)


def place(model: str, revision: str | None = None) -> str:
    """Return what a source is called: a folder by the last part of its path, a repository by its id."""
    looks_like_path = model.startswith(("/", ".", "~")) or model.count("/") > 1 or "\\" in model
    if revision or not looks_like_path:
        return model
    name = model.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return name if name.strip(".~") else "a folder"


def share(check: Check) -> str:
    """Return the largest difference as a share of what was allowed; nothing if none was measured."""
    found = [_part(each.largest, each.allowed) for each in check.differences]
    if not found:
        return ""
    percent = 100 * max(found)
    if 0 < percent < 0.01:
        return "less than 0.01 %"
    if not math.isfinite(percent):
        return "no number"
    return f"{percent:,.0f} %" if percent >= 1000 else f"{percent:.3g} %"


def _part(largest: float, allowed: float) -> float:
    """Return a share; what cannot be told is the largest of all."""
    if math.isfinite(largest) and allowed > 0:
        return largest / allowed
    return 0.0 if largest == 0 else math.inf


def statuses(labelled: Iterable[tuple[str, Graph]]) -> set[str]:
    """Return the outcomes that the checks of graphs had."""
    return {check.status for _, graph in labelled for check in graph.checks}


def waivers(labelled: Iterable[tuple[str, Graph]], by_label: bool = False) -> dict[tuple[str, Waiver], None]:
    """Return what graphs break by design, each once; those of several parts with the name of the part."""
    found = ((label, waiver) for label, graph in labelled for waiver in graph.plan.waivers)
    return {(label if by_label else "", waiver): None for label, waiver in found}
