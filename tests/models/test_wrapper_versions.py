"""A wrapper that needs a newer transformers says so before anything is loaded."""

import pytest

from neuron_catalog import RequestError
from neuron_catalog.errors import RequirementError
from neuron_catalog.exporting.request import ExportRequest, resolve
from neuron_catalog.models import support


@pytest.mark.parametrize(
    ("architecture", "task", "version", "cause"),
    [
        (
            "llama",
            "text-generation",
            "5.8.1",
            "llama keeps a cache for text-generation (static-cache)",
        ),
        (
            "mamba",
            "text-generation",
            "5.12.0",
            "mamba keeps a cache for text-generation (shifted-cache)",
        ),
        ("t5", "text2text-generation", "5.3.0", "t5 keeps a cache for text2text-generation"),
    ],
)
def test_a_transformers_too_old_for_a_cache_is_named(
    architecture, task, version, cause, catalog, monkeypatch
):
    monkeypatch.setattr(support.transformers, "__version__", version)
    with pytest.raises(RequirementError) as caught:
        resolve(ExportRequest(architecture=architecture, task=task), catalog)
    assert caught.value.cause.startswith(cause)
    assert caught.value.cause.endswith(f"but {version} is installed.")
    assert caught.value.remedy.startswith('Install it: pip install "transformers>=5.1')


def test_other_tasks_of_the_architecture_need_nothing_new(catalog, monkeypatch):
    monkeypatch.setattr(support.transformers, "__version__", "5.3.0")
    try:
        plan = resolve(ExportRequest(architecture="llama", task="token-classification"), catalog).plan
    except RequestError as error:
        pytest.fail(error.cause)
    assert plan.wrapper == "forward"
