"""What is said about an environment that cannot trace: one cause, and one thing to do."""

import platform

import pytest

from neuron_catalog.sdk import installed

COMMAND = (
    "pip install torch-neuronx==2.9.0.2.15.32035 neuronx-cc==2.26.6360.0 "
    "--extra-index-url https://pip.repos.neuron.amazonaws.com"
)

ABSENT = (
    "the Neuron SDK is not installed; with it any machine compiles, and one with a Neuron device runs graphs"
)


@pytest.fixture
def environment(monkeypatch):
    """Return a function that gives the environment a Python and packages by version."""

    def give(packages=None, python="3.12.3"):
        monkeypatch.setattr(installed, "installed", lambda name: (packages or {}).get(name))
        monkeypatch.setattr(platform, "python_version", lambda: python)

    return give


def test_the_version_of_a_package_is_that_of_its_metadata():
    assert installed.installed("pydantic")
    assert installed.installed("torch-neuronx-of-nobody") is None


def test_what_is_to_be_installed_is_the_last_sdk_that_traces():
    assert installed.install_line() == COMMAND


@pytest.mark.parametrize(
    ("packages", "cause"),
    [
        (
            {},
            ABSENT,
        ),
        (
            {"neuronx-cc": "2.26.6360.0"},
            ABSENT,
        ),
        (
            {"libtorch-neuronx-lite": "2.12.0.1.0.1284", "neuronx-cc": "2.27.5334.0"},
            "libtorch-neuronx-lite is of a Neuron SDK after 2.31.1, which has no torch-neuronx with trace; "
            "install SDK 2.31.1",
        ),
        (
            {"vllm-neuron": "0.24.0.1.1.0"},
            "vllm-neuron is of a Neuron SDK after 2.31.1, which has no torch-neuronx with trace; "
            "install SDK 2.31.1",
        ),
        (
            {"torch-neuronx": "2.13.3.0.1234+abc"},
            "torch-neuronx 2.13.3.0.1234+abc is TorchNeuron, which has no trace; install SDK 2.31.1",
        ),
        (
            {"torch-neuronx": "2.10.0"},
            "torch-neuronx 2.10.0 is TorchNeuron, which has no trace; install SDK 2.31.1",
        ),
        (
            {"torch-neuronx": "1.0"},
            "torch-neuronx 1.0 is a placeholder of PyPI; the real one comes by",
        ),
    ],
    ids=["no SDK", "a compiler alone", "SDK 2.32", "vLLM", "SDK 2.33", "the first TorchNeuron", "PyPI"],
)
def test_an_environment_that_cannot_trace_is_told_why_and_what_to_install(environment, packages, cause):
    environment(packages)
    assert installed.trace_unavailable() == f"{cause}: {COMMAND}"


@pytest.mark.parametrize("python", ["3.10.14", "3.14.0", "4.0.0"])
def test_a_python_without_packages_is_told_which_has_some(environment, python):
    environment(python=python)
    assert installed.trace_unavailable() == (
        f"torch-neuronx is built for Python 3.11 to 3.13, and this is {python}; "
        "make an environment with Python 3.13"
    )


@pytest.mark.parametrize("python", ["3.11.0", "3.12.3", "3.13.9"])
def test_a_python_with_packages_is_not_the_cause(environment, python):
    environment(python=python)
    assert installed.trace_unavailable().startswith("the Neuron SDK is not installed")


@pytest.mark.parametrize(
    "version",
    ["2.9.0.2.15.32035", "2.9.0.2.11.19912+6f180f47", "2.8.0.2.10.16998", "1.13.1.1.12.0", "of our own"],
)
def test_an_environment_that_traces_has_nothing_to_be_told(environment, version):
    environment({"torch-neuronx": version})
    assert installed.trace_unavailable() == ""


@pytest.mark.parametrize("packages", [{}, {"torch-neuron": "1.0"}, {"torch-neuron": "1.12.1.2.11.13.0"}])
def test_inf1_is_told_to_be_out_of_reach_with_the_way_out(environment, packages):
    environment(packages)
    assert installed.inf1_unavailable() == (
        "torch-neuron, which compiles for Inf1, needs torch 1.13 and Python 3.7 to 3.10, and neuron-catalog "
        "torch 2.9 and Python 3.11 or later, so no environment can have both; AWS ended its environments for "
        "Inf1 in December 2025 and archived torch-neuron in March 2026: take Inf2 or Trn1, backend neuronx"
    )


def test_the_last_torch_neuron_has_nothing_to_be_told(environment):
    environment({"torch-neuron": "1.13.1.2.11.13.0"})
    assert installed.inf1_unavailable() == ""
