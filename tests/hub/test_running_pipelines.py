"""Pipelines of diffusers are read from a hub, exported ones written to it and read back."""

import pytest
from tests.runtime.diffusion.twins import Twins

MODEL = "owner/tiny-flux"

PIPELINE = """
    import torch
    import numpy as np
    from neuron_catalog import NeuronCatalogError, NeuronFluxPipeline
    torch.set_num_threads(1)
    SIZES = dict(height=64, width=48, sequence_length=24)

    def refusal(call, *arguments, **options):
        try:
            call(*arguments, **options)
        except NeuronCatalogError as error:
            return [error.cause, error.remedy]

    def image(pipeline):
        generator = torch.Generator().manual_seed(1)
        asked = dict(prompt="a cat", num_inference_steps=2, generator=generator, output_type="np")
        return pipeline(**asked).images
"""


@pytest.fixture(scope="module")
def files(catalog, tmp_path_factory):
    """All files of a checkpoint by their path."""
    folder = tmp_path_factory.mktemp("flux")
    twin = Twins.of(catalog, folder / "artifact", pipeline="flux")
    twin.theirs().save_pretrained(folder / "checkpoint")
    place = folder / "checkpoint"
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
    }


def test_a_pipeline_is_exported_from_the_hub_sent_there_and_read_back(files, hub, client, tmp_path):
    commit = hub.add(MODEL, files)
    revision, sent, received, same = client(
        PIPELINE
        + f"""
    model = NeuronFluxPipeline.from_pretrained({MODEL!r}, export=True, **SIZES)
    model.push_to_hub("saved", "owner/flux-neuron", private=True)
    loaded = NeuronFluxPipeline.from_pretrained("owner/flux-neuron")
    same = bool(np.array_equal(image(model), image(loaded)))
    said = [each.composition.model_dump_json() for each in (model, loaded)]
    result = [model.composition.source.revision, *said, same]
    """,
        token="secret",
    )
    assert (revision, sent == received, same) == (commit, True, True)
    stored = hub.repository("owner/flux-neuron")
    assert stored.private
    written = {
        path.relative_to(tmp_path / "saved").as_posix(): path.read_bytes()
        for path in (tmp_path / "saved").rglob("*")
        if path.is_file()
    }
    assert {name: stored.files()[name] for name in written} == written
    assert {"neuron_catalog.json", "model_index.json", "transformer/model.pt"} <= set(written)


def test_a_checkpoint_of_the_hub_is_not_taken_for_an_artifact(files, hub, client):
    hub.add(MODEL, files)
    cause, remedy, nothing = client(
        PIPELINE
        + f"""
    hub_id = "owner/empty"
    from huggingface_hub import HfApi
    HfApi().create_repo(hub_id)
    result = [*refusal(NeuronFluxPipeline.from_pretrained, {MODEL!r})]
    result.append(refusal(NeuronFluxPipeline.from_pretrained, hub_id)[0])
    """,
        token="secret",
    )
    assert (
        cause == f"{MODEL} is a checkpoint, not an exported model: the repository has no neuron_catalog.json."
    )
    assert remedy.startswith("Add export=True")
    assert nothing.startswith("owner/empty could not be read")
