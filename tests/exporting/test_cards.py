"""Cards of artifacts: valid for the hub, equal to the manifest, and of no weight for anything that runs."""

import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import leftovers
from transformers import AutoModelForMaskedLM

from neuron_catalog import NeuronAutoModel, NeuronModelForMaskedLM, load_artifact
from neuron_catalog.composition import AdapterRecord, intact_files
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.exporting.cards import card_of, card_of_pipeline
from neuron_catalog.exporting.exporter import export
from neuron_catalog.exporting.markdown import flat
from neuron_catalog.exporting.pipeline import export_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest
from neuron_catalog.exporting.request import ExportRequest
from neuron_catalog.inventory import CARD_NAME, MANIFEST_NAME
from neuron_catalog.manifest import Manifest, Waiver
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.source_cards import MOST_BYTES, front_matter
from neuron_catalog.storage.cache import CompileCache
from neuron_catalog.storage.home import PLACE

SIZES = {"batch_size": 1, "sequence_length": 8}
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def card_in(folder):
    """The card of an artifact, read as the hub's own client does it."""
    return ModelCard.load(folder / CARD_NAME, ignore_metadata_errors=False)


def rows(card, section, first):
    """The cells of the rows below the heading of a table, which is the one in a section that begins so."""
    _, table = card.text.split(f"\n## {section}\n", 1)[1].split(f"| {first} |", 1)
    lines = table.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def tiny(out, architecture="esm", task="fill-mask", **more):
    return export(ExportRequest(architecture=architecture, task=task, out=out, **more))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("esm") / "out").manifest


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A checkpoint that a test may change."""
    return shutil.copytree(checkpoint("bert", "fill-mask"), tmp_path / "my-bert")


def of_folder(folder, out, **more):
    return export(ExportRequest(model=str(folder), task="fill-mask", out=out, axes=SIZES, **more))


def test_the_card_of_a_tiny_model(artifact):
    card, manifest = card_in(artifact), Manifest.read(artifact)
    assert card.data.to_dict() == {
        "library_name": "neuron-catalog",
        "pipeline_tag": "fill-mask",
        "tags": ["torchscript", "esm"],
    }
    assert "tiny and random: it is of no use but to try the software" in card.text
    assert manifest.source.weights_sha256 in card.text
    assert "not run" not in card.text


def test_what_it_says_is_what_the_manifest_says(artifact):
    card, manifest = card_in(artifact), Manifest.read(artifact)
    plan, (graph,) = manifest.plan, manifest.graphs
    seen = [[check.name, check.status, check.detail] for check in graph.checks]
    told = [[name, outcome, detail] for _, name, outcome, _, detail in rows(card, "Checks", "graph")]
    assert told == seen
    tensors = rows(card, "Inputs and outputs", "graph")
    assert [(kind, name, dtype) for _, kind, name, dtype, _, _ in tensors] == [
        *(("input", tensor.name, tensor.dtype) for tensor in plan.inputs),
        *(("output", tensor.name, tensor.dtype) for tensor in plan.outputs),
    ]
    assert [row[4:] for row in tensors] == [
        ["batch_size 2, sequence_length 16", "1"],
        ["batch_size 2, sequence_length 16", "0"],
        ["batch_size 2, sequence_length 16, vocab_size 33", ""],
    ]
    assert rows(card, "Backend", "`torchscript`") == [
        *([f"version of {name}", version] for name, version in manifest.backend.versions.items()),
        *([f"argument `{name}", json.dumps(value)] for name, value in manifest.backend.arguments.items()),
    ]


@pytest.mark.parametrize(
    ("largest", "allowed", "told"),
    [
        (0.0, 1e-5, "0 %"),
        (2.5e-6, 1e-5, "25 %"),
        (1e-12, 1e-5, "less than 0.01 %"),
        (1.0, 1e-3, "100,000 %"),
        (0.0, 0.0, "0 %"),
        (1.0, 0.0, "no number"),
        (float("nan"), 1.0, "no number"),
    ],
)
def test_a_difference_is_a_share_of_what_was_allowed(largest, allowed, told, manifest):
    card = ModelCard(card_of(with_difference(manifest, largest, allowed)))
    told_of = {row[1]: row[3] for row in rows(card, "Checks", "graph")}
    assert told_of["values"] == told


def with_difference(manifest, largest, allowed):
    (graph,) = manifest.graphs
    checks = tuple(
        check.model_copy(
            update={
                "differences": tuple(
                    each.model_copy(update={"largest": largest, "allowed": allowed})
                    for each in check.differences
                )
            }
        )
        for check in graph.checks
    )
    return manifest.model_copy(update={"graphs": (graph.model_copy(update={"checks": checks}),)})


def test_its_python_loads_the_artifact(artifact):
    (block,) = PYTHON.findall(card_in(artifact).text)
    bound = {}
    exec(block.replace("FOLDER", str(artifact)), bound)
    model = bound["model"]
    assert isinstance(model, NeuronModelForMaskedLM)
    model(**make_inputs(model.manifest.plan, 1))


def test_two_exports_of_the_same_have_the_same_card(artifact, tmp_path):
    again = tiny(tmp_path / "elsewhere").folder
    assert (again / CARD_NAME).read_bytes() == (artifact / CARD_NAME).read_bytes()


def test_what_the_card_of_the_checkpoint_says_of_license_and_languages_is_taken_over(folder, tmp_path):
    (folder / CARD_NAME).write_text(
        "---\nlicense: other\nlicense_name: my-terms\nlicense_link: https://example.com/terms\n"
        "language:\n- en\n- no\ntags:\n- theirs\npipeline_tag: text-generation\n---\n# Their model\n"
    )
    exported = of_folder(folder, tmp_path / "out")
    data = card_in(exported.folder).data.to_dict()
    assert data == {
        "language": ["en", "no"],
        "license": "other",
        "license_name": "my-terms",
        "license_link": "https://example.com/terms",
        "library_name": "neuron-catalog",
        "pipeline_tag": "fill-mask",
        "tags": ["torchscript", "bert"],
    }
    assert CARD_NAME not in exported.manifest.files
    assert "Their model" not in card_in(exported.folder).text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"# no front matter",
        b"---\n: : {\n---\n# broken",
        b"---\n- license\n- mit\n---\n",
        b"---\nlicense: {a: mit}\nlanguage: [[en]]\nlicense_name: [a]\n---\n",
        b"---\nlicense: &a [*a]\n---\n",
        b"---\nlicense:\nlicense_name: ~\n---\n",
        b"---\nlicense: \xff\xfe\x00\n---\n",
        b"---\n" + b"[" * 100_000 + b"\n---\n",
        b"---\nlicense: mit\n---\n" + b" " * MOST_BYTES,
    ],
)
def test_a_card_that_says_nothing_of_use_fails_no_export(text, folder, tmp_path):
    (folder / CARD_NAME).write_bytes(text)
    exported = of_folder(folder, tmp_path / "out", validation=False)
    assert "license" not in card_in(exported.folder).data.to_dict()
    assert "The license is not known here." in card_in(exported.folder).text


def test_a_folder_in_place_of_the_card_fails_no_export(folder, tmp_path):
    (folder / CARD_NAME).mkdir()
    assert (
        "license" not in card_in(of_folder(folder, tmp_path / "out", validation=False).folder).data.to_dict()
    )


def test_no_path_of_this_machine_gets_into_the_card(folder, tmp_path):
    exported = of_folder(folder, tmp_path / "out")
    text = (exported.folder / CARD_NAME).read_text()
    assert exported.manifest.source.model == str(folder)
    assert str(tmp_path) not in text
    assert "From `my-bert`, which is no repository of the hub" in text
    assert "base_model" not in text


@pytest.mark.parametrize("name", [".", "..", "./", "~"])
def test_a_folder_without_a_name_has_none_in_the_card(name, manifest):
    source = manifest.source.model_copy(update={"kind": "checkpoint", "model": name})
    assert "From `a folder`, which" in card_of(manifest.model_copy(update={"source": source}))


def test_an_artifact_that_was_not_run_says_so(tmp_path):
    exported = tiny(tmp_path / "out", validation=False)
    card = card_in(exported.folder)
    assert "**The compiled graphs were not run when they were made.**\n" in card.text
    assert not exported.manifest.was_run
    checks = rows(card, "Checks", "graph")
    assert {(row[2], row[4]) for row in checks} == {("not run", "--disable-validation was given")}
    assert "passed" not in card.text
    assert "no check failed" not in card.text


def test_what_was_seen_before_a_compilation_without_a_device_is_told_apart(tmp_path, monkeypatch):
    here = {**vars(torchscript), "unable_to_run": lambda: "there is no device"}
    monkeypatch.setitem(backends.BACKENDS, "torchscript", type("Backend", (), _static(here)))
    card = card_in(tiny(tmp_path / "out").folder)
    assert "were not run when they were made.** What is listed with another outcome" in card.text
    assert "no check failed" not in card.text


def _static(functions):
    return {name: staticmethod(value) if callable(value) else value for name, value in functions.items()}


def test_each_of_several_graphs_is_told(tmp_path):
    exported = tiny(tmp_path / "out", axes={"batch_size": 2, "sequence_length": (8, 16)})
    card = card_in(exported.folder)
    assert [row[:2] for row in rows(card, "Sizes", "graph")] == [
        ["graph 1", "batch_size 2, sequence_length 8"],
        ["graph 2", "batch_size 2, sequence_length 16"],
    ]
    checks = rows(card, "Checks", "graph")
    assert [row[0] for row in checks] == ["graph 1"] * 7 + ["graph 2"] * 7


def test_the_functions_of_a_model_that_writes_are_told(tmp_path):
    exported = tiny(tmp_path / "out", "llama", "text-generation")
    card = card_in(exported.folder)
    assert card.data.pipeline_tag == "text-generation"
    told = rows(card, "Inputs and outputs", "function")
    assert [row[0] for row in told] == [part.name for part in exported.manifest.parts]
    assert [int(row[3]) for row in told] == [len(part.states) for part in exported.manifest.parts]


def test_a_task_that_the_hub_does_not_know_is_no_pipeline_tag(tmp_path):
    card = card_in(tiny(tmp_path / "out", "bert", "next-sentence-prediction", validation=False).folder)
    assert "pipeline_tag" not in card.data.to_dict()


def test_what_deviates_by_design_is_told_with_its_reason(tmp_path):
    exported = tiny(tmp_path / "out", "convbert")
    (waiver,) = exported.manifest.plan.waivers
    text = card_in(exported.folder).text
    assert f"By design it does not pass `{waiver.check}`: {waiver.reason}" in text
    assert "no check failed, but for what deviates by design" in text
    assert "| deviates by design |" in text


def test_a_tolerance_of_the_caller_is_told(tmp_path):
    card = card_in(tiny(tmp_path / "out", atol=0.5).folder)
    assert "The absolute tolerance was chosen by who exported it: 0.5." in card.text


def test_a_repository_of_the_hub_is_the_base_model(manifest):
    source = manifest.source.model_copy(
        update={"kind": "checkpoint", "model": "owner/bert", "revision": "a" * 40}
    )
    card = ModelCard(card_of(manifest.model_copy(update={"source": source})))
    assert card.data.base_model == "owner/bert"
    assert f"The repository `owner/bert` of the hub, at the revision `{'a' * 40}`." in card.text


@pytest.mark.parametrize(
    ("name", "tags"), [("neuronx", ["neuron", "neuronx", "esm"]), ("neuron", ["neuron", "esm"])]
)
def test_what_was_compiled_for_neuron_has_its_tag(name, tags, manifest):
    arguments = {"target": "trn1", "compiler_args": ["--target", "trn1", "--dump=/home/somebody/there/x"]}
    backend = manifest.backend.model_copy(update={"name": name, "arguments": arguments})
    card = ModelCard(card_of(manifest.model_copy(update={"backend": backend})))
    assert card.data.tags == tags
    assert "| argument `target` | `" + '"trn1"` |' in card.text
    assert "somebody" not in card.text


def test_a_card_that_is_edited_or_gone_disturbs_nothing(artifact, run):
    for change in (lambda path: path.write_text("# mine"), Path.unlink):
        change(artifact / CARD_NAME)
        assert run("verify", str(artifact))[0] == 0
        load_artifact(artifact)


def test_validate_leaves_an_edited_card_alone(artifact, run):
    (artifact / CARD_NAME).write_text("# mine")
    assert run("validate", str(artifact))[0] == 0
    assert (artifact / CARD_NAME).read_text() == "# mine"


def test_an_edited_card_is_saved_with_the_model(artifact, tmp_path):
    (artifact / CARD_NAME).write_text("# mine")
    folder = NeuronAutoModel.from_pretrained(artifact).save_pretrained(tmp_path / "saved")
    assert (folder / CARD_NAME).read_text() == "# mine"
    (artifact / CARD_NAME).unlink()
    folder = NeuronAutoModel.from_pretrained(artifact).save_pretrained(tmp_path / "without")
    assert leftovers(folder) == ["config.json", "model.pt", MANIFEST_NAME]


def test_a_card_that_links_out_of_the_artifact_is_not_copied(artifact, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (artifact / CARD_NAME).unlink()
    (artifact / CARD_NAME).symlink_to(tmp_path / "secret")
    folder = NeuronAutoModel.from_pretrained(artifact).save_pretrained(tmp_path / "saved")
    assert CARD_NAME not in leftovers(folder)


def test_the_compile_cache_neither_keeps_the_card_nor_lacks_it(folder, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    (folder / CARD_NAME).write_text("---\nlicense: mit\n---\n")
    other = shutil.copytree(folder, tmp_path / "their-bert")
    (other / CARD_NAME).write_text("---\nlicense: apache-2.0\n---\n")
    first, second = of_folder(folder, tmp_path / "one"), of_folder(other, tmp_path / "two")
    assert (first.recalled, second.recalled) == (False, True)
    (entry,) = CompileCache(tmp_path / "cache").entries()
    assert set(entry.files) == {*first.manifest.files, MANIFEST_NAME}
    assert CARD_NAME not in leftovers(CompileCache(tmp_path / "cache").place(entry.digest))
    one, two = card_in(first.folder), card_in(second.folder)
    assert (one.data.license, two.data.license) == ("mit", "apache-2.0")
    assert ("From `my-bert`" in one.text, "From `their-bert`" in two.text) == (True, True)
    assert one.text.replace("my-bert", "their-bert") == two.text


HOSTILE = st.text(min_size=1, max_size=40) | st.sampled_from(
    [
        "a|b\n---\nlicense: mit",
        "```\n# heading",
        "<script>alert(1)</script>",
        "[a](javascript:b)",
        "![x](http://example.com/x.png)",
        "`a` | `b",
        "\n\n---\n\n# mine",
        "{{ 7 * 7 }}{% raw %}",
        "*a* _b_ ~~c~~ $d$ \\",
        "\x85\u2028\u2029\x00\x1b[31m",
        "&lt;b&gt;",
    ]
)


def hostile_copy(manifest, name, reason):
    """A manifest in which all that a checkpoint or a YAML file can name has another name."""
    (graph,) = manifest.graphs
    inputs = tuple(tensor.model_copy(update={"name": name}) for tensor in graph.plan.inputs)
    plan = graph.plan.model_copy(
        update={
            "architecture": name,
            "runtime_class": name,
            "axes": {name: 1},
            "inputs": inputs,
            "waivers": (Waiver(check=name, reason=reason),),
        }
    )
    checks = tuple(check.model_copy(update={"detail": reason}) for check in graph.checks)
    graph = graph.model_copy(update={"plan": plan, "checks": checks})
    source = manifest.source.model_copy(
        update={"kind": "checkpoint", "model": name, "missing_weights": (reason,)}
    )
    backend = manifest.backend.model_copy(update={"versions": {name: reason}, "arguments": {name: [reason]}})
    return manifest.model_copy(update={"graphs": (graph,), "source": source, "backend": backend})


@given(name=HOSTILE, reason=HOSTILE)
def test_names_and_reasons_break_out_of_nothing(name, reason, manifest):
    content = card_of(hostile_copy(manifest, name, reason), {"license": reason, "language": [name, "en"]})
    card = ModelCard(content, ignore_metadata_errors=False)
    assert card.data.to_dict() == {
        "license": reason,
        "language": [name, "en"],
        "library_name": "neuron-catalog",
        "pipeline_tag": "fill-mask",
        "tags": list(dict.fromkeys(["torchscript", name])),
    }
    benign = ModelCard(card_of(hostile_copy(manifest, "name", "reason"), {"license": "mit"}))
    assert shape(card.text) == shape(benign.text)
    assert not re.search(r"<|\x1b|\x00", card.text)


def shape(text):
    """How many cells each line has, and of which rank it is as a heading."""
    return [(line.count("|"), len(line) - len(line.lstrip("#"))) for line in text.split("\n")]


@given(name=HOSTILE, reason=HOSTILE)
def test_a_reader_of_markdown_sees_the_very_text(name, reason, manifest):
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    text = ModelCard(card_of(hostile_copy(manifest, name, reason))).text
    tokens = parser.parse(text)
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "code_inline", "softbreak", "strong_open", "strong_close", "text_special"}
    blocks = {token.type for token in tokens}
    assert blocks.isdisjoint({"html_block", "hr", "blockquote_open", "list_item_open", "code_block"})
    inline = [seen_in(token) for token in tokens if token.type == "inline"]
    assert f"By design it does not pass {flat(name)}: {flat(reason)}".rstrip() in inline
    assert inline.count(flat(reason)) >= len(manifest.graphs[0].checks)


def seen_in(token):
    return "".join(child.content for child in token.children)


@given(said=st.dictionaries(st.sampled_from(["license", "license_name", "license_link"]), HOSTILE))
def test_what_is_taken_over_is_taken_over_as_it_is(said, manifest):
    card = ModelCard(card_of(manifest, said), ignore_metadata_errors=False)
    assert {name: card.data[name] for name in said} == said


@given(st.text(max_size=200) | st.text(alphabet="-: \nlicense[]{}&*!|>~#'\"", max_size=200))
def test_the_front_matter_of_others_never_fails(text):
    for card in (text, f"---\n{text}\n---\n"):
        said = front_matter(card)
        assert set(said) <= {"license", "license_name", "license_link", "language"}


@pytest.fixture(scope="module")
def pixart(catalog, tmp_path_factory):
    request = PipelineRequest(pipeline="pixart", out=tmp_path_factory.mktemp("pixart") / "out")
    return export_pipeline(request, catalog)


def parts_of(exported):
    return {name: Manifest.read(exported.folder / name) for name in exported.composition.parts}


def test_the_card_of_a_pipeline(pixart):
    card, parts = card_in(pixart.folder), parts_of(pixart)
    assert card.data.to_dict() == {
        "library_name": "neuron-catalog",
        "pipeline_tag": "text-to-image",
        "tags": ["torchscript", "pixart"],
    }
    assert "tiny and random: it is of no use" in card.text
    assert [row[0] for row in rows(card, "Where the weights came from", "part")] == list(parts)
    assert all(part.source.weights_sha256 in card.text for part in parts.values())
    checks = rows(card, "Checks", "part")
    expected = [
        [name, check.name, check.status.replace("_", " ")]
        for name, part in parts.items()
        for graph in part.graphs
        for check in graph.checks
    ]
    assert [row[:3] for row in checks] == expected


def test_a_pipeline_has_one_card_which_no_digest_covers(pixart, tmp_path):
    assert [path.relative_to(pixart.folder).as_posix() for path in pixart.folder.rglob(CARD_NAME)] == [
        CARD_NAME
    ]
    assert CARD_NAME not in pixart.composition.all_files(pixart.folder)
    folder = shutil.copytree(pixart.folder, tmp_path / "copy")
    (folder / CARD_NAME).write_text("# mine")
    intact_files(folder)


def test_the_python_of_a_pipeline_loads_it(pixart):
    (block,) = PYTHON.findall(card_in(pixart.folder).text)
    bound = {}
    exec(block.replace("FOLDER", str(pixart.folder)), bound)
    assert type(bound["pipeline"]).__name__ == "NeuronPixArtAlphaPipeline"


def test_a_pipeline_that_was_not_run_says_so(pixart):
    parts = {
        name: part.model_copy(
            update={
                "graphs": tuple(
                    graph.model_copy(
                        update={
                            "checks": tuple(
                                check.model_copy(update={"status": "not_run", "differences": ()})
                                for check in graph.checks
                            )
                        }
                    )
                    for graph in part.graphs
                )
            }
        )
        for name, part in parts_of(pixart).items()
    }
    text = card_of_pipeline(pixart.composition, parts)
    assert "**Of 3 parts 0 were run when they were made, and 0 count as verified.**" in text
    assert "| passed |" not in text


def test_the_base_models_of_a_pipeline_are_those_of_the_hub(pixart):
    parts = parts_of(pixart)
    source = parts["transformer"].source.model_copy(update={"model": "other/unet", "revision": "b" * 40})
    parts["transformer"] = parts["transformer"].model_copy(update={"source": source})
    adapters = (
        AdapterRecord(name="a|b", model="/home/somebody/lora", scale=0.5, sha256="c" * 64),
        AdapterRecord(name="style", model="owner/style", scale=1.0, sha256="d" * 64),
    )
    described = pixart.composition.source.model_copy(
        update={
            "kind": "checkpoint",
            "model": "owner/pixart",
            "revision": "a" * 40,
            "others": {"transformer": "other/unet", "text_encoder": "/home/somebody/encoder"},
            "adapters": adapters,
        }
    )
    composition = pixart.composition.model_copy(update={"source": described})
    card = ModelCard(card_of_pipeline(composition, parts, {"license": "mit"}))
    assert card.data.base_model == ["owner/pixart", "other/unet"]
    assert card.data.license == "mit"
    assert "somebody" not in card.text
    assert "The part `text_encoder` is of `encoder`." in card.text
    assert "The adapter a&#124;b was merged into them: `lora`, scale 0.5, SHA-256" in card.text
    assert "`owner/style`" in card.text


def test_a_pipeline_takes_over_the_license_of_its_checkpoint(saved, catalog, tmp_path):
    folder = saved("flux")
    (folder / CARD_NAME).write_text("---\nlicense: mit\n---\n# Theirs\n")
    axes = {"height": 64, "width": 48, "sequence_length": 24}
    request = PipelineRequest(model=str(folder), out=tmp_path / "out", axes=axes, validation=False)
    card = card_in(export_pipeline(request, catalog).folder)
    assert card.data.license == "mit"
    assert "From `checkpoint`, which is no repository of the hub" in card.text
    assert str(tmp_path) not in card.text


def test_other_weights_get_another_card(folder, tmp_path):
    (folder / CARD_NAME).write_text("---\nlicense: mit\n---\n")
    artifact = of_folder(folder, tmp_path / "out").folder
    model = NeuronAutoModel.from_pretrained(artifact)
    state = {name: 0.5 * value for name, value in weights_of(folder).items()}
    saved = model.replace_weights(state).save_pretrained(tmp_path / "saved")
    card, manifest = card_in(saved), Manifest.read(saved)
    assert manifest.source.weights_sha256 != Manifest.read(artifact).source.weights_sha256
    assert manifest.source.weights_sha256 in card.text
    assert "license" not in card.data.to_dict()
    assert "From `state dict`" in card.text


def weights_of(folder):
    return AutoModelForMaskedLM.from_pretrained(folder).state_dict()
