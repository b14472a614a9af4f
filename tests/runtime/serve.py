"""Load exported tiny models in this process, which made none of them, and compare with eager answers.

python serve.py FOLDER ...

Each FOLDER holds an artifact and `cases.pt`; what is wrong is printed as a JSON object: folder → complaints.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuron_catalog import NeuronAutoModel, RequestError
from neuron_catalog.models.wrappers.forward import pick

SHARE = 1e-3
"""Of the largest eager value, that an output may differ by: other sizes take other kernels."""


def complaints(folder: Path) -> Iterator[str]:
    """Yield what is wrong with an artifact."""
    model = NeuronAutoModel.from_pretrained(folder / "model")
    if type(model).__mro__[1].__name__ != model.manifest.plan.runtime_class:
        yield f"loaded as {type(model).__mro__[1].__name__}"
    for case in torch.load(folder / "cases.pt"):
        try:
            answer = model(**case["inputs"])
        except RequestError as error:
            if not any(axis in error.cause for axis in case["refused"]):
                yield f"{case['title']}: {error.cause}"
            continue
        if case["refused"]:
            yield f"{case['title']}: not refused"
        elif type(answer).__name__ != case["kind"]:
            yield f"{case['title']}: gives {type(answer).__name__}, not {case['kind']}"
        else:
            yield from differences(case, answer)


def differences(case: dict[str, Any], answer: Any) -> Iterator[str]:
    """Yield the outputs that are not the eager model's."""
    expected: dict[str, Tensor]
    for name, expected in case["expected"].items():
        given = pick(answer, name)
        if given.shape != expected.shape:
            yield f"{case['title']}: {name} is {tuple(given.shape)}, not {tuple(expected.shape)}"
            continue
        given, expected = (each.flatten()[case["real"][name]] for each in (given, expected))
        if not expected.numel():
            continue
        if not torch.equal(given.isnan(), expected.isnan()):
            yield f"{case['title']}: {name} has NaN elsewhere than the eager model"
        given, expected = given.nan_to_num(0.0), expected.nan_to_num(0.0)  # a spread of one frame has none
        allowed = SHARE * float(expected.abs().max()) if expected.is_floating_point() else 0.0
        seen = float((given.double() - expected.double()).abs().max())
        if not seen <= allowed:
            yield f"{case['title']}: {name} differs by {seen:.1e} (allowed {allowed:.1e})"


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")  # slow ways of some models
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps({folder: list(complaints(Path(folder))) for folder in sys.argv[1:]}) + "\n")
