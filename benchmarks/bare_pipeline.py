"""The least that an export can be: import, load, trace, save, reload, one forward. No check at all."""

from __future__ import annotations

import sys

import torch
from transformers import AutoModel


class Positional(torch.nn.Module):
    """Takes tensors by position and returns a flat tuple."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        given = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            return_dict=True,
        )
        return given.last_hidden_state, given.pooler_output


def main(model_folder: str, target: str) -> None:
    """Export a BERT encoder at 1 x 128."""
    model = AutoModel.from_pretrained(model_folder, dtype=torch.float32).eval()
    ids = torch.randint(0, model.config.vocab_size, (1, 128))
    example = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(Positional(model), example, check_trace=False), target)
        torch.jit.load(target)(*example)


if __name__ == "__main__":
    main(*sys.argv[1:])
