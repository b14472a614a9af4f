"""The backend neuronx keeps to the documented interface of torch-neuronx, which a double holds it to.

What passes here is no support of Neuron: the double compiles nothing.
"""

import json
import signal
import tempfile

import pytest
import torch

import neuron_catalog
from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.errors import CompileError, RequestError, VerificationError
from neuron_catalog.exporting import backends, caching
from neuron_catalog.exporting.backends import neuronx
from neuron_catalog.exporting.backends.neuron_program import KeptGraph
from neuron_catalog.exporting.backends.torchscript import quiet_jit
from neuron_catalog.exporting.compiling import silent
from neuron_catalog.exporting.exporter import export
from neuron_catalog.exporting.request import ExportRequest
from neuron_catalog.manifest import Manifest
from neuron_catalog.proving.record import record
from neuron_catalog.proving.selftest import Way, selftest
from neuron_catalog.runtime.auto import NeuronAutoModel
from neuron_catalog.sdk import machine
from neuron_catalog.storage.home import PLACE

NEURON = Way("neuronx")
SMOKE = ("bert", "esm", "gpt2", "t5", "vit", "efficientnet", "whisper", "clip", "vae-decoder")
"""The outputs of a tiny efficientnet are below what a device may differ by."""


def made(catalog, out, architecture="bert", task="fill-mask", on_step=silent, **more):
    request = ExportRequest(architecture=architecture, task=task, backend="neuronx", out=out, **more)
    return export(request, catalog, on_step)


def statuses(manifest):
    return {check.name: check.status for check in manifest.graphs[-1].checks}


@pytest.mark.slow
def test_rows_of_each_kind_keep_the_contract(sdk, catalog):
    failed = [row for row in selftest(catalog, SMOKE, NEURON) if not row.passed]
    assert [(row.architecture, row.task, row.complaint) for row in failed] == []


@pytest.fixture
def forgetful():
    """Let TorchScript forget the classes of what it traced, 11 MB of each row: 16 GB of the catalog."""
    yield
    torch._C._jit_clear_class_registry()
    torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
    torch.jit._state._clear_class_state()


@pytest.mark.full
@pytest.mark.usefixtures("forgetful")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", load_catalog().names)
def test_every_row_keeps_the_contract(sdk, catalog, name):
    failed = [row for row in selftest(catalog, [name], NEURON) if not row.passed]
    assert [(row.architecture, row.task, row.complaint) for row in failed] == []


def test_it_is_the_default_where_the_sdk_is(sdk):
    assert backends.choose(None)[0] == "neuronx"


def test_without_the_sdk_it_is_not(monkeypatch):
    assert backends.choose(None)[0] == "torchscript"


def test_an_export_is_checked_on_the_device(sdk, catalog, calls, tmp_path):
    exported = made(catalog, tmp_path / "out")
    assert set(statuses(exported.manifest).values()) == {"passed"}
    (traced,) = calls("trace")
    assert traced["inputs"] == [(2, 16)] * 3
    assert (traced["cpu_backend"], traced["inline_weights_to_neff"]) == (False, True)
    recorded = exported.manifest.backend
    assert recorded.arguments["compiler_args"] == traced["compiler_args"]
    assert recorded.versions["neuronx-cc"] == "2.26.6360.0+double"
    section = json.loads((tmp_path / "out" / "config.json").read_text())["neuron"]
    assert (section["compiler_type"], section["instance_type"]) == ("neuronx-cc", "trn1")


class Killed(BaseException):
    """The process was killed: nothing of this package catches it."""


def test_graphs_that_were_compiled_are_kept_until_all_are(sdk, catalog, tmp_path, monkeypatch):
    """An export that is killed at its second graph goes on with it."""
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    trace, traced = sdk.trace, []

    def breaking(function, *arguments, **named):
        traced.append(function)
        if len(traced) == 2:
            raise Killed
        return trace(function, *arguments, **named)

    monkeypatch.setattr(sdk, "trace", breaking)
    with pytest.raises(Killed):
        made(catalog, tmp_path / "out", "gpt2", "text-generation")
    (unfinished,) = (tmp_path / "cache" / "unfinished").iterdir()
    assert [path.suffixes for path in sorted(unfinished.iterdir())] == [[".neuron"], [".neuron", ".json"]]
    exported = made(catalog, tmp_path / "out", "gpt2", "text-generation")
    assert len(traced) == 2 + len(exported.manifest.parts) - 1
    assert not unfinished.exists()
    assert {check.status for check in exported.manifest.graphs[-1].checks} <= {
        "passed",
        "not_run",
        "deviates",
    }


APART = {"inline_weights_to_neff": False}


def test_graphs_without_weights_are_compiled_once(sdk, catalog, tmp_path, monkeypatch, calls):
    """Other weights of the same architecture are put into the graphs of the first, and all is checked."""
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    steps = []
    for seed in (0, 5):
        made(catalog, tmp_path / str(seed), seed=seed, compiler=APART, on_step=steps.append)
    assert (len(calls("trace")), len(calls("replace_weights"))) == (1, 1)
    told = "Taking the graphs of tiny bert from the compile cache, with other weights"
    assert steps.count(told) == 1
    ids = torch.ones(2, 16, dtype=torch.int64)
    inputs = {"input_ids": ids, "attention_mask": ids, "token_type_ids": ids * 0}
    eager, loaded = tiny(catalog, seed=5), NeuronAutoModel.from_pretrained(tmp_path / "5")
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits, eager(**inputs).logits)
    assert loaded.manifest.graphs[0].checks


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (APART, {}),
        ({}, APART),
        (APART, {**APART, "optlevel": 1}),
    ],
)
def test_graphs_of_other_arguments_are_compiled(sdk, catalog, tmp_path, monkeypatch, calls, first, second):
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    made(catalog, tmp_path / "0", compiler=first)
    made(catalog, tmp_path / "5", seed=5, compiler=second)
    assert (len(calls("trace")), len(calls("replace_weights"))) == (2, 0)


@pytest.mark.parametrize("gone", ["model.neuron", "neuron_catalog.json"])
def test_graphs_that_are_gone_when_they_are_wanted_are_compiled(
    gone, sdk, catalog, tmp_path, monkeypatch, calls
):
    """Another process may empty the cache at any time."""
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    made(catalog, tmp_path / "0", compiler=APART)
    (tmp_path / "0" / gone).unlink()
    monkeypatch.setattr(caching, "_same_graphs", lambda *_: tmp_path / "0")
    made(catalog, tmp_path / "5", seed=5, compiler=APART)
    assert (len(calls("trace")), len(calls("replace_weights"))) == (2, 0)


def test_graphs_with_a_fixed_value_are_compiled_for_each_weights(sdk, catalog, tmp_path, monkeypatch, calls):
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    monkeypatch.setattr(neuronx.NeuronFunction, "fixed", property(lambda _: {"a.py:1": "aten::item"}))
    for seed in (0, 5):
        made(catalog, tmp_path / str(seed), seed=seed, compiler=APART)
    assert (len(calls("trace")), len(calls("replace_weights"))) == (2, 0)


def test_a_graph_that_was_altered_is_compiled_again(tmp_path):
    with quiet_jit():
        program = torch.jit.trace(torch.nn.Identity(), (torch.zeros(1),))
    KeptGraph(program, {"a.py:1": "aten::item"}).kept(tmp_path, "one.neuron")
    kept = KeptGraph.found(tmp_path, "one.neuron")
    assert (kept.script, kept.fixed) == (tmp_path / "one.neuron", {"a.py:1": "aten::item"})
    (tmp_path / "one.neuron").write_bytes(b"evil")
    assert KeptGraph.found(tmp_path, "one.neuron") is None
    (tmp_path / "one.neuron.json").write_text("[]")
    assert KeptGraph.found(tmp_path, "one.neuron") is None


def test_without_a_device_it_is_compiled_and_not_run(no_device, catalog, calls, tmp_path):
    exported = made(catalog, tmp_path / "out", compiler={"target": "inf2"})
    assert statuses(exported.manifest).pop("oracle") == "passed"
    others = {name: status for name, status in statuses(exported.manifest).items() if name != "oracle"}
    assert set(others.values()) == {"not_run"}
    assert not exported.manifest.verified
    (traced,) = calls("trace")
    assert traced["cpu_backend"]
    assert traced["compiler_args"][:2] == ["--target", "inf2"]
    fits = {fit.axis: (fit.filled, fit.detail) for fit in exported.manifest.graphs[0].fits}
    assert fits["sequence_length"][0] == "right"
    assert "tried on the CPU, before it was compiled" in fits["sequence_length"][1]


def test_without_a_device_a_target_is_asked_for(no_device, catalog, tmp_path):
    with pytest.raises(RequestError) as refused:
        made(catalog, tmp_path / "out")
    assert "no target was given" in refused.value.cause
    assert "--target with one of: inf2, trn1, trn1n, trn2" in refused.value.remedy


def test_without_a_device_nothing_is_exported_to_be_used_at_once(no_device):
    with pytest.raises(RequestError, match="this machine has no Neuron device"):
        NeuronAutoModel.from_pretrained("anything", export=True, target="trn1")


def test_a_target_of_no_document_is_passed_on(no_device, catalog, calls, tmp_path):
    with (
        pytest.warns(UserWarning, match="trn9 is no target that the documents"),
        pytest.raises(CompileError, match="--target cannot be trn9"),
    ):
        made(catalog, tmp_path / "out", compiler={"target": "trn9"})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("auto_cast", "some", "auto_cast is one of none, matmul, all"),
        ("auto_cast_type", "fp8", "auto_cast_type is one of bf16, fp16, tf32"),
        ("optlevel", 4, "optlevel is one of 1, 2, 3"),
        ("optlevel", True, "optlevel is one of"),
        ("num_cores", 2, "a traced graph runs on one NeuronCore"),
        ("tensor_parallel_size", 2, "a traced graph runs on one NeuronCore"),
        ("compiler_timeout", "long", "compiler_timeout is a positive whole number of seconds"),
        ("compiler_timeout", 0, "compiler_timeout is a positive whole number of seconds"),
        (
            "compiler_args",
            "--logfile 'a",
            "compiler_args cannot be split into arguments: No closing",
        ),
        ("compiler_args", 3, "compiler_args is a text"),
        ("fuse", True, "it knows no option fuse"),
    ],
)
def test_options_that_cannot_be(sdk, catalog, tmp_path, option, value, said):
    with pytest.raises(RequestError, match=said):
        made(catalog, tmp_path / "out", compiler={option: value})


def test_a_type_needs_a_cast(sdk, catalog, tmp_path):
    with pytest.raises(RequestError, match="auto_cast is none"):
        made(catalog, tmp_path / "out", compiler={"auto_cast_type": "bf16"})


def test_another_number_of_rows_is_served_by_a_dynamic_batch(sdk, catalog, calls, tmp_path):
    made(catalog, tmp_path / "out", dynamic_batch_size=True)
    assert calls("dynamic_batch") == [{}]
    model = NeuronAutoModel.from_pretrained(tmp_path / "out")
    ids = torch.ones(5, 16, dtype=torch.int64)
    given = model(input_ids=ids, attention_mask=ids, token_type_ids=ids * 0)
    assert given.logits.shape[0] == 5


def test_rows_are_split_among_cores(sdk, catalog, calls, tmp_path):
    made(catalog, tmp_path / "out", dynamic_batch_size=True)
    one = NeuronAutoModel.from_pretrained(tmp_path / "out")
    both = NeuronAutoModel.from_pretrained(tmp_path / "out", first_core=0, cores=2)
    assert calls("neuron_cores_context") == [{"start_nc": 0, "nc_count": 1}]
    assert calls("DataParallel") == [{"device_ids": [0, 1], "dim": 0, "set_dynamic_batching": False}]
    ids = torch.randint(5, 50, (7, 16), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": ids * 0}
    torch.testing.assert_close(both(**inputs).logits, one(**inputs).logits)


def test_a_fixed_number_of_rows_is_not_split(sdk, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    with pytest.raises(RequestError, match="Rows cannot be split among 2 cores"):
        NeuronAutoModel.from_pretrained(tmp_path / "out", cores=2)


def test_cores_that_are_not_there(sdk, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    with pytest.raises(RequestError, match="cores 2 to 2 of 2"):
        NeuronAutoModel.from_pretrained(tmp_path / "out", first_core=2)


def test_other_backends_have_no_cores(catalog, tmp_path):
    export(ExportRequest(architecture="bert", task="fill-mask", out=tmp_path / "out"), catalog)
    with pytest.raises(RequestError, match="not compiled for NeuronCores"):
        NeuronAutoModel.from_pretrained(tmp_path / "out", first_core=1)


def test_buckets_are_one_module_on_a_device(sdk, catalog, calls, tmp_path):
    exported = made(catalog, tmp_path / "out", axes={"sequence_length": (8, 16)})
    (told,) = calls("bucket_model_trace")
    assert told["buckets"] == 2
    assert calls("trace") == []
    assert [*exported.manifest.files] == ["config.json", "model.neuron", "neuron.json"]
    model = NeuronAutoModel.from_pretrained(tmp_path / "out")
    for length in (8, 16):
        ids = torch.ones(2, length, dtype=torch.int64)
        given = model(input_ids=ids, attention_mask=ids, token_type_ids=ids * 0)
        assert given.logits.shape[1] == length


def test_buckets_are_a_file_each_without_a_device(no_device, catalog, calls, tmp_path):
    exported = made(catalog, tmp_path / "out", axes={"sequence_length": (8, 16)}, compiler={"target": "trn1"})
    assert len(calls("trace")) == 2
    assert {"bucket_0.neuron", "forward.neuron"} < {*exported.manifest.files}


def test_weights_apart_are_moved_and_replaced(sdk, catalog, calls, tmp_path):
    made(catalog, tmp_path / "out", compiler={"inline_weights_to_neff": False})
    model = NeuronAutoModel.from_pretrained(tmp_path / "out")
    assert calls("move_trace_to_device")[-1] == {"device_id": 0}
    eager = tiny(catalog, seed=5)
    model.replace_weights(eager.state_dict())
    assert len(calls("replace_weights")) == 1
    ids = torch.ones(2, 16, dtype=torch.int64)
    inputs = {"input_ids": ids, "attention_mask": ids, "token_type_ids": ids * 0}
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, eager(**inputs).logits)


def test_weights_that_fail_are_taken_back(sdk, catalog, tmp_path, monkeypatch):
    made(catalog, tmp_path / "out", compiler={"inline_weights_to_neff": False})
    model = NeuronAutoModel.from_pretrained(tmp_path / "out")
    ids = torch.ones(2, 16, dtype=torch.int64)
    inputs = {"input_ids": ids, "attention_mask": ids, "token_type_ids": ids * 0}
    before = model(**inputs).logits
    original = sdk.replace_weights
    monkeypatch.setattr(
        sdk, "replace_weights", lambda script, new: original(script, {k: v * 2 for k, v in new.items()})
    )
    with pytest.raises(VerificationError):
        model.replace_weights(tiny(catalog, seed=5).state_dict())
    assert torch.equal(model(**inputs).logits, before)


def tiny(catalog, seed):
    from neuron_catalog.exporting.request import resolve

    request = ExportRequest(architecture="bert", task="fill-mask", backend="torchscript", seed=seed)
    resolved = resolve(request, catalog)
    return resolved.source.load(resolved.plan).module


def test_weights_in_the_graph_are_not_replaced(sdk, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    model = NeuronAutoModel.from_pretrained(tmp_path / "out")
    with pytest.raises(RequestError, match="compiles the weights into the graph"):
        model.replace_weights(tiny(catalog, seed=5).state_dict())


def test_loading_in_the_background_and_when_called(sdk, catalog, calls, tmp_path):
    made(catalog, tmp_path / "out", compiler={"async_load": True, "lazy_load": True})
    assert len(calls("async_load")) == len(calls("lazy_load")) == 1


def writer(catalog, out):
    sizes = {"prompt_length": 16, "sequence_length": 32}
    return made(catalog, out, "gpt2", "text-generation", axes=sizes)


def test_a_cache_is_a_state_of_the_device(sdk, catalog, calls, tmp_path):
    writer(catalog, tmp_path / "out")
    traced = {tuple(each["inputs"][0]): each["input_output_aliases"] for each in calls("trace")}
    assert traced[(2, 1)] > 0
    assert len(calls("trace")) == 2
    model = NeuronAutoModel.from_pretrained(tmp_path / "out")
    prompt = torch.randint(5, 50, (2, 9), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    first = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    assert torch.equal(first, model.generate(**inputs, max_new_tokens=6, do_sample=False))


def test_two_texts_at_a_time_do_not_mix(sdk, catalog, tmp_path):
    exported = writer(catalog, tmp_path / "out")
    program = neuronx.load(tmp_path / "out" / "model.neuron", exported.manifest.functions)
    part = next(each for each in exported.manifest.parts if each.name.startswith("decode"))
    decode = program.graphs[part.name]

    def step(states):
        ids = torch.ones(2, 1, dtype=torch.int64)
        mask = torch.ones(part.inputs[1].shape, dtype=torch.int64)
        mask[:, -1] = 0
        return decode(ids, mask, *states)[1:]

    def fresh():
        return [torch.zeros(each.shape) for each in part.states]

    first = step(fresh())
    first = step(first)
    step(fresh())
    with pytest.raises(RuntimeError, match="those of another text took their place"):
        step(first)


def test_a_prompt_that_another_took_the_place_of_is_not_continued(sdk, catalog, tmp_path):
    exported = writer(catalog, tmp_path / "out")
    program = neuronx.load(tmp_path / "out" / "model.neuron", exported.manifest.functions)
    prefill, decode = exported.manifest.parts

    def read():
        ids = torch.ones(prefill.inputs[0].shape, dtype=torch.int64)
        return program.graphs[prefill.name](ids, ids, *(torch.zeros(each.shape) for each in prefill.states))[
            1:
        ]

    first, second = read(), read()
    token = torch.ones(2, 1, dtype=torch.int64), torch.ones(decode.inputs[1].shape, dtype=torch.int64)
    assert program.graphs[decode.name](*token, *second)
    with pytest.raises(RuntimeError, match="those of another text took their place"):
        program.graphs[decode.name](*token, *first)


def test_a_cache_and_weights_apart_do_not_go_together(sdk, catalog, tmp_path):
    with pytest.raises(RequestError, match="its weights cannot be apart"):
        made(
            catalog,
            tmp_path / "out",
            "gpt2",
            "text-generation",
            axes={"prompt_length": 16, "sequence_length": 32},
            compiler={"inline_weights_to_neff": False},
        )


def test_an_artifact_for_other_cores_is_refused(sdk, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    machine.PRODUCT.write_text("trn2u.48xlarge")
    with pytest.raises(RequestError, match="it was compiled for trn1, and this is a trn2"):
        NeuronAutoModel.from_pretrained(tmp_path / "out")


def test_an_artifact_for_the_same_cores_is_taken(sdk, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    machine.PRODUCT.write_text("inf2.xlarge")
    assert NeuronAutoModel.from_pretrained(tmp_path / "out")


def test_an_inf1_runs_no_graphs_of_it(sdk, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    machine.PRODUCT.write_text("inf1.xlarge")
    with pytest.raises(RequestError, match="this machine is an Inf1, which runs no graphs of torch-neuronx"):
        NeuronAutoModel.from_pretrained(tmp_path / "out")


def test_an_artifact_of_a_newer_compiler_is_refused(sdk, catalog, tmp_path, monkeypatch):
    made(catalog, tmp_path / "out")
    monkeypatch.setattr(neuronx, "installed", lambda package: "2.24.5133.0")
    with pytest.raises(RequestError, match=r"neuronx-cc 2\.26\.6360\.0\+double, and 2\.24\.5133\.0 is"):
        NeuronAutoModel.from_pretrained(tmp_path / "out")


def test_an_artifact_is_not_loaded_where_no_device_is(no_device, catalog, tmp_path):
    made(catalog, tmp_path / "out", compiler={"target": "trn1"})
    with pytest.raises(RequestError, match="this machine has no Neuron device"):
        NeuronAutoModel.from_pretrained(tmp_path / "out")


def test_a_busy_device_is_told(sdk, catalog, tmp_path):
    made(catalog, tmp_path / "out", compiler={"inline_weights_to_neff": False})
    sdk.device.busy = True
    with pytest.raises(RequestError) as refused:
        NeuronAutoModel.from_pretrained(tmp_path / "out")
    assert "The NeuronCores are busy" in refused.value.cause
    assert "neuron-ls" in refused.value.remedy


def test_what_runs_with_a_double_is_no_evidence(sdk, catalog):
    rows = list(selftest(catalog, ["vae-decoder"], NEURON))
    with pytest.raises(RequestError, match="is a double for tests: what it ran proves nothing"):
        record(catalog, rows)


def test_damaged_records_are_told(sdk, catalog, tmp_path):
    made(catalog, tmp_path / "out")
    (tmp_path / "out" / "neuron.json").write_text('{"graphs": 3}')
    with pytest.raises(RequestError, match=r"neuron\.json is damaged"):
        neuronx.load(tmp_path / "out" / "model.neuron", ["forward"])


@pytest.fixture
def apart(no_device, monkeypatch):
    """Compile in a process of its own, without a device."""
    monkeypatch.setitem(backends.BACKENDS, "neuronx", neuronx)


def in_a_process(catalog, out, **more):
    return made(catalog, out, "esm", "fill-mask", compiler={"target": "trn1", **more})


def test_a_process_of_its_own_compiles(apart, catalog, tmp_path, calls):
    exported = in_a_process(catalog, tmp_path / "out")
    assert "model.neuron" in exported.manifest.files
    assert calls("trace") == []
    assert Manifest.read(tmp_path / "out").backend.name == "neuronx"


@pytest.mark.parametrize(
    ("fault", "said", "remedy"),
    [
        ("log:EVRF031", "refuses the graph with EVRF031", "sequence_length"),
        ("log:EZZZ999", "neuronx-cc failed with 70", "neuron-catalog explain --log"),
        (f"signal:{signal.SIGSEGV.value}", "its process was ended by SIGSEGV", "Its log is in"),
        (f"signal:{signal.SIGKILL.value}", "most likely because the machine ran out of memory", "-O1"),
        ("exit:70", "its process ended with code 70", "Its log is in"),
    ],
)
def test_a_compiler_that_fails_is_explained(apart, catalog, tmp_path, monkeypatch, fault, said, remedy):
    monkeypatch.setenv("NEURON_DOUBLE_FAULT", fault)
    work = str(tmp_path / "work")
    with pytest.raises(CompileError) as failed:
        in_a_process(catalog, tmp_path / "out", compiler_workdir=work)
    assert said in failed.value.cause
    assert remedy in failed.value.remedy
    assert work in failed.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_never_ends_is_stopped(apart, catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("NEURON_DOUBLE_FAULT", "hang")
    with pytest.raises(CompileError, match="did not end within 15 s"):
        in_a_process(catalog, tmp_path / "out", compiler_timeout=15)


def test_what_is_known_of_an_architecture_is_told_first(apart, catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("NEURON_DOUBLE_FAULT", "exit:70")
    with pytest.raises(CompileError) as failed:
        made(catalog, tmp_path / "out", "wav2vec2-bert", "audio-xvector", compiler={"target": "trn1"})
    assert failed.value.cause.startswith("Known of this architecture: ")
    assert "its process ended with code 70" in failed.value.cause


def one_of_each_class(catalog):
    """Runtime class → an architecture and a task that it runs."""
    rows = ((name, task) for name in catalog.architectures for task in catalog.rows(name))
    return {catalog.tasks[task].runtime_class: (name, task) for name, task in reversed([*rows])}


@pytest.mark.slow
def test_every_runtime_class_runs_what_was_compiled(sdk, catalog, tmp_path):
    for number, (name, (architecture, task)) in enumerate(sorted(one_of_each_class(catalog).items())):
        folder = tmp_path / str(number)
        request = ExportRequest(architecture=architecture, task=task, backend="neuronx", out=folder)
        manifest = export(request, catalog).manifest
        model = getattr(neuron_catalog, name).from_pretrained(folder)
        assert (type(model).__mro__[1].__name__, manifest.backend.name) == (name, "neuronx")
        model.warm_up(1)


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["stable-diffusion", "flux"])
def test_pipelines_run_what_was_compiled(sdk, catalog, pipeline):
    rows = list(selftest(catalog, [pipeline], NEURON))
    assert [(row.task, row.complaint) for row in rows if not row.passed] == []


def test_nothing_that_may_hold_a_token_is_left_in_the_folder_of_the_compiler(
    apart, catalog, tmp_path, monkeypatch
):
    monkeypatch.setenv("NEURON_DOUBLE_FAULT", "exit:70")
    with pytest.raises(CompileError):
        in_a_process(catalog, tmp_path / "out", compiler_workdir=str(tmp_path / "work"))
    assert [path.name for path in (tmp_path / "work").iterdir() if path.is_file()] == ["process.log"]


def test_folders_of_compilers_that_succeed_are_gone(apart, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    in_a_process(catalog, tmp_path / "out")
    assert list(tmp_path.glob("neuron-compiler-*")) == []
