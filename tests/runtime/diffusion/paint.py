"""Load exported tiny pipelines in this process, which made none of them, and compare with eager images.

python paint.py FOLDER ...

Each FOLDER holds an artifact and `cases.pickle`. Printed is JSON: folder → class → largest difference.
"""

import json
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

import neuron_catalog
from neuron_catalog.runtime.diffusion.pipeline import NeuronPipeline


def differences(folder: Path) -> dict[str, float]:
    """Return by how much the images of each class differ from the eager ones."""
    found = {}
    for name, (asked, expected) in pickle.loads((folder / "cases.pickle").read_bytes()).items():
        pipeline = getattr(neuron_catalog, name).from_pretrained(folder / "artifact")
        assert isinstance(pipeline, NeuronPipeline)
        pipeline.set_progress_bar_config(disable=True)
        answer = pipeline(**asked, generator=torch.Generator().manual_seed(3), output_type="np")
        assert answer.images.shape == expected.shape
        found[name] = float(np.abs(answer.images - expected).max())
    return found


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # torch under NumPy 2
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps({folder: differences(Path(folder)) for folder in sys.argv[1:]}) + "\n")
