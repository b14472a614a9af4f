"""What the Neuron compiler is told, for the examples of its documents and for whatever is asked."""

import pytest

from neuron_catalog.exporting.backends.neuron_options import CompilerOptions, completed
from neuron_catalog.exporting.backends.protocol import Settings
from neuron_catalog.exporting.pipeline_request import PipelineRequest, resolve_pipeline
from neuron_catalog.exporting.request import ExportRequest, resolve

COMPILER = "2.26.6360.0"
"""Of SDK 2.31, the last one with `torch_neuronx.trace`."""


def told(settings, compiler=COMPILER):
    return " ".join(CompilerOptions.of(settings).arguments(compiler))


def of_model(catalog, architecture, task, **asked):
    request = ExportRequest(
        architecture=architecture,
        task=task,
        backend="torchscript",
        dynamic_batch_size=asked.pop("dynamic", False),
    )
    plan = resolve(request, catalog).plan
    return Settings({"target": "trn1", **asked}, plan.compiler, bool(plan.dynamic_axes))


def of_pipeline(catalog, name, **asked):
    parts = resolve_pipeline(PipelineRequest(pipeline=name), catalog).parts
    return {
        part: told(Settings({"target": "trn1", **asked}, each.resolved.plan.compiler))
        for part, each in parts.items()
    }


def test_bert(catalog):
    """The tutorial on BERT passes nothing; neuron-catalog passes what is the default there by name."""
    assert told(of_model(catalog, "bert", "text-classification")) == (
        "--target trn1 --model-type transformer --auto-cast none --optlevel 2"
    )


def test_distilbert_with_a_dynamic_batch(catalog):
    settings = of_model(
        catalog, "distilbert", "question-answering", dynamic=True, auto_cast="matmul", auto_cast_type="bf16"
    )
    assert settings.dynamic_batch
    assert told(settings) == (
        "--target trn1 --model-type transformer --auto-cast matmult --auto-cast-type bf16 --optlevel 2"
    )


def test_stable_diffusion(catalog):
    """The example for Stable Diffusion 2.1 loads its U-Net faster by an option, which a caller adds."""
    parts = of_pipeline(catalog, "stable-diffusion", auto_cast="matmul", auto_cast_type="bf16")
    cast = "--auto-cast matmult --auto-cast-type bf16 --optlevel 2"
    fast = "--enable-fast-loading-neuron-binaries"
    assert parts == {
        "text_encoder": f"--target trn1 --model-type transformer {cast} {fast}",
        "unet": f"--target trn1 --model-type unet-inference {cast}",
        "vae_encoder": f"--target trn1 --model-type generic {cast} {fast}",
        "vae_decoder": f"--target trn1 --model-type generic {cast} {fast}",
    }
    unet = of_pipeline(catalog, "stable-diffusion", compiler_args=fast)["unet"]
    assert unet == f"--target trn1 --model-type unet-inference --auto-cast none --optlevel 2 {fast}"


def test_stable_diffusion_xl(catalog):
    parts = of_pipeline(catalog, "stable-diffusion-xl")
    assert parts["unet"] == "--target trn1 --model-type unet-inference --auto-cast none --optlevel 2"
    assert parts["text_encoder_2"] == "--target trn1 --model-type transformer --auto-cast none --optlevel 2"


def test_facts_of_single_architectures(catalog):
    assert "--enable-saturate-infinity" in told(of_model(catalog, "clip", "feature-extraction"))
    assert "--auto-cast none" in told(of_model(catalog, "perceiver", "fill-mask"))


def test_the_caller_comes_last(catalog):
    asked = {"optlevel": 1, "compiler_args": "--auto-cast=all '--logfile' 'my log'"}
    settings = of_model(catalog, "bert", "fill-mask", **asked)
    given = CompilerOptions.of(settings).arguments(COMPILER)
    assert given[-5:] == ["--optlevel", "1", "--auto-cast=all", "--logfile", "my log"]


def test_a_fact_gives_way_to_the_caller(catalog):
    assert "--auto-cast all" in told(of_model(catalog, "perceiver", "fill-mask", auto_cast="all"))


@pytest.mark.parametrize("compiler", ["2.27.5334.0", "2.28.0.0"])
def test_newer_compilers_are_told_how_to_treat_integers(catalog, compiler):
    given = told(of_model(catalog, "bert", "fill-mask"), compiler)
    assert given.endswith("--native-int64 disabled --implicit-integer-downcast all")


def test_softmax_is_fused_by_a_variable_of_the_process():
    options = CompilerOptions.of(Settings({"target": "inf2"}, {"fuse_softmax": True}))
    assert options.environment == {"NEURON_FUSE_SOFTMAX": "1"}
    assert CompilerOptions.of(Settings({"target": "inf2"}, {})).environment == {}


def test_a_target_is_kept():
    assert completed({"target": "inf2", "optlevel": 3}) == {"target": "inf2", "optlevel": 3}
