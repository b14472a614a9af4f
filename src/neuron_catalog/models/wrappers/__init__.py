"""Named code between a model's `forward` and a graph: one class for each wrapper of the format.

A wrapper says what is traced: positional tensors in the plan's order, a flat tuple of tensors out. Its oracle
says how the *unwrapped* model gives the same numbers, by keyword and by output name; validation trusts only
the oracle.
"""

from __future__ import annotations

from neuron_catalog.models.wrappers.base import Oracle, Wrapped, Wrapper
from neuron_catalog.models.wrappers.causal import CausalCacheWrapper
from neuron_catalog.models.wrappers.forward import ForwardWrapper
from neuron_catalog.models.wrappers.latents import DECODER, ENCODER
from neuron_catalog.models.wrappers.sentence import SentenceWrapper
from neuron_catalog.models.wrappers.seq2seq import EncoderDecoderCacheWrapper

__all__ = ["WRAPPERS", "Oracle", "Wrapped", "Wrapper"]

WRAPPERS: dict[str, Wrapper] = {
    "forward": ForwardWrapper(),
    "sentence": SentenceWrapper(),
    "static-cache": CausalCacheWrapper("written"),
    "shifted-cache": CausalCacheWrapper("shifted"),
    "static-encoder-decoder-cache": EncoderDecoderCacheWrapper(),
    "latent-encoder": ENCODER,
    "latent-decoder": DECODER,
}
"""Word in the YAML → wrapper."""
