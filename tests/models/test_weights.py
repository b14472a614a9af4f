"""Facts about weights: digests, ties, and which outputs need which weights."""

import torch
from torch import nn

from neuron_catalog.models.weights import outputs_depending_on, weight_facts


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Parameter(torch.randn(10, 4, generator=generator))
        self.head = self.embedding
        self.pooler = nn.Parameter(torch.randn(4, generator=generator))
        self.register_buffer("flag", torch.tensor(True))


def test_tied_weights_count_once():
    facts = weight_facts(Tied())
    assert facts.tied == (("embedding", "head"),)
    assert facts.bytes == 10 * 4 * 4 + 4 * 4 + 1


def test_digest_follows_every_value():
    model = Tied()
    before = weight_facts(model)
    assert weight_facts(Tied()) == before
    with torch.no_grad():
        model.pooler[2] += 1e-7
    assert weight_facts(model).sha256 != before.sha256


def test_digest_tells_tied_from_equal():
    model = Tied()
    model.head = nn.Parameter(model.embedding.detach().clone())
    assert weight_facts(model).sha256 != weight_facts(Tied()).sha256


def test_views_of_transposed_weights_are_digested_by_value():
    model = nn.Linear(3, 4, bias=False)
    straight = weight_facts(model).sha256
    model.weight = nn.Parameter(model.weight.detach().t().contiguous().t())
    assert weight_facts(model).sha256 == straight


def test_outputs_that_depend_on_a_weight_are_found_and_the_weight_restored():
    model = Tied()
    saved = model.pooler.detach().clone()

    def oracle(inputs):
        hidden = inputs["ids"] @ model.embedding
        return {"hidden": hidden, "pooled": hidden * model.pooler}

    inputs = {"ids": torch.ones(2, 10)}
    assert outputs_depending_on(model, ["pooler"], oracle, inputs) == {"pooled"}
    assert outputs_depending_on(model, ["embedding"], oracle, inputs) == {"hidden", "pooled"}
    assert torch.equal(model.pooler, saved)
