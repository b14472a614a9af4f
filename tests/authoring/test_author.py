"""`new` writes a file that passes, without a human, and says in a sentence what it cannot do."""

import pytest
import yaml
from transformers import CONFIG_MAPPING

from neuron_catalog import RequestError
from neuron_catalog.authoring.anatomy import checkpoint_of, dissect
from neuron_catalog.authoring.author import author
from neuron_catalog.authoring.compose import families_for
from neuron_catalog.authoring.draft import Draft
from neuron_catalog.authoring.revisions import revised
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.manifest import Check, Difference
from neuron_catalog.proving.selftest import Row, selftest

EXAMPLES = {
    "gpt2": ("causal-decoder", {"feature-extraction", "text-classification", "text-generation"}),
    "bert": ("text-encoder", {"feature-extraction", "fill-mask", "multiple-choice"}),
    "t5": ("text-to-text", {"feature-extraction", "text2text-generation"}),
    "vit": ("image-encoder", {"feature-extraction", "image-classification", "masked-im"}),
    "wav2vec2": ("audio-encoder", {"automatic-speech-recognition", "audio-xvector"}),
    "clip": ("text-image-encoder", {"zero-shot-image-classification", "image-classification"}),
    "llava": ("image-text-to-text", {"feature-extraction", "image-text-to-text"}),
    "videomae": ("video-encoder", {"feature-extraction", "video-classification"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("model_type", EXAMPLES)
def test_a_file_is_written_that_passes_without_an_edit(model_type, catalog, tmp_path):
    family, tasks = EXAMPLES[model_type]
    done = author(model_type, catalog)
    assert (done.draft.family, done.passed) == (family, True)
    assert tasks <= set(done.draft.tasks)
    folder = tmp_path / "architectures"
    folder.mkdir()
    (folder / f"{model_type}.yaml").write_text(done.draft.text())
    mine = Catalog([tmp_path, *catalog.folders])
    assert mine.check([folder / f"{model_type}.yaml"]) == ()
    rows = list(selftest(mine, [model_type]))
    assert {row.task for row in rows if row.passed} == set(done.draft.tasks)


def test_a_head_that_sees_the_future_predicts_no_next_token(catalog):
    done = author("bert", catalog)
    assert "text-generation" not in done.draft.tasks
    assert "not causal" in done.left_out["text-generation"]


def test_what_the_pad_id_decides_is_declared_with_the_reason(catalog):
    (deviation,) = author("gpt2", catalog).draft.deviations
    assert (deviation["check"], deviation["tasks"]) == ("masked_tokens_dead", ("text-classification",))
    assert "pad_token_id" in deviation["reason"]


def test_a_class_that_no_auto_class_knows_is_named(catalog):
    document = author("siglip_text_model", catalog).draft.document()
    assert document["model_classes"] == {"feature-extraction": "SiglipTextModel"}


@pytest.mark.parametrize("model_type", ["afmoe", "t5_gemma_module"])
def test_a_link_that_is_no_checkpoint_is_not_taken_for_one(model_type):
    assert checkpoint_of(CONFIG_MAPPING[model_type]) is None


def test_what_an_older_torch_refuses_is_cured_with_a_newer_one(catalog):
    assert "integer_padding" in author("falcon_mamba", catalog).draft.cures


def test_the_file_names_the_checkpoint_of_the_documentation_or_the_given_one(catalog):
    assert author("squeezebert", catalog).draft.checkpoint == "squeezebert/squeezebert-uncased"
    assert author("squeezebert", catalog, checkpoint="me/mine").draft.checkpoint == "me/mine"


def test_the_file_is_short_and_says_no_default(catalog):
    text = author("squeezebert", catalog).draft.text()
    assert len(text.splitlines()) < 40
    assert not {"wrapper", "library", "cures", "atol"} & set(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        ("berd", "does not know the model type 'berd'; did you mean bert"),
        ("clip_text_model_with_projection", "does not know"),
        ("sam_mask_decoder", "has no class for any task of the catalog"),
        ("clvp", "No family fits clvp"),
        ("layoutlmv2", "requires the detectron2 library"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(model_type, said, catalog):
    with pytest.raises(RequestError) as refused:
        author(model_type, catalog)
    assert said in refused.value.cause
    assert refused.value.remedy


def test_a_model_that_sees_is_never_written_as_one_that_reads_only(catalog):
    names = [family.family for family in families_for(dissect("llava", catalog), catalog)]
    assert "image-text-to-text" in names
    assert not {"text-encoder", "text-to-text"} & set(names)


def test_a_protein_is_never_left_out_of_a_text_about_it(catalog):
    names = [family.family for family in families_for(dissect("evolla", catalog), catalog)]
    assert names == ["text-about-protein"]


def test_what_continues_a_decoders_text_must_not_depend_on_what_follows(catalog):
    done = author("vision-encoder-decoder", catalog)
    assert (done.draft.family, list(done.draft.tasks)) == ("image-to-text", ["image-text-to-text"])


def draft(**changes):
    return Draft(
        **{
            "architecture": "toy",
            "family": "text-encoder",
            "summary": "A toy.",
            "checkpoint": "someone/toy",
            "normalized_config": "bert",
            "inputs": ("input_ids", "attention_mask", "token_type_ids"),
            "mandatory_axes": ("batch_size",),
            "tasks": {"fill-mask": ("logits",)},
            "tiny": {"config": {}, "axes": {}},
            **changes,
        }
    )


def failed(**checks):
    found = tuple(Check(name=name, status="failed", detail=detail) for name, detail in checks.items())
    return Row(architecture="toy", task="fill-mask", backend="torchscript", checks=found)


def head(catalog):
    return dissect("bert", catalog).heads[0]


def test_an_input_that_the_model_ignores_is_dropped_but_never_the_main_one(catalog):
    ignored = "token_type_ids has no effect on any output: the eager model ignores it too"
    better = revised(draft(), failed(inputs_alive=ignored), head(catalog))
    assert better.inputs == ("input_ids", "attention_mask")
    main = ignored.replace("token_type_ids", "input_ids")
    assert revised(draft(), failed(inputs_alive=main), head(catalog)) is None


def test_an_image_that_the_model_ignores_is_not_dropped(catalog):
    ignored = "pixel_values has no effect on any output: the eager model ignores it too"
    seeing = draft(inputs=("input_ids", "pixel_values"))
    assert revised(seeing, failed(inputs_alive=ignored), head(catalog)) is None


def test_a_value_baked_into_the_trace_is_no_reason_to_drop_an_input(catalog):
    baked = "token_type_ids has no effect on any output: its traced value was baked in"
    assert revised(draft(), failed(inputs_alive=baked), head(catalog)) is None


def test_a_cure_is_tried_once(catalog):
    row = Row(architecture="toy", task="fill-mask", backend="torchscript", error="unordered_map::at")
    better = revised(draft(), row, head(catalog))
    assert better.cures == ("broadcast_masks",)
    assert revised(better, row, head(catalog)) is None


def test_leaking_padding_is_not_excused_where_no_pad_id_is_looked_for(catalog):
    row = failed(masked_tokens_dead="logits differs by 1.0")
    assert revised(draft(), row, head(catalog)) is None


def test_a_part_that_names_the_input_of_the_whole_has_an_input_of_its_own(catalog):
    assert dissect("sam3_lite_text_text_model", catalog).main_input == "input_ids"
    assert dissect("blip_2_qformer", catalog).main_input == "query_embeds"
    assert dissect("vit", catalog).main_input == "pixel_values"


def test_a_byproduct_that_another_batch_changes_is_not_offered_but_logits_are_never_dropped(catalog):
    def row(*unsteady):
        seen = tuple(
            Difference(output=name, seed=3, largest=float(name in unsteady), allowed=0.1)
            for name in ("logits", "latents")
        )
        check = Check(name="rows_independent", status="failed", detail="differs", differences=seen)
        return Row(architecture="toy", task="fill-mask", backend="torchscript", checks=(check,))

    both = draft(tasks={"fill-mask": ("logits", "latents")})
    assert revised(both, row("latents"), head(catalog)).tasks == {"fill-mask": ("logits",)}
    assert revised(both, row("logits"), head(catalog)) is None
    assert revised(draft(), row("logits"), head(catalog)) is None
