"""Sizes that only the model knows are learnt from what it says."""

from dataclasses import dataclass, field, replace

import pytest

from neuron_catalog.authoring.draft import Draft
from neuron_catalog.authoring.sizes import with_accepted_sizes
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import RequestError

DRAFT = Draft(
    architecture="any",
    family="log-mel-text-to-text",
    summary="Any.",
    checkpoint="none",
    normalized_config="bert",
    inputs=("input_ids", "input_features", "input_features_mask"),
    mandatory_axes=("batch_size", "sequence_length", "audio_tokens", "nb_max_frames"),
    tasks={"feature-extraction": ("last_hidden_state",)},
    tiny={"config": {}, "axes": {"batch_size": 2, "nb_max_frames": 24}},
)


@dataclass
class Model:
    """Stands in for a workbench whose model takes some sizes only."""

    catalog: Catalog
    frames: int = 24
    tokens: int = 13
    takes_mask: bool = True
    asked: list[int] = field(default_factory=list)

    def answers(self, draft, task):
        axes = draft.tiny["axes"]
        self.asked.append(axes["audio_tokens"])
        if axes["nb_max_frames"] % self.frames:
            raise RequestError(
                f"ValueError: expects a multiple of `n_window * 2` ({self.frames}), "
                f"but got {axes['nb_max_frames']}."
            )
        if not self.takes_mask and "input_features_mask" in draft.inputs:
            raise RequestError("IndexError: the shape of the mask does not match")
        if axes["audio_tokens"] != self.tokens:
            count = 2 * axes["audio_tokens"]
            raise RequestError(
                f"ValueError: Audio features and audio tokens do not match, tokens: {count}, "
                f"features: {2 * self.tokens}"
            )


def accepted(model):
    return with_accepted_sizes(DRAFT, "feature-extraction", model)


def test_a_number_that_is_told_is_tried_next(catalog):
    model = Model(catalog)
    assert accepted(model).tiny["axes"] == {
        "batch_size": 2,
        "nb_max_frames": 24,
        "audio_tokens": 13,
        "sequence_length": 25,
    }
    assert model.asked[1:] == [16, 13]


def test_a_length_is_rounded_up_to_the_multiple_that_is_told(catalog):
    assert accepted(Model(catalog, frames=100)).tiny["axes"]["nb_max_frames"] == 100
    assert accepted(Model(catalog, frames=16)).tiny["axes"]["nb_max_frames"] == 32


def test_a_mask_of_ones_is_left_out_where_it_has_another_form(catalog):
    found = accepted(Model(catalog, takes_mask=False))
    assert found.inputs == ("input_ids", "input_features")
    assert found.tiny["axes"]["audio_tokens"] == 13


@pytest.mark.parametrize("tokens", [0, 1000])
def test_a_draft_stays_if_no_number_fits(catalog, tokens):
    model = Model(catalog, tokens=tokens)
    model.answers = lambda draft, task: (_ for _ in ()).throw(RequestError("ValueError: no"))
    assert accepted(model) == DRAFT


def test_a_family_without_placeholders_is_left_alone(catalog):
    plain = replace(DRAFT, family="spectrogram-encoder", mandatory_axes=("batch_size", "nb_max_frames"))
    model = Model(catalog)
    model.answers = lambda draft, task: {}
    assert with_accepted_sizes(plain, "feature-extraction", model) == plain
