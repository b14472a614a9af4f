"""A line of a model's code is told without what differs from machine to machine."""

import pytest

from neuron_catalog.exporting.backends.places import is_model_code, place

BERT = "transformers/models/bert/modeling_bert.py"


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (f"/opt/env/lib/python3.11/site-packages/{BERT}", BERT),
        (f"/opt/transformers/src/{BERT}", BERT),
        ("/home/someone/.cache/transformers_modules/org/name/modeling.py", "name/modeling.py"),
        ("modeling.py", "modeling.py"),
        ("<string>", "<string>"),
    ],
)
def test_a_place_has_no_path_of_a_machine(file, told):
    assert place(file, 12) == f"{told}:12"


@pytest.mark.parametrize(
    ("file", "is_model"),
    [
        (f"/opt/env/lib/python3.11/site-packages/{BERT}", True),
        (f"/opt/torch/lib/python3.11/site-packages/{BERT}", True),
        ("/opt/torch/src/neuron_catalog/models/wrappers/forward.py", True),
        ("/opt/env/lib/python3.11/site-packages/torch/nn/modules/linear.py", False),
        ("/opt/env/lib/python3.11/site-packages/torch_xla/runtime.py", False),
        ("/opt/neuron-catalog/src/neuron_catalog/exporting/backends/shadows.py", False),
        ("/usr/lib/python3.11/contextlib.py", False),
        ("/usr/lib/python3.11/unittest/mock.py", False),
    ],
)
def test_code_of_torch_and_of_tracing_is_no_model_code(file, is_model):
    assert is_model_code(file) is is_model
