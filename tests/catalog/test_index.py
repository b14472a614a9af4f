"""Finding documents by name: folders in front hide what lies behind, and broken files stay alone."""

import os
from pathlib import Path

import pytest

import neuron_catalog
from neuron_catalog.catalog.index import Catalog, load_catalog
from neuron_catalog.errors import CatalogError, RequestError

SURROUNDINGS = Path(__file__).parents[1] / "bad_catalog" / "surroundings"
TOY = (SURROUNDINGS / "architectures" / "toy.yaml").read_text("utf-8")
FAMILY = (SURROUNDINGS / "families" / "toys.yaml").read_text("utf-8")
SMALL_TOY = TOY.replace("  text-classification: [logits]\n", "").replace(
    "when: [{task: fill-mask}, {config: type_vocab_size, above: 0}]",
    "when: {config: type_vocab_size, above: 0}",
)


@pytest.fixture
def overlay(tmp_path):
    """Write files into a folder of the given name; returns the folder."""

    def write(name, files):
        for place, text in files.items():
            path = tmp_path / name / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def toy(name, **changes):
    text = TOY.replace("architecture: toy", f"architecture: {name}")
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def cause(caught):
    return caught.value.cause


def test_names_are_sorted():
    names = load_catalog().architectures
    assert list(names) == sorted(names)
    assert {"bert", "esm", "xlm-roberta"} <= set(names)


def test_the_shipped_catalog_is_right():
    assert load_catalog().check() == ()


def test_a_folder_in_front_hides_the_same_name_as_a_whole(overlay):
    front = overlay("front", {"architectures/toy.yaml": SMALL_TOY})
    catalog = Catalog((front, SURROUNDINGS))
    assert catalog.file_of("toy") == front / "architectures" / "toy.yaml"
    assert catalog.supported_tasks("toy") == ("fill-mask",)
    assert Catalog((SURROUNDINGS, front)).supported_tasks("toy") == ("fill-mask", "text-classification")


def test_a_folder_in_front_adds_names(overlay):
    front = overlay("front", {"architectures/another.yaml": toy("another")})
    assert Catalog((front, SURROUNDINGS)).architectures == ("another", "toy")


def test_a_family_in_front_hides_the_one_behind_as_a_whole(overlay):
    without = FAMILY[: FAMILY.index("  token_type_ids:")] + FAMILY[FAMILY.index("outputs:") :]
    catalog = Catalog((overlay("front", {"families/toys.yaml": without}), SURROUNDINGS))
    assert set(catalog.families["toys"].inputs) == {"input_ids", "attention_mask"}
    with pytest.raises(CatalogError, match="unknown input 'token_type_ids'"):
        catalog.get("toy")


def test_tasks_in_front_hide_tasks_of_the_same_name_only(overlay):
    text = (
        "tasks:\n"
        "  fill-mask: {summary: Another one., auto_class: AutoModel, runtime_class: Model}\n"
        "  ranking: {summary: A new one., auto_class: AutoModel, runtime_class: Model}\n"
    )
    tasks = Catalog((overlay("front", {"tasks.yaml": text}), SURROUNDINGS)).tasks
    assert set(tasks) == {"fill-mask", "multiple-choice", "ranking", "text-classification"}
    assert tasks["fill-mask"].summary == "Another one."
    assert tasks["fill-mask"].synonyms == ()
    assert tasks["multiple-choice"].auto_class == "AutoModelForMultipleChoice"


def test_normalized_configs_in_front_hide_sets_of_the_same_name_as_a_whole(overlay):
    text = "normalized_configs:\n  plain: {vocab_size: n_words}\n  new: {vocab_size: words}\n"
    found = Catalog((overlay("front", {"normalized_configs.yaml": text}), SURROUNDINGS)).normalized_configs
    assert {name: dict(found[name]) for name in ("plain", "new")} == {
        "plain": {"vocab_size": "n_words"},
        "new": {"vocab_size": "words"},
    }
    assert set(found) == {"new", "part", "plain", "whole"}


def test_given_folders_come_first_then_the_variable_then_the_shipped_catalog(overlay, monkeypatch):
    first, second, third = (
        overlay(name, {"tasks.yaml": "tasks: {}"}) for name in ("first", "second", "third")
    )
    monkeypatch.setenv("NEURON_CATALOG_PATH", f"{second}{os.pathsep}{os.pathsep}{third}")
    catalog = load_catalog([first])
    assert catalog.folders == (first, second, third, *load_catalog().folders[2:])
    assert catalog.folders[-1].name in ("catalog", "_catalog")


def test_an_empty_variable_adds_nothing(monkeypatch):
    shipped = load_catalog().folders
    monkeypatch.setenv("NEURON_CATALOG_PATH", "")
    assert load_catalog().folders == shipped


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RequestError) as caught:
        load_catalog([tmp_path / "none"])
    assert cause(caught) == f"The catalog folder {tmp_path / 'none'} does not exist."


def test_a_missing_folder_of_the_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURON_CATALOG_PATH", str(tmp_path / "none"))
    with pytest.raises(RequestError) as caught:
        load_catalog()
    assert str(tmp_path / "none") in cause(caught)
    assert "NEURON_CATALOG_PATH" in caught.value.remedy


@pytest.mark.parametrize("call", ["file_of", "get", "supported_tasks"])
def test_an_unknown_architecture_brings_the_nearest_names(catalog, call):
    with pytest.raises(RequestError) as caught:
        getattr(catalog, call)("robertta")
    assert cause(caught).startswith("The catalog has no architecture 'robertta'; did you mean roberta or ")


def test_an_architecture_like_no_other_brings_all_names():
    with pytest.raises(RequestError) as caught:
        Catalog((SURROUNDINGS,)).get("whisper")
    assert cause(caught) == (
        "The catalog has no architecture 'whisper'; known are: denoiser, packer, pictures, toy, unpacker"
    )


def test_an_unknown_task_brings_the_nearest_name(catalog):
    with pytest.raises(RequestError) as caught:
        catalog.task_name("fill-maks")
    assert cause(caught) == "There is no task 'fill-maks'; did you mean fill-mask?"


def test_every_synonym_names_its_task(catalog):
    for name, task in catalog.tasks.items():
        assert {catalog.task_name(word) for word in (name, *task.synonyms)} == {name}


def test_synonyms_work_where_a_task_is_asked_for(catalog):
    assert catalog.supported_task("bert", "ner") == "token-classification"
    assert catalog.mandatory_axes("bert", "masked-lm") == ("batch_size", "sequence_length")


def test_the_name_of_a_task_wins_over_a_synonym_of_another(overlay):
    text = "tasks:\n  masked-lm:\n    summary: A task.\n    auto_class: AutoModel\n    runtime_class: Model\n"
    catalog = Catalog((overlay("front", {"tasks.yaml": text}), SURROUNDINGS))
    assert catalog.task_name("masked-lm") == "masked-lm"


def test_an_unsupported_task_brings_the_supported_ones(catalog):
    with pytest.raises(RequestError) as caught:
        catalog.mandatory_axes("phi", "fill-mask")
    supported = "feature-extraction, text-classification, token-classification, text-generation"
    assert cause(caught) == f"phi has no task 'fill-mask'; it supports: {supported}."


def test_the_package_answers_for_the_default_catalog(catalog):
    assert neuron_catalog.supported_tasks("esm") == catalog.supported_tasks("esm")
    assert neuron_catalog.mandatory_axes("bert", "multiple-choice") == (
        "batch_size",
        "sequence_length",
        "num_choices",
    )


def test_a_broken_architecture_leaves_the_others_alone(overlay):
    front = overlay(
        "front", {"architectures/broken.yaml": "architecture: [", "architectures/odd.yaml": "{}\n"}
    )
    catalog = Catalog((front, SURROUNDINGS))
    assert catalog.architectures == ("broken", "odd", "toy")
    assert catalog.get("toy").architecture == "toy"
    for name in ("broken", "odd"):
        with pytest.raises(CatalogError, match=f"{name}.yaml"):
            catalog.get(name)


def test_a_broken_family_is_reported_at_its_own_file(overlay):
    front = overlay("front", {"families/toys.yaml": FAMILY.replace("fill: random_ids", "fill: random", 1)})
    catalog = Catalog((front, SURROUNDINGS))
    with pytest.raises(CatalogError) as caught:
        catalog.get("toy")
    assert [finding.file for finding in caught.value.findings] == [front / "families" / "toys.yaml"]


def test_a_broken_family_leaves_architectures_of_other_families_alone(overlay):
    front = overlay(
        "front", {"families/others.yaml": "family: [\n", "architectures/b.yaml": toy("b", plain="plane")}
    )
    catalog = Catalog((front, SURROUNDINGS))
    assert catalog.get("toy").family == "toys"
    assert [(finding.file.name, finding.code) for finding in catalog.check()] == [
        ("b.yaml", "NC302"),
        ("others.yaml", "NC103"),
    ]


@pytest.mark.parametrize(("name", "kind"), [("unet", "component"), ("stable-diffusion", "pipeline")])
def test_a_part_or_a_pipeline_is_no_architecture(catalog, name, kind):
    assert name in catalog.names
    assert name not in catalog.architectures
    assert catalog.file_of(name) == catalog.folders[-1] / f"{kind}s" / f"{name}.yaml"
    with pytest.raises(RequestError, match=f"{name} is a {kind}, and no architecture: it has no tasks"):
        catalog.get(name)


def test_rows_are_tasks_or_uses_and_a_component_has_one(catalog):
    assert catalog.rows("esm") == catalog.supported_tasks("esm")
    assert catalog.rows("unet") == ("",)
    assert catalog.rows("latent-consistency") == ("text-to-image",)


def test_a_component_in_front_hides_the_one_behind_as_a_whole(overlay):
    text = (SURROUNDINGS / "components" / "denoiser.yaml").read_text("utf-8")
    front = overlay("front", {"components/denoiser.yaml": text.replace("ToyDenoiser", "OtherDenoiser")})
    assert Catalog((front, SURROUNDINGS)).components["denoiser"].model_class == "OtherDenoiser"
    assert Catalog((SURROUNDINGS, front)).components["denoiser"].model_class == "ToyDenoiser"


def test_a_broken_component_leaves_all_but_its_pipelines_alone(overlay):
    front = overlay("front", {"components/packer.yaml": "component: [\n"})
    catalog = Catalog((front, SURROUNDINGS))
    assert "packer" in catalog.components
    assert catalog.get("toy").architecture == "toy"
    assert catalog.components["unpacker"].component == "unpacker"
    with pytest.raises(CatalogError) as caught:
        catalog.pipelines["pictures"]
    assert [finding.file for finding in caught.value.findings] == [front / "components" / "packer.yaml"]
    assert [finding.file.name for finding in catalog.check()] == ["packer.yaml"]


def test_check_reports_all_files_in_one_sorted_call(overlay):
    front = overlay(
        "front",
        {
            "architectures/b.yaml": toy("b", plain="plane"),
            "architectures/a.yaml": toy("a", batch_size="batch", summary="sumary"),
            "architectures/c.yaml": toy("c") + "atol: 1e-3\nwrapper: no\n",
            "families/others.yaml": FAMILY,
        },
    )
    findings = Catalog((front, SURROUNDINGS)).check()
    assert list(findings) == sorted(findings)
    assert [(f.file.relative_to(front).as_posix(), f.line, f.code) for f in findings] == [
        ("architectures/a.yaml", 3, "NC202"),
        ("architectures/b.yaml", 5, "NC302"),
        ("architectures/c.yaml", 19, "NC110"),
        ("architectures/c.yaml", 20, "NC110"),
        ("families/others.yaml", 1, "NC301"),
    ]


def test_check_of_some_files_leaves_the_others_out(overlay):
    front = overlay("front", {"architectures/a.yaml": "[]\n", "architectures/b.yaml": "[]\n"})
    catalog = Catalog((front, SURROUNDINGS))
    chosen = front / "architectures" / "b.yaml"
    assert [finding.file for finding in catalog.check([chosen])] == [chosen]


def test_check_reads_hidden_files_too(overlay):
    front = overlay("front", {"architectures/toy.yaml": TOY})
    behind = overlay("behind", {"architectures/toy.yaml": "[]\n"})
    findings = Catalog((front, behind, SURROUNDINGS)).check()
    assert [finding.file for finding in findings] == [behind / "architectures" / "toy.yaml"]


def test_check_reports_a_finding_once_however_many_files_meet_it(overlay):
    front = overlay("front", {"tasks.yaml": "tasks: []\n", "architectures/another.yaml": toy("another")})
    findings = Catalog((front, SURROUNDINGS)).check()
    assert [(finding.file, finding.code) for finding in findings] == [(front / "tasks.yaml", "NC203")]


def test_check_knows_files_by_a_path_relative_to_their_own_folder(overlay, monkeypatch):
    front = overlay("front", {"architectures/another.yaml": toy("another")})
    monkeypatch.chdir(front / "architectures")
    assert Catalog((front, SURROUNDINGS)).check([Path("another.yaml")]) == ()


def test_files_lists_every_file_of_every_folder(overlay):
    front = overlay(
        "front", {"architectures/toy.yaml": TOY, "architectures/notes.txt": "", "tasks.yaml": "{}"}
    )
    found = [path.relative_to(front.parent).as_posix() for path in Catalog((front,)).files()]
    assert found == ["front/tasks.yaml", "front/architectures/toy.yaml"]
    assert len(Catalog((front, SURROUNDINGS)).files()) == len(found) + len(Catalog((SURROUNDINGS,)).files())
