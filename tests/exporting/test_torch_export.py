"""The backend torch-export: checks, artifact and runtime as with torchscript, in a file of its own kind."""

import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import AutoModelForMaskedLM

from neuron_catalog import (
    CompileError,
    ExportRequest,
    Manifest,
    NeuronAutoModel,
    RequestError,
    VerificationError,
    export,
    load_artifact,
)
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import torch_export
from neuron_catalog.exporting.backends.protocol import Compilation, DynamicBatch
from neuron_catalog.models.fills import make_inputs

BACKEND = ("--backend", "torch-export")


class Counting(nn.Module):
    """Two functions with one set of weights, tied ones too, a constant, and a state written in place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(50, 64)
        self.scores = nn.Linear(64, 50)
        self.scores.weight = self.embedding.weight
        self.register_buffer("scale", torch.full((1,), 2.0))
        self.register_buffer("shift", torch.arange(50.0), persistent=False)
        self.seen = None

    def forward(self, ids, state):
        self.seen = ids.float()
        state[:, :1].add_(self.seen[:, :1])
        return self.scores(self.embedding(ids)) * self.scale + self.shift, state

    def backwards(self, ids, state):
        return self.forward(ids.flip(1), state)


def example(length=3):
    return torch.arange(2 * length).reshape(2, length), torch.zeros(2, 5)


@pytest.fixture
def module():
    return Counting().eval()


@pytest.fixture
def saved(module, tmp_path):
    """A file with two functions of that module."""
    compilation = Compilation(module, {"backwards": example(4), "forward": example()})
    program = torch_export.compile(compilation)
    torch_export.save(program, tmp_path / "model.pt2")
    return tmp_path / "model.pt2"


@pytest.fixture
def program(saved):
    return torch_export.load(saved, ["backwards", "forward"])


def records(path, part):
    """Sizes of the records of an archive whose names have a part."""
    with zipfile.ZipFile(path) as archive:
        return [entry.file_size for entry in archive.infolist() if part in entry.filename]


def answers(model):
    return [model(**make_inputs(graph.plan, 9)).logits for graph in model.manifest.graphs]


def test_export_validate_and_verify(run, tmp_path):
    code, out, err = run("export", "esm", "--task", "fill-mask", *BACKEND, "out")
    assert (code, err.count("Error")) == (0, 0)
    assert "Exporting esm for fill-mask with backend torch-export on the CPU" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("README.md", "config.json", "model.pt2", "neuron_catalog.json"),
    ]
    backend = Manifest.read(tmp_path / "out").backend
    assert (backend.name, backend.versions["torch"]) == ("torch-export", torch.__version__)
    assert run("validate", "out")[0] == 0
    assert run("verify", "out")[0] == 0


def test_torchscript_stays_the_default():
    assert backends.choose(None)[0] == "torchscript"
    order = list(backends.BACKENDS)
    assert order.index("torchscript") < order.index("torch-export")


def test_artifact_answers_the_same_in_another_process(tmp_path):
    request = ExportRequest(
        architecture="bert", task="fill-mask", out=tmp_path / "out", backend="torch-export"
    )
    exported = export(request)
    inputs = make_inputs(exported.manifest.plan, seed=11)
    expected = load_artifact(exported.folder)(**inputs)["logits"]
    torch.save({"inputs": inputs, "logits": expected}, tmp_path / "expected.pt")
    script = (
        "import torch; from neuron_catalog import NeuronAutoModel\n"
        f"saved = torch.load({str(tmp_path / 'expected.pt')!r})\n"
        f"model = NeuronAutoModel.from_pretrained({str(tmp_path / 'out')!r})\n"
        "assert torch.equal(model(**saved['inputs']).logits, saved['logits'])\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_graphs_compute_what_the_module_does_and_write_states_in_place(module, program):
    for name, length in (("forward", 3), ("backwards", 4)):
        ids, state = example(length)
        scores, kept = program.graphs[name](ids, state)
        expected = getattr(module, name)(*example(length))
        assert torch.equal(scores, expected[0])
        assert torch.equal(kept, expected[1])
        assert kept is state
        assert not scores.requires_grad


@pytest.mark.parametrize(
    "given",
    [
        (example(4)[0], example()[1]),
        (example()[0][:1], example()[1]),
        (example()[0].float(), example()[1]),
        (example()[0], example()[1].double()),
        (example()[0][None], example()[1]),
        example()[:1],
        (*example(), example()[1]),
        (),
    ],
    ids=[
        "longer",
        "fewer rows",
        "other type",
        "other state",
        "more dimensions",
        "one less",
        "one more",
        "none",
    ],
)
def test_anything_but_its_shapes_and_types_is_refused(given, program):
    with pytest.raises(ValueError, match=r"it takes \(2, 3\) torch.int64, \(2, 5\) torch.float32"):
        program.graphs["forward"](*given)


def test_graphs_run_in_several_threads(module, program):
    graph = DynamicBatch(program.graphs["forward"], 2, ThreadPoolExecutor(4).map)
    ids = torch.randint(50, (64, 3), generator=torch.Generator().manual_seed(1))
    scores, states = graph(ids, torch.zeros(64, 5))
    expected = [module(each, torch.zeros(2, 5)) for each in ids.split(2)]
    torch.testing.assert_close(scores, torch.cat([each for each, _ in expected]), rtol=0, atol=0)
    torch.testing.assert_close(states[:, 0], ids[:, 0].float(), rtol=0, atol=0)


def test_weights_are_stored_once_for_all_graphs_and_names(saved):
    large = [size for size in records(saved, "data/weights/weight_") if size >= 1000]
    assert large == [50 * 64 * 4]


def test_sources_and_examples_do_not_get_into_the_file(saved):
    assert records(saved, "sample_inputs") == [0, 0]
    with zipfile.ZipFile(saved) as archive:
        assert not any(__file__.encode() in archive.read(entry) for entry in archive.infolist())


def test_the_last_graph_is_what_torch_loads(saved):
    loaded = torch.export.load(saved).module()
    assert torch.equal(loaded(*example())[0], Counting()(*example())[0])


def test_weights_are_shared_by_all_graphs(program):
    weights = program.weights
    assert {name: value.requires_grad for name, value in weights.items()} == {
        "embedding.weight": True,
        "scores.weight": True,
        "scores.bias": True,
        "scale": False,
    }
    with torch.no_grad():
        weights["embedding.weight"].zero_()
        weights["scores.bias"].fill_(1.0)
    for name, length in (("forward", 3), ("backwards", 4)):
        scores, _ = program.graphs[name](*example(length))
        assert torch.equal(scores, (2 + torch.arange(50.0)).expand(2, length, 50))


def test_a_loaded_program_can_be_saved_again(program, tmp_path):
    torch_export.save(program, tmp_path / "again.pt2")
    again = torch_export.load(tmp_path / "again.pt2", ["forward"])
    assert torch.equal(again.graphs["forward"](*example())[0], program.graphs["forward"](*example())[0])


class Keeping(nn.Module):
    """Keeps tensors, one in an object of its own, and sets a hook when it is called first."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.kept = None
        self.words = SimpleNamespace()

    def forward(self, value):
        self.words.ids = torch.arange(3)
        if self.kept is None:
            self.layer.register_forward_hook(lambda layer, given, answer: answer + 1)
        self.kept = self.layer(value)
        return (self.kept,)


def test_export_leaves_the_module_as_it_was():
    module = Keeping()
    program = torch_export.compile(Compilation(module, {"forward": (torch.ones(2, 3),)}))
    assert module.kept is None
    assert not module.layer._forward_hooks
    assert not vars(module.words)
    (given,) = program.graphs["forward"](torch.ones(2, 3))
    assert torch.equal(given, module(torch.ones(2, 3))[0])


class Gridded(nn.Module):
    """Decides by whole numbers that it keeps: a size in a buffer, and a grid among its arguments."""

    def __init__(self):
        super().__init__()
        self.register_buffer("size", torch.tensor([4]), persistent=False)
        self.arguments = {"grid": torch.tensor([[2, 2], [1, 3]])}

    def forward(self, value):
        lengths = self.arguments["grid"].prod(1).tolist()
        if self.size > 3:
            value = value + 1
        return tuple(piece.sum(0) for piece in value.split(lengths))


def test_whole_numbers_that_a_model_keeps_are_known(tmp_path):
    module, example = Gridded(), (torch.arange(14.0).reshape(7, 2),)
    program = torch_export.compile(Compilation(module, {"forward": example}))
    assert program.observed == {"forward": "torch.export with known whole numbers"}
    torch_export.save(program, tmp_path / "model.pt2")
    graph = torch_export.load(tmp_path / "model.pt2", ["forward"]).graphs["forward"]
    assert all(map(torch.equal, graph(*example), module(*example)))
    assert module.arguments["grid"].tolist() == [[2, 2], [1, 3]]


def test_two_sizes_share_one_set_of_weights_on_disk(run, tmp_path):
    command = ("export", "bert", "--task", "fill-mask", *BACKEND)
    assert run(*command, "--sequence_length", "16", "one")[0] == 0
    assert run(*command, "--sequence_length", "8,16", "two")[0] == 0
    one, two = (sum(records(tmp_path / name / "model.pt2", "weights/weight_")) for name in ("one", "two"))
    source = Manifest.read(tmp_path / "two").source
    assert one >= source.weights_bytes
    assert two <= one + 4 * 100  # an outline has one number
    assert source.tied_weights


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("gpt2", "text-generation"),
        pytest.param("jamba", "text-generation", marks=pytest.mark.slow),
        pytest.param("t5", "text2text-generation", marks=pytest.mark.slow),
    ],
)
def test_it_writes_what_torchscript_writes(name, task, run, tmp_path):
    texts = []
    for backend in ("torchscript", "torch-export"):
        assert run("export", name, "--task", task, "--backend", backend, backend)[0] == 0
        model = NeuronAutoModel.from_pretrained(tmp_path / backend)
        inputs = make_inputs(model.manifest.plan, 5)
        ids = {each: value for each, value in inputs.items() if not each.startswith("decoder_")}
        prompt = {each: value[:, : value.shape[1] // 2] for each, value in ids.items()}
        texts.append([written(model, prompt, **how) for how in ({}, {"do_sample": True, "top_k": 0})])
    assert texts[0] == texts[1]
    assert len(set(texts[0][1][0][-6:])) > 1


def written(model, prompt, **how):
    torch.manual_seed(0)
    return model.generate(**prompt, max_new_tokens=6, **how).tolist()


def test_replaced_weights_are_proved_and_saved(checkpoint, tmp_path):
    folder = checkpoint("bert", "fill-mask")
    way = {"batch_size": 2, "sequence_length": (8, 16), "backend": "torch-export"}
    model = NeuronAutoModel.from_pretrained(folder, task="fill-mask", export=True, **way)
    trained = AutoModelForMaskedLM.from_pretrained(folder).eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1)
    model.replace_weights(trained.state_dict())
    for graph, given in zip(model.manifest.graphs, answers(model), strict=True):
        expected = trained(**make_inputs(graph.plan, 9)).logits
        assert (given - expected).abs().max() <= 1e-5 * expected.abs().max()
    loaded = NeuronAutoModel.from_pretrained(model.save_pretrained(tmp_path / "saved"))
    assert all(map(torch.equal, answers(loaded), answers(model)))


@pytest.fixture
def planted(monkeypatch):
    """Register a backend that exports another module than it is given; everything else is torch-export's."""

    def register(change):
        def compile(compilation):
            return torch_export.compile(replace(compilation, module=change(compilation.module)))

        planted = SimpleNamespace(**{**vars(torch_export), "compile": compile})
        monkeypatch.setitem(backends.BACKENDS, "planted", planted)

    return register


class Around(nn.Module):
    """Has a module's outputs go through a function."""

    def __init__(self, inner, change):
        super().__init__()
        self.inner = inner
        self.change = change

    def forward(self, *tensors):
        return self.change(self.inner(*tensors))


def by_values(outputs):
    return tuple(value * (2 if value.sum() > 0 else 1) for value in outputs)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda outputs: (outputs[0] * 1.001,), 6, "values: logits differs by"),
        (
            lambda outputs: (outputs[0] * (2 if outputs[0].sum() > 0 else 1),),
            5,
            "Error: torch.export failed at test_torch_export.py:",
        ),
    ],
    ids=["wrong values", "decides by values"],
)
def test_what_is_wrong_or_cannot_be_exported_leaves_nothing(change, code, said, planted, run, tmp_path):
    planted(lambda module: Around(module, change))
    given, out, err = run("export", "esm", "--task", "fill-mask", "--backend", "planted", "out")
    assert given == code
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_refusal_is_one_line_of_cause_and_one_of_remedy(module):
    with pytest.raises(CompileError) as refused:
        torch_export.compile(Compilation(Around(module, by_values), {"forward": example()}))
    assert len(str(refused.value).splitlines()) == 2
    assert refused.value.cause.startswith("torch.export failed at test_torch_export.py:")
    assert "Take the backend torchscript" in refused.value.remedy


def can_ask_transformers():
    try:
        from transformers.exporters import DynamoExporter

        DynamoExporter()
    except ImportError:
        return False
    return True


def test_the_exporter_of_transformers_is_asked_where_torch_refuses(module, monkeypatch, tmp_path):
    if not can_ask_transformers():
        pytest.skip("torch or transformers is too old")
    monkeypatch.setattr(torch_export, "WAYS", dict(list(torch_export.WAYS.items())[-1:]))
    program = torch_export.compile(Compilation(module, {"forward": example()}))
    assert program.observed == {"forward": "transformers.exporters.DynamoExporter"}
    torch_export.save(program, tmp_path / "model.pt2")
    graph = torch_export.load(tmp_path / "model.pt2", ["forward"]).graphs["forward"]
    assert torch.equal(graph(*example())[0], module(*example())[0])
    with pytest.raises(ValueError, match="it takes"):
        graph(*example(4))


@pytest.mark.parametrize("depends", [True, False])
def test_a_program_with_shapes_that_depend_on_values_must_be_readable(depends, monkeypatch, tmp_path):
    class Chosen(nn.Module):
        def forward(self, value):
            return ((value[value > 0] if depends else value).sum(),)

    def fail(path):
        raise RuntimeError("expected no unbacked symbols")

    program = torch_export.compile(Compilation(Chosen(), {"forward": (torch.ones(3),)}))
    monkeypatch.setattr(torch_export.pt2, "read", fail)
    with pytest.raises(CompileError, match="cannot be saved") if depends else nullcontext():
        torch_export.save(program, tmp_path / "model.pt2")


class Planted:
    """Would show that it was unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was read",))


def rewritten(path, change):
    """Give a file whose records went through `change(name, content)`; a new record is `more`."""
    with zipfile.ZipFile(path) as archive:
        held = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(held).items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "change",
    [
        lambda held: {n: pickle.dumps(Planted()) if "sample_inputs" in n else c for n, c in held.items()},
        lambda held: {**held, "model/data/constants/opaque_obj_0": pickle.dumps(Planted())},
        lambda held: {**held, "model/data/weights/model.pt": pickle.dumps(Planted())},
        lambda held: {n: c.replace(b'"use_pickle": false', b'"use_pickle": true') for n, c in held.items()},
    ],
    ids=["examples", "an object", "weights of old", "weights that say so"],
)
def test_a_file_with_a_pickle_is_refused_unread(change, saved):
    rewritten(saved, change)
    with pytest.raises(RequestError, match="pickle"):
        torch_export.load(saved, ["forward"])


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04"])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "model.pt2"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match="holds no programs of torch"):
        torch_export.load(path, ["forward"])


def test_a_missing_graph_is_named(saved):
    with pytest.raises(RequestError, match="has no graph 'bucket_0'"):
        torch_export.load(saved, ["bucket_0", "forward"])


def test_an_altered_artifact_is_refused(run, tmp_path):
    run("export", "esm", "--task", "fill-mask", *BACKEND, "out")
    path = tmp_path / "out" / "model.pt2"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(VerificationError):
        NeuronAutoModel.from_pretrained(tmp_path / "out")


@pytest.mark.parametrize(("option", "value"), [("auto_cast", "all"), ("optlevel", 1), ("unheard", "of")])
def test_options_of_compilers_are_refused(option, value):
    assert torch_export.unsupported(option, value)


@pytest.mark.parametrize(("option", "value"), [("auto_cast", "none"), ("optlevel", None), ("num_cores", 1)])
def test_options_that_ask_for_nothing_are_accepted(option, value):
    assert torch_export.unsupported(option, value) == ""
