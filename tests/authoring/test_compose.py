"""A family is tried for a task only if a row of it would prove something."""

from neuron_catalog.authoring.anatomy import dissect
from neuron_catalog.authoring.compose import first_draft
from neuron_catalog.authoring.shrinking.shrinker import Shrinker


def tasks_as(model_type, family, catalog):
    anatomy = dissect(model_type, catalog)
    tiny = Shrinker().arguments(anatomy.config)
    draft = first_draft(anatomy, catalog.families[family], catalog, tiny, type(anatomy.config)(**tiny))
    return set(draft.tasks)


def test_a_head_that_sees_images_is_not_served_by_a_family_of_texts(catalog):
    assert tasks_as("llava", "image-text-to-text", catalog) == {"feature-extraction", "image-text-to-text"}
    assert "image-classification" not in tasks_as("perceiver", "byte-encoder", catalog)


def test_a_task_of_which_other_families_say_what_comes_out_is_left_to_them(catalog):
    assert "fill-mask" in tasks_as("bert", "text-encoder", catalog)
    assert "image-text-to-text" not in tasks_as("diffusion_gemma", "text-to-text", catalog)
