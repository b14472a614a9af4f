"""The options for a Neuron compiler."""

import json

import pytest

SDK_ABSENT = "The backend neuronx is not available: the Neuron SDK is not installed"


def test_without_the_sdk_the_message_says_what_to_install(run):
    code, _, err = run("export", "esm", "--task", "fill-mask", "--backend", "neuronx", "--target", "trn1")
    assert code == 4
    assert SDK_ABSENT in err
    assert "pip install torch-neuronx==" in err
    assert "--extra-index-url https://pip.repos.neuron.amazonaws.com" in err


@pytest.mark.parametrize("option", [("--target", "trn1"), ("-O1",), ("--compiler-args", "--verbose=info")])
def test_other_backends_refuse_what_is_for_a_compiler(run, option):
    code, _, err = run("export", "esm", "--task", "fill-mask", "--backend", "torchscript", *option)
    assert code == 4
    assert "The backend torchscript cannot do" in err


def test_one_level_at_a_time(run):
    code, _, err = run("export", "esm", "--task", "fill-mask", "-O1", "-O3")
    assert code == 2
    assert "-O1 and -O3 were both given." in err


def test_names_of_optimum_neuron_are_understood(run):
    command = (
        "export",
        "esm",
        "--task",
        "fill-mask",
        "--instance_type",
        "trn1",
        "--tensor_parallel_size",
        "2",
    )
    code, _, err = run(*command)
    assert code == 4
    assert "cannot do target=trn1" in err


def test_no_option_means_no_wish(run):
    assert run("export", "esm", "--task", "fill-mask", "out")[0] == 0
    code, out, _ = run("inspect", "out", "--json")
    assert json.loads(out)["backend"]["arguments"] == {"check_trace": False, "strict": True}
