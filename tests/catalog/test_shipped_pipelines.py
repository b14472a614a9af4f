"""What holds between the shipped pipelines, which no check of a single file can tell."""

from collections import Counter

import diffusers
import transformers

LIBRARIES = {"diffusers": diffusers, "transformers": transformers}


def every_use(catalog):
    return [use for pipeline in catalog.pipelines.values() for use in pipeline.uses.values()]


def test_a_class_of_diffusers_belongs_to_one_use(catalog):
    """A checkpoint names its class, and by it the pipeline is found."""
    assert max(Counter(use.pipeline_class for use in every_use(catalog)).values()) == 1


def test_a_runtime_class_runs_one_use_and_is_named_after_that_of_diffusers(catalog):
    uses = every_use(catalog)
    assert max(Counter(use.runtime_class for use in uses).values()) == 1
    assert [use.runtime_class for use in uses] == [f"Neuron{use.pipeline_class}" for use in uses]


def test_classes_exist(catalog):
    for use in every_use(catalog):
        assert hasattr(diffusers, use.pipeline_class)
    for pipeline in catalog.pipelines.values():
        assert hasattr(diffusers, pipeline.tiny.scheduler.scheduler_class)


def test_components_are_in_a_pipeline(catalog):
    used = {part.component for pipeline in catalog.pipelines.values() for part in pipeline.parts.values()}
    assert set(catalog.components) - used == {"clip-vision-with-projection"}  # IP-Adapters are not offered


def test_the_class_of_a_component_exists(catalog):
    for component in catalog.components.values():
        assert hasattr(LIBRARIES[component.library], component.model_class)
