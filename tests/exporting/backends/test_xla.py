"""The backend xla: checks, artifact and runtime as with the others, with graphs in HLO that XLA compiles."""

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import AutoModelForMaskedLM

from neuron_catalog import CompileError, ExportRequest, NeuronAutoModel, RequestError, export, load_artifact
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import xla
from neuron_catalog.exporting.backends.protocol import Compilation, DynamicBatch, Placement
from neuron_catalog.models.fills import make_inputs

pytest.importorskip("torch_xla", reason="torch-xla is not installed; `make xla-env` makes an environment")

REFUSED = 6


class Counting(nn.Module):
    """Two functions with one set of weights, tied ones too, and a constant of the code."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(50, 64)
        self.scores = nn.Linear(64, 50)
        self.scores.weight = self.embedding.weight
        self.register_buffer("scale", torch.full((1,), 2.0))

    def forward(self, ids):
        table = torch.arange(50.0).cos()
        return (self.scores(self.embedding(ids)) * self.scale + table,)

    def backwards(self, ids):
        return self.forward(ids.flip(1))


def example(length=3):
    return (torch.arange(2 * length).reshape(2, length),)


def compiled(module=None):
    examples = {"backwards": example(4), "forward": example()}
    return xla.compile(Compilation(module or Counting().eval(), examples))


@pytest.fixture
def saved(tmp_path):
    """A file with two functions of that module."""
    path = tmp_path / "model.hlo.zip"
    xla.save(compiled(), path)
    return path


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def answers(model):
    return [model(**make_inputs(graph.plan, 9)).logits for graph in model.manifest.graphs]


@pytest.fixture(scope="module")
def exported(catalog, tmp_path_factory):
    """An export of esm with two sizes."""
    out = tmp_path_factory.mktemp("esm") / "out"
    sizes = {"batch_size": 2, "sequence_length": (8, 16)}
    return export(ExportRequest(architecture="esm", task="fill-mask", backend="xla", out=out, axes=sizes))


def test_all_checks_pass_and_what_was_seen_is_recorded(exported):
    assert sorted(path.name for path in exported.folder.iterdir()) == [
        *("README.md", "config.json", "model.hlo.zip", "neuron_catalog.json"),
    ]
    for graph in exported.manifest.graphs:
        assert {check.status for check in graph.checks} == {"passed"}
    backend = exported.manifest.backend
    assert (backend.name, backend.arguments["device"]) == ("xla", "CPU")
    assert set(backend.versions) == {"torch", "torch-xla", "transformers"}


def test_artifact_answers_the_same_in_another_process(exported, tmp_path):
    inputs = make_inputs(exported.manifest.plan, seed=11)
    expected = load_artifact(exported.folder)(**inputs)["logits"]
    torch.save({"inputs": inputs, "logits": expected}, tmp_path / "expected.pt")
    script = (
        "import torch; from neuron_catalog import NeuronAutoModel\n"
        f"saved = torch.load({str(tmp_path / 'expected.pt')!r})\n"
        f"model = NeuronAutoModel.from_pretrained({str(exported.folder)!r})\n"
        "assert torch.equal(model(**saved['inputs']).logits, saved['logits'])\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_file_has_no_path_of_the_machine(exported):
    for content in entries(exported.folder / xla.FILE_NAME).values():
        for sign in (b".py", sys.prefix.encode(), b"site-packages", b"modeling_"):
            assert sign not in content


def test_equal_exports_are_equal_byte_for_byte(run, tmp_path):
    """In one process and in another, whose hashes of texts differ."""
    for name in ("one", "two"):
        xla.save(compiled(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    command = ("export", "esm", "--task", "fill-mask", "--backend", "xla")
    assert run(*command, "here")[0] == 0
    subprocess.run([sys.executable, "-m", "neuron_catalog", *command, "there"], check=True, cwd=tmp_path)
    here, there = (tmp_path / name / xla.FILE_NAME for name in ("here", "there"))
    assert here.read_bytes() == there.read_bytes()


def test_graphs_compute_what_the_module_does(saved):
    module, program = Counting(), xla.load(saved, ["backwards", "forward"])
    for name, length in (("forward", 3), ("backwards", 4)):
        (scores,) = program.graphs[name](*example(length))
        torch.testing.assert_close(scores, getattr(module, name)(*example(length))[0].detach())
        assert not scores.requires_grad


@pytest.mark.parametrize(
    "given",
    [
        example(4),
        (example()[0][:1],),
        (example()[0].float(),),
        (example()[0][None],),
        (*example(), *example()),
        (),
    ],
    ids=["longer", "fewer rows", "other type", "more dimensions", "one more", "none"],
)
def test_anything_but_its_shapes_and_types_is_refused(given, saved):
    program = xla.load(saved, ["forward"])
    with pytest.raises(ValueError, match=r"the graph takes \(\(\(2, 3\), torch.int64\),\), not"):
        program.graphs["forward"](*given)


def test_weights_are_stored_once_for_all_graphs_and_names(saved):
    size = len(entries(saved)["tensors.safetensors"])
    weights = (50 * 64 + 50 + 1) * 4
    assert weights < size < weights + 50 * 64 * 4
    signature = json.loads(entries(saved)["signature.json"])
    assert signature["weights"]["scores.weight"] == "embedding.weight"


def test_two_sizes_share_one_set_of_weights_on_disk(exported, catalog, tmp_path):
    sizes = {"batch_size": 2, "sequence_length": 16}
    one = export(
        ExportRequest(architecture="esm", task="fill-mask", backend="xla", out=tmp_path / "one", axes=sizes)
    )
    alone, both = (
        len(entries(each.folder / xla.FILE_NAME)["tensors.safetensors"]) for each in (one, exported)
    )
    assert alone >= one.manifest.source.weights_bytes
    assert both < 1.2 * alone


def test_weights_tell_which_are_parameters(saved):
    weights = xla.load(saved, ["forward"]).weights
    assert {name: value.requires_grad for name, value in weights.items()} == {
        "embedding.weight": True,
        "scores.weight": True,
        "scores.bias": True,
        "scale": False,
    }


def test_other_weights_are_taken_by_all_graphs_and_put_back_if_that_fails(saved):
    program = xla.load(saved, ["backwards", "forward"])
    before = program.graphs["forward"](*example())[0]
    other = Counting()
    with torch.no_grad():
        other.embedding.weight.mul_(-3)
    new = {"embedding.weight": other.embedding.weight.detach(), "scores.weight": other.scores.weight.detach()}
    with pytest.raises(KeyboardInterrupt), program.overwritten(new):
        raise KeyboardInterrupt
    assert torch.equal(program.graphs["forward"](*example())[0], before)
    with program.overwritten(new):
        pass
    for name, length in (("forward", 3), ("backwards", 4)):
        expected = getattr(other, name)(*example(length))[0].detach()
        torch.testing.assert_close(program.graphs[name](*example(length))[0], expected)


def test_a_loaded_program_can_be_saved_again(saved, tmp_path):
    xla.save(xla.load(saved, ["backwards", "forward"]), tmp_path / "again")
    assert entries(tmp_path / "again") == entries(saved)


def test_replaced_weights_are_proved_and_saved(checkpoint, tmp_path):
    folder = checkpoint("bert", "fill-mask")
    way = {"batch_size": 2, "sequence_length": (8, 16), "backend": "xla"}
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
    """Register a backend that exports another module than it is given; everything else is xla's."""

    def register(change):
        def compile(compilation):
            return xla.compile(replace(compilation, module=change(compilation)))

        monkeypatch.setitem(
            backends.BACKENDS, "planted", SimpleNamespace(**{**vars(xla), "compile": compile})
        )

    return register


class Altered(nn.Module):
    """Runs a faulty computation in place of the module that should be compiled."""

    def __init__(self, module, compute):
        super().__init__()
        self.module = module
        self.compute = compute

    def forward(self, *tensors):
        return self.compute(self.module, *tensors)


def other_weights(module, *tensors):
    return tuple(value * 1.001 for value in module(*tensors))


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        (other_weights, "values: logits differs by"),
        (lambda module, ids, mask: module(ids * 0 + 5, mask), "input_ids"),
        (lambda module, ids, mask: module(ids, torch.ones_like(mask)), "attention_mask"),
    ],
    ids=["another factor", "a baked input", "a baked mask"],
)
def test_planted_faults_are_refused(compute, said, planted, run, tmp_path):
    planted(lambda compilation: Altered(compilation.module, compute))
    code, out, err = run("export", "esm", "--task", "fill-mask", "--backend", "planted", "out")
    assert code == REFUSED
    assert said in out + err
    assert not (tmp_path / "out").exists()


def test_a_value_that_was_read_is_found_by_other_inputs(planted, run):
    def compute(module, ids, mask):
        return tuple(value + ids[0, 0].item() for value in module(ids, mask))

    planted(lambda compilation: Altered(compilation.module, compute))
    code, out, err = run("export", "esm", "--task", "fill-mask", "--backend", "planted", "out")
    assert (code, "differs by" in out + err) == (REFUSED, True)


def test_an_operator_that_xla_does_not_have_is_named_with_its_line():
    class Transforming(nn.Module):
        def forward(self, value):
            return (torch.fft.fft(value).real,)

    with pytest.raises(
        CompileError, match=r"XLA has no operator aten::_fft_\w+ at .*test_xla\.py:\d+\."
    ) as caught:
        xla.compile(Compilation(Transforming(), {"forward": (torch.ones(2, 4),)}))
    assert "must do without this one" in str(caught.value)


def test_what_is_no_tuple_of_tensors_is_refused():
    class Naming(nn.Module):
        def forward(self, value):
            return {"value": value}

    with pytest.raises(CompileError, match="The function returns dict"):
        xla.compile(Compilation(Naming(), {"forward": (torch.ones(2),)}))


@pytest.mark.parametrize(
    "compute",
    [
        lambda value: value @ value,
        lambda value: {"0": value}[f"{value}"],
        lambda value: value.unheard,
    ],
)
def test_an_error_of_the_model_comes_with_its_line(compute):
    """A text with a tensor in it tells its shape."""

    class Failing(nn.Module):
        def forward(self, value):
            return (compute(value),)

    with pytest.raises(CompileError, match=r"Lowering failed at .*test_xla\.py:\d+: "):
        xla.compile(Compilation(Failing(), {"forward": (torch.zeros(2, 3),)}))


def test_graphs_whose_outputs_are_inputs_constants_or_the_same_twice():
    class Passing(nn.Module):
        def forward(self, value, unused):
            return value, torch.arange(3), value * 2, value

    examples = torch.tensor([1.0, 2.0]), torch.ones(1)
    program = xla.compile(Compilation(Passing(), {"forward": examples}))
    given = program.graphs["forward"](*(each + 1 for each in examples))
    assert [each.tolist() for each in given] == [[2, 3], [0, 1, 2], [4, 6], [2, 3]]


def test_the_module_is_as_it_was():
    module = Counting()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    compiled(module)
    assert {value.device.type for value in module.state_dict().values()} == {"cpu"}
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_what_a_module_keeps_is_not_taken_from_a_trace():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.length, self.kept = None, None

        def forward(self, value):
            if self.length != value.shape[1]:
                self.length, self.kept = value.shape[1], torch.arange(value.shape[1], device=value.device)
            return (torch.cat([value, self.kept.expand_as(value)]),)

    module = Keeping()
    examples = {"three": (torch.zeros(1, 3),), "three_again": (torch.zeros(2, 3),)}
    program = xla.compile(Compilation(module, examples))
    assert (module.length, module.kept) == (None, None)
    for name, inputs in examples.items():
        assert torch.equal(program.graphs[name](*inputs)[0], module(*inputs)[0])


def test_a_write_into_a_buffer_stays_in_the_graph():
    """Each call begins with the buffer as it was; other graphs and the stored weights do too."""

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, value):
            self.count.add_(1)
            return (value + self.count,)

    module = Counter()
    program = xla.compile(Compilation(module, {"one": (torch.zeros(1),), "two": (torch.zeros(2),)}))
    for graph, size in (("one", 1), ("two", 2), ("two", 2)):
        assert program.graphs[graph](torch.zeros(size))[0].tolist() == [1.0] * size
    assert program.weights["count"].tolist() == [0.0]
    assert all("weight:count" in each.arguments for each in program.lowered.values())


def test_graphs_run_in_several_threads(saved):
    graph = DynamicBatch(xla.load(saved, ["forward"]).graphs["forward"], 2, ThreadPoolExecutor(4).map)
    ids = torch.randint(50, (65, 3), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(graph(ids), Counting()(ids))


def rewritten(path, change):
    """Give a file whose entries went through `change`."""
    held = change(entries(path))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)


def signed(**changes):
    """A change of the signature."""
    return lambda held: {
        **held,
        "signature.json": json.dumps(json.loads(held["signature.json"]) | changes).encode(),
    }


INPUT = {"shape": [2, 3], "dtype": "int64"}


@pytest.mark.parametrize(
    "change",
    [
        lambda held: {name: content for name, content in held.items() if name != "signature.json"},
        lambda held: {name: content for name, content in held.items() if name != "tensors.safetensors"},
        lambda held: {name: content for name, content in held.items() if name != "forward.hlo"},
        lambda held: {**held, "signature.json": b"[]"},
        lambda held: {**held, "signature.json": b"\xff"},
        lambda held: {**held, "tensors.safetensors": b"nothing"},
        lambda held: {**held, "forward.hlo": b"nothing"},
        lambda held: {**held, "forward.hlo": b""},
        lambda held: {**held, "forward.hlo": held["forward.hlo"][:-200]},
        signed(graphs={}),
        signed(weights={}),
        signed(parameters=["unheard"]),
        signed(graphs={"forward": {"arguments": ["weight:unheard"], "inputs": [INPUT]}}),
        signed(graphs={"forward": {"arguments": ["constant:unheard"], "inputs": [INPUT]}}),
        signed(graphs={"forward": {"arguments": ["input:x"], "inputs": [INPUT]}}),
        signed(graphs={"forward": {"arguments": ["input:0"], "inputs": [{**INPUT, "dtype": "unheard"}]}}),
        signed(graphs={"forward": {"arguments": ["input:0"], "inputs": [3]}}),
    ],
)
def test_a_damaged_file_is_refused(change, saved):
    rewritten(saved, change)
    with pytest.raises(RequestError, match="is no file of lowered graphs"):
        xla.load(saved, ["forward"])


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04"])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "model.hlo.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match="is no file of lowered graphs"):
        xla.load(path, ["forward"])


def test_it_cannot_be_placed_on_cores(saved):
    with pytest.raises(RequestError, match="not compiled for NeuronCores"):
        xla.load(saved, ["forward"], Placement())


def test_a_decoder_with_a_cache_writes_what_the_model_writes(checkpoint, tmp_path):
    folder = checkpoint("gpt2", "text-generation")
    model = NeuronAutoModel.from_pretrained(folder, task="text-generation", export=True, backend="xla")
    from transformers import AutoModelForCausalLM

    eager = AutoModelForCausalLM.from_pretrained(folder).eval()
    prompt = {
        name: value[:, :4] for name, value in make_inputs(model.manifest.plan, 5).items() if value.dim() == 2
    }
    how = {"max_new_tokens": 6, "do_sample": False}
    given = model.generate(**prompt, **how)
    expected = eager.generate(**prompt, **how, pad_token_id=0)
    assert given.tolist() == expected.tolist()
    assert given.shape[1] == 10


def test_torchscript_stays_the_default():
    assert backends.choose(None)[0] == "torchscript"


@pytest.mark.parametrize(("option", "value"), [("auto_cast", "all"), ("optlevel", 1), ("unheard", "of")])
def test_options_of_compilers_are_refused(option, value):
    assert xla.unsupported(option, value)
