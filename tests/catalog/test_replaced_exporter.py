"""Every encoder row that the replaced exporter offers is offered here, with the same tensors and axes.

The rows were written out of its registry; a conditional input counts as selected. Where something
differs, it is listed here with the reason.
"""

import csv
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def rows(name):
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


TEXT = rows("replaced_exporter_text_rows.csv")
MEDIA = rows("replaced_exporter_media_rows.csv")
SENTENCE = rows("replaced_exporter_sentence_rows.csv")

FLAT = (
    "logits_per_image;logits_per_text;text_embeds;image_embeds;"
    "text_model_output.last_hidden_state;text_model_output.pooler_output;"
    "vision_model_output.last_hidden_state;vision_model_output.pooler_output"
)
CLIP_AXES = "text_batch_size;image_batch_size;sequence_length"

DIFFERENCES = {
    # a graph returns a flat tuple of tensors, so the two nested outputs are given as their tensors; the size
    # of the image is read from the config, as for all other image models
    ("clip", "feature-extraction"): {"outputs": FLAT, "axes": CLIP_AXES},
    ("clip", "zero-shot-image-classification"): {"outputs": FLAT, "axes": CLIP_AXES},
    ("sentence-transformers-clip", "feature-extraction"): {"axes": CLIP_AXES},
    ("sentence-transformers-clip", "sentence-similarity"): {"axes": CLIP_AXES},
    # no text goes in, so no size of texts is asked for
    ("clip", "image-classification"): {"axes": "image_batch_size"},
    # CvtConfig names no size of image
    ("cvt", "feature-extraction"): {"axes": "batch_size;height;width"},
    ("cvt", "image-classification"): {"axes": "batch_size;height;width"},
    # the input is a spectrogram of max_length frames, fixed by the config; samples of audio are no axis of it
    ("audio-spectrogram-transformer", "feature-extraction"): {"axes": "batch_size"},
    ("audio-spectrogram-transformer", "audio-classification"): {"axes": "batch_size"},
}

NOT_OFFERED = {
    # transformers 5.23 maps AutoModelForImageSegmentation to DETR only; the replaced exporter loaded the
    # class of semantic-segmentation under this name, which is offered
    ("mobilevit", "image-segmentation"),
}


SENTENCE_NAMES = {"transformer": "sentence-transformers", "clip": "sentence-transformers-clip"}
"""What the replaced exporter calls a model type of its library sentence_transformers → its name here."""

ROWS = [*TEXT, *MEDIA, *({**row, "model_type": SENTENCE_NAMES[row["model_type"]]} for row in SENTENCE)]


def key(row):
    return row["model_type"], row["task"]


def test_the_tables_are_whole():
    assert (len(TEXT), len(MEDIA), len(SENTENCE)) == (99, 53, 4)
    assert len({row["model_type"] for row in ROWS}) == 40
    assert {*DIFFERENCES, *NOT_OFFERED} <= set(map(key, ROWS))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['model_type']}-{row['task']}")
def test_row_is_offered(catalog, row):
    name, task = key(row)
    if (name, task) in NOT_OFFERED:
        assert task not in catalog.supported_tasks(name)
        return
    offered = {
        "inputs": ";".join(catalog.inputs(name, task)),
        "outputs": ";".join(catalog.get(name).tasks[task]),
        "axes": ";".join(catalog.mandatory_axes(name, task)),
    }
    wanted = {column: row[column] for column in offered}
    assert offered == wanted | DIFFERENCES.get((name, task), {})
