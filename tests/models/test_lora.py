"""Merged adapters give what diffusers' own pipelines give; what does not fit is refused before."""

import json
import logging
import warnings
import weakref
from importlib.metadata import version

import pytest
import torch
from diffusers import (
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from neuron_catalog.digests import record_file
from neuron_catalog.errors import RequestError, RequirementError, UsageError
from neuron_catalog.models import adapter_weights, adapters
from neuron_catalog.models.adapter_weights import read_adapter
from neuron_catalog.models.adapters import Adapter, make_adapters
from neuron_catalog.models.lora import merge, require_fitting
from neuron_catalog.models.sources import HubAccess

CLIP = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 20,
    "max_position_embeddings": 8,
    "projection_dim": 6,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
UNET = {
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "sample_size": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
}
UNET_XL = UNET | {
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 2,
    "projection_class_embeddings_input_dim": 18,
}
FLUX = {
    "patch_size": 1,
    "in_channels": 4,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 8,
    "pooled_projection_dim": 8,
    "axes_dims_rope": [4, 4, 8],
}
SD3 = {
    "sample_size": 4,
    "patch_size": 1,
    "in_channels": 4,
    "num_layers": 1,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 8,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 8,
    "out_channels": 4,
}
BUILD = {
    StableDiffusionPipeline: {
        "unet": lambda: UNet2DConditionModel(**UNET),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**CLIP)),
    },
    StableDiffusionXLPipeline: {
        "unet": lambda: UNet2DConditionModel(**UNET_XL),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**CLIP)),
        "text_encoder_2": lambda: CLIPTextModelWithProjection(CLIPTextConfig(**CLIP)),
    },
    StableDiffusion3Pipeline: {"transformer": lambda: SD3Transformer2DModel(**SD3)},
    FluxPipeline: {
        "transformer": lambda: FluxTransformer2DModel(**FLUX),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**CLIP)),
    },
}
TARGETS = {
    "unet": ["to_q", "to_out.0", "conv1"],
    "transformer": ["to_q", "to_out.0", "proj_mlp", "x_embedder", "pos_embed.proj"],
    "text_encoder": ["q_proj", "fc1"],
    "text_encoder_2": ["v_proj", "fc2"],
}
KINDS = pytest.mark.parametrize("kind", BUILD, ids=lambda kind: kind.__name__)


def build(kind, device="cpu"):
    """The parts of a pipeline with the same random weights each time."""
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        return {part: make().eval() for part, make in BUILD[kind].items()}


def pipeline(kind, parts):
    """diffusers' own pipeline around parts, with nothing else in it."""
    names = {*kind._get_signature_keys(kind)[0], *kind._optional_components}
    return kind(**{name: parts.get(name) for name in names})


def save(folder, kind, seed, parts=None, rank=2, alpha=None):
    """Write an adapter for some parts of a pipeline as diffusers does; returns its folder."""
    layers = {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for part, module in build(kind).items():
            if part in (parts or BUILD[kind]):
                config = LoraConfig(
                    r=rank, lora_alpha=alpha or rank, target_modules=TARGETS[part], init_lora_weights=False
                )
                module.add_adapter(config)
                layers[f"{part}_lora_layers"] = get_peft_model_state_dict(module)
    kind.save_lora_weights(folder, **layers)
    return folder


def save_kohya(folder, parts, alphas):
    """Write an adapter in the form of kohya's trainer; returns the changes of weights it defines."""
    words = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}
    tensors, changes = {}, {}
    generator = torch.Generator().manual_seed(7)
    for part, module in parts.items():
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Linear) and name.endswith(
                ("to_q", "to_out.0", "net.2", "out_proj", "q_proj", "fc1")
            ):
                rank, alpha = 2 + 2 * (len(changes) % 2), alphas[len(changes) % len(alphas)]
                down = torch.randn(rank, layer.in_features, generator=generator)
                up = torch.randn(layer.out_features, rank, generator=generator)
                key = words[part] + name.replace(".", "_")
                tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
                tensors[f"{key}.alpha"] = torch.tensor(float(alpha))
                changes[part, f"{name}.weight"] = alpha / rank * up @ down
    folder.mkdir()
    save_file(tensors, folder / "style.safetensors")
    return changes


def read(kind, *asked):
    config = build(kind, "meta")["unet"].config if kind is StableDiffusionXLPipeline else None
    return [read_adapter(adapter, kind, unet_config=config) for adapter in asked]


def merged(kind, *asked):
    weights = read(kind, *asked)
    require_fitting(weights, build(kind, "meta"))
    parts = build(kind)
    for part, module in parts.items():
        merge(module, part, *weights)
    return parts


def fused(kind, *asked):
    """What diffusers itself makes of the same adapters."""
    whole = pipeline(kind, build(kind))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute", UserWarning)
        for adapter in asked:
            whole.load_lora_weights(adapter.model, weight_name=adapter.weight_name, adapter_name=adapter.name)
    whole.set_adapters([adapter.name for adapter in asked], [adapter.scale for adapter in asked])
    whole.fuse_lora(components=list(BUILD[kind]))
    whole.unload_lora_weights()
    return {part: getattr(whole, part) for part in BUILD[kind]}


def output(part, module):
    generator = torch.Generator().manual_seed(3)
    if part.startswith("text_encoder"):
        return module(torch.arange(6)[None], output_hidden_states=True).hidden_states[-1]
    text = torch.randn(1, 5, 8, generator=generator)
    if part == "unet":
        added = {"text_embeds": torch.ones(1, 6), "time_ids": torch.ones(1, 6)}
        return module(torch.randn(1, 4, 4, 4, generator=generator), 3, text, added_cond_kwargs=added).sample
    if isinstance(module, SD3Transformer2DModel):
        return module(
            torch.randn(1, 4, 4, 4, generator=generator), text, torch.ones(1, 8), torch.ones(1)
        ).sample
    return module(
        torch.randn(1, 4, 4, generator=generator),
        encoder_hidden_states=text,
        pooled_projections=torch.ones(1, 8),
        timestep=torch.ones(1),
        img_ids=torch.zeros(4, 3),
        txt_ids=torch.zeros(5, 3),
    ).sample


def changed(module, plain):
    """The names of weights that differ."""
    before = plain.state_dict()
    return {name for name, weight in module.state_dict().items() if not torch.equal(weight, before[name])}


def refused(kind, adapter, modules=None):
    """The whole message with which an adapter is refused."""
    with pytest.raises(RequestError) as caught:
        require_fitting(read(kind, adapter), build(kind, "meta") if modules is None else modules)
    return str(caught.value)


@KINDS
@pytest.mark.parametrize("scales", [(1.0,), (0.5, -1.25)], ids=["one", "two"])
def test_a_merged_module_answers_like_that_of_the_fused_pipeline(kind, scales, tmp_path):
    asked = [
        Adapter(
            model=str(save(tmp_path / str(number), kind, number, rank=2 + number)),
            name=f"adapter_{number}",
            scale=scale,
        )
        for number, scale in enumerate(scales)
    ]
    plain, ours, theirs = build(kind), merged(kind, *asked), fused(kind, *asked)
    with torch.no_grad():
        for part in BUILD[kind]:
            expected = output(part, theirs[part])
            assert torch.equal(output(part, ours[part]), expected), part
            assert changed(ours[part], plain[part]), part


@KINDS
def test_a_plain_module_comes_out(kind, tmp_path):
    plain = build(kind)
    for part, module in merged(kind, Adapter(model=str(save(tmp_path, kind, 1)))).items():
        assert type(module) is type(plain[part])
        assert list(module.state_dict()) == list(plain[part].state_dict())
        assert [type(inner) for inner in module.modules()] == [type(inner) for inner in plain[part].modules()]
        assert not any(isinstance(inner, BaseTunerLayer) for inner in module.modules())
        assert all(parameter.requires_grad for parameter in module.parameters())
        assert not hasattr(module, "peft_config")
        assert not module.training


@KINDS
def test_a_merged_module_is_freed_with_its_last_user(kind, tmp_path):
    weights = read(kind, Adapter(model=str(save(tmp_path, kind, 1))))
    parts = build(kind)
    for part, module in parts.items():
        merge(module, part, *weights)
    alive = [weakref.ref(module) for module in parts.values()]
    del parts, module
    assert [reference() for reference in alive] == [None] * len(alive)


def test_parts_that_no_adapter_changes_are_left_alone(tmp_path):
    kind = StableDiffusionPipeline
    adapter = Adapter(model=str(save(tmp_path, kind, 1, parts=["unet"])))
    parts = build(kind)
    before = set(parts["text_encoder"].__dict__)
    merge(parts["text_encoder"], "text_encoder", *read(kind, adapter))
    assert set(parts["text_encoder"].__dict__) == before
    assert not changed(parts["text_encoder"], build(kind)["text_encoder"])


def test_adapters_may_change_different_parts(tmp_path):
    kind = StableDiffusionPipeline
    first = Adapter(model=str(save(tmp_path / "a", kind, 1, parts=["unet"])), name="first", scale=2.0)
    second = Adapter(model=str(save(tmp_path / "b", kind, 2, parts=["text_encoder"])), name="second")
    ours, theirs = merged(kind, first, second), fused(kind, first, second)
    assert not any(changed(ours[part], theirs[part]) for part in ours)


def test_any_name_will_do(tmp_path):
    kind = StableDiffusionPipeline
    folder = str(save(tmp_path, kind, 1, parts=["text_encoder"]))
    usual, odd = (merged(kind, Adapter(model=folder, name=name)) for name in ("adapter_0", "e.encoder/keys"))
    assert changed(usual["text_encoder"], build(kind)["text_encoder"])
    assert not changed(usual["text_encoder"], odd["text_encoder"])


def test_what_a_file_states_of_itself_is_honoured(tmp_path):
    """Without the alpha in the file's metadata, a scale of 1 would be taken for 2."""
    from diffusers.training_utils import _collate_lora_metadata

    kind = StableDiffusionPipeline
    module = build(kind)["unet"]
    module.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=["to_q"], init_lora_weights=False))
    kind.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(module),
        **_collate_lora_metadata({"unet": module}),
    )
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = load_file(tmp_path / "pytorch_lora_weights.safetensors")
    change = tensors[f"unet.{name}.lora_B.weight"] @ tensors[f"unet.{name}.lora_A.weight"]
    ours = merged(kind, Adapter(model=str(tmp_path)))["unet"].state_dict()[f"{name}.weight"]
    torch.testing.assert_close(ours, build(kind)["unet"].state_dict()[f"{name}.weight"] + 2 * change)


def test_kohya_files_with_one_alpha_give_what_diffusers_gives(tmp_path):
    kind = StableDiffusionPipeline
    save_kohya(tmp_path / "kohya", build(kind), alphas=[1.0])
    asked = Adapter(model=str(tmp_path / "kohya"), weight_name="style.safetensors", scale=0.7)
    ours, theirs = merged(kind, asked), fused(kind, asked)
    for part in ours:
        for name, weight in theirs[part].state_dict().items():
            torch.testing.assert_close(ours[part].state_dict()[name], weight)


def test_kohya_files_with_several_alphas_give_what_their_trainer_means(tmp_path):
    """diffusers 0.42 takes the most common alpha for all attention layers."""
    kind = StableDiffusionPipeline
    changes = save_kohya(tmp_path / "kohya", build(kind), alphas=[1.0, 2.0, 4.0])
    ours = merged(kind, Adapter(model=str(tmp_path / "kohya"), scale=0.5))
    for part, plain in build(kind).items():
        for name, weight in plain.state_dict().items():
            expected = weight + 0.5 * changes.get((part, name), 0.0)
            torch.testing.assert_close(ours[part].state_dict()[name], expected)
    assert {part for part, _ in changes} == {"unet", "text_encoder"}


def test_kohya_files_for_stable_diffusion_xl_number_blocks_as_its_authors_did(tmp_path):
    kind = StableDiffusionXLPipeline
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    key = "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_q"
    down, up = torch.ones(2, 8), torch.ones(8, 2)
    tensors = {
        f"{key}.lora_down.weight": down,
        f"{key}.lora_up.weight": up,
        f"{key}.alpha": torch.tensor(1.0),
    }
    save_file(tensors, tmp_path / "style.safetensors")
    ours = merged(kind, Adapter(model=str(tmp_path)))["unet"].state_dict()[f"{name}.weight"]
    torch.testing.assert_close(ours, build(kind)["unet"].state_dict()[f"{name}.weight"] + 1.0)


def test_the_file_read_is_recorded(tmp_path):
    kind = StableDiffusionPipeline
    file = save(tmp_path, kind, 1) / "pytorch_lora_weights.safetensors"
    (weights,) = read(kind, Adapter(model=str(file)))
    assert weights.record == record_file(file)
    assert set(weights.parts) == {"unet", "text_encoder"}


def test_fitting_leaves_modules_and_loggers_as_they_are(tmp_path):
    kind = StableDiffusionPipeline
    log = logging.getLogger("diffusers")
    before = log.handlers[:], log.level
    parts = build(kind, "meta")
    names = {part: [name for name, _ in module.named_modules()] for part, module in parts.items()}
    require_fitting(read(kind, Adapter(model=str(save(tmp_path, kind, 1)))), parts)
    assert names == {part: [name for name, _ in module.named_modules()] for part, module in parts.items()}
    assert (log.handlers, log.level) == before


def test_options_become_adapters():
    assert make_adapters(None) == ()
    assert make_adapters(["a/b", "c"]) == (
        Adapter(model="a/b", name="adapter_0"),
        Adapter(model="c", name="adapter_1"),
    )
    assert make_adapters(["a"], ["w.safetensors"], ["style"], [0.5]) == (
        Adapter(model="a", weight_name="w.safetensors", name="style", scale=0.5),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model_ids": ["a", "b"], "scales": [1.0]},
            "--lora_scales and --lora_model_ids differ in length: 1 and 2.\n"
            "Give one entry per adapter, in the same order.",
        ),
        (
            {"model_ids": [], "weight_names": ["w.safetensors"]},
            "--lora_weight_names and --lora_model_ids differ in length: 1 and 0.\n"
            "Give one entry per adapter, in the same order.",
        ),
        (
            {"model_ids": ["a", "b"], "names": ["x", "x"]},
            "Two adapters are called x.\nChoose different --lora_adapter_names.",
        ),
        (
            {"model_ids": ["a", "b"], "names": ["x", ""]},
            "An entry of --lora_adapter_names is empty.\nGive one entry per adapter.",
        ),
        (
            {"model_ids": ["a"], "scales": [float("nan")]},
            "The scale of adapter_0 is nan.\nGive a finite number in --lora_scales.",
        ),
    ],
)
def test_options_that_do_not_belong_together(options, message):
    with pytest.raises(UsageError) as caught:
        make_adapters(**options)
    assert str(caught.value) == message


def test_layers_that_the_module_does_not_have(tmp_path):
    kind = StableDiffusionPipeline
    adapter = Adapter(model=str(save(tmp_path, kind, 1, parts=["text_encoder"])))
    with torch.device("meta"):
        shallow = CLIPTextModel(CLIPTextConfig(**CLIP | {"num_hidden_layers": 1}))
    assert refused(kind, adapter, {"text_encoder": shallow}) == (
        f"The adapter adapter_0 ({tmp_path}) was made for another model: its text_encoder has other linear "
        "layers or convolutions than this one (encoder.layers.1.mlp.fc1 and 1 more).\n"
        "Choose an adapter that was trained for this checkpoint, or one like it."
    )


@pytest.mark.parametrize(
    ("change", "layer", "theirs", "ours"),
    [
        (
            {"cross_attention_dim": 6},
            "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
            "8×8",
            "8×6",
        ),
        ({"block_out_channels": (4, 16)}, "down_blocks.1.resnets.0.conv1", "8×4×3×3", "16×4×3×3"),
    ],
)
def test_layers_of_other_sizes(change, layer, theirs, ours, tmp_path, monkeypatch):
    kind = StableDiffusionPipeline
    monkeypatch.setitem(TARGETS, "unet", [layer.rpartition(".")[2]])
    adapter = Adapter(model=str(save(tmp_path, kind, 1, parts=["unet"])))
    with torch.device("meta"):
        other = UNet2DConditionModel.from_config(UNet2DConditionModel(**UNET | change).config)
    assert refused(kind, adapter, {"unet": other}) == (
        f"The adapter adapter_0 ({tmp_path}) was made for another model: for it the weight of unet.{layer} "
        f"is {theirs}, but here it is {ours}.\n"
        "Choose an adapter that was trained for this checkpoint, or one like it."
    )


def test_a_part_that_the_pipeline_lacks(tmp_path):
    kind = StableDiffusionXLPipeline
    adapter = Adapter(model=str(save(tmp_path, kind, 1)))
    modules = build(kind, "meta")
    del modules["text_encoder"]
    assert refused(kind, adapter, modules) == (
        f"The adapter adapter_0 ({tmp_path}) changes text_encoder, which this pipeline lacks.\n"
        "Choose an adapter that was trained for this checkpoint, or one like it."
    )


def test_an_adapter_for_another_pipeline(tmp_path):
    adapter = Adapter(model=str(save(tmp_path, FluxPipeline, 1)), name="style")
    assert refused(StableDiffusionPipeline, adapter) == (
        f"The adapter style ({tmp_path}) was made for another pipeline: it changes transformer, but in a "
        "StableDiffusionPipeline adapters change unet, text_encoder.\n"
        "Choose an adapter that was trained for this checkpoint, or one like it."
    )


def test_a_pipeline_without_adapters(tmp_path):
    assert refused(PixArtAlphaPipeline, Adapter(model=str(tmp_path)), {}) == (
        f"diffusers {version('diffusers')} has no LoRA adapters for PixArtAlphaPipeline.\n"
        "Leave out --lora_model_ids."
    )


LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
PAIR = {f"{LAYER}.lora_A.weight": torch.ones(2, 8), f"{LAYER}.lora_B.weight": torch.ones(8, 2)}


def without(ending):
    return {name: tensor for name, tensor in PAIR.items() if not name.endswith(ending)}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "The adapter {adapter} holds no weights.\nChoose another file."),
        (
            {"mid_block.weight": torch.ones(1)},
            "The adapter {adapter} holds mid_block.weight, which is no LoRA weight.\n"
            "Choose a file that holds a LoRA adapter and nothing else.",
        ),
        (
            without("lora_B.weight"),
            "The adapter {adapter} has no pair of matrices for " + LAYER + ", but lora_A.weight.\n"
            "Download or copy it again.",
        ),
        (
            PAIR | {f"{LAYER}.lora_B.weight": torch.ones(8, 3)},
            "The adapter {adapter} was made for another model: for it the weight of "
            + LAYER
            + " is 8×3 times "
            "2×8, but here it is 8×8.\n"
            "Choose an adapter that was trained for this checkpoint, or one like it.",
        ),
        (
            {name: torch.ones(8) for name in PAIR},
            "The adapter {adapter} was made for another model: for it the weight of "
            + LAYER
            + " is 8 times 8, "
            "but here it is 8×8.\n"
            "Choose an adapter that was trained for this checkpoint, or one like it.",
        ),
        (
            PAIR | {f"{LAYER}.lora_B.bias": torch.ones(8)},
            "The adapter {adapter} was made for another model: it changes the bias of "
            + LAYER
            + ", which here "
            "has none.\n"
            "Choose an adapter that was trained for this checkpoint, or one like it.",
        ),
        (
            PAIR | {f"{LAYER}.dora_scale": torch.ones(8)},
            "diffusers {diffusers} cannot take the whole adapter {adapter}: It seems like you are using a "
            "DoRA checkpoint that is not compatible in Diffusers at the moment. So, we are going to filter "
            "out the keys associated to 'dora_scale` from the state dict. If you think this is a mistake "
            "please open an issue https://github.com/huggingface/diffusers/issues/new.\n"
            "Choose another adapter, or another diffusers if this one is newer.",
        ),
        (
            {"lora_unet_x.lora_down.weight": torch.ones(2, 8)},
            "diffusers {diffusers} cannot take the whole adapter {adapter}: 'lora_unet_x.lora_up.weight' is "
            "missing\n"
            "Choose another adapter, or another diffusers if this one is newer.",
        ),
    ],
)
def test_files_that_hold_something_else(tensors, message, tmp_path):
    save_file(tensors, tmp_path / "odd.safetensors")
    adapter = Adapter(model=str(tmp_path))
    expected = message.format(adapter=adapter, diffusers=version("diffusers"))
    assert refused(StableDiffusionPipeline, adapter) == expected


def test_metadata_that_names_other_layers(tmp_path):
    kind = StableDiffusionPipeline
    layer = "encoder.layers.0.self_attn.q_proj"
    tensors = {
        f"text_encoder.{layer}.lora_A.weight": torch.ones(2, 8),
        f"text_encoder.{layer}.lora_B.weight": torch.ones(8, 2),
    }
    stated = {"text_encoder.r": 2, "text_encoder.lora_alpha": 2, "text_encoder.target_modules": ["q_proj"]}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(stated)}
    save_file(tensors, tmp_path / "odd.safetensors", metadata=metadata)
    assert refused(kind, Adapter(model=str(tmp_path))) == (
        f"The adapter adapter_0 ({tmp_path}) names other layers of the text_encoder than it has matrices "
        "for: encoder.layers.1.self_attn.q_proj.\n"
        "Save it again with the diffusers and peft that it was trained with."
    )


def test_metadata_that_names_other_layers_of_a_unet(tmp_path):
    stated = {"unet.r": 2, "unet.lora_alpha": 2, "unet.target_modules": ["to_q"]}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(stated)}
    save_file(PAIR, tmp_path / "odd.safetensors", metadata=metadata)
    assert "While injecting the PEFT adapters, an inconsistency was discovered" in refused(
        StableDiffusionPipeline, Adapter(model=str(tmp_path))
    )


def test_a_kohya_file_that_diffusers_converts_in_part(tmp_path):
    """Without an out_proj, diffusers 0.42 leaves the attention of text encoders out."""
    tensors = {}
    for layer, size in {"self_attn_q_proj": 8, "mlp_fc1": 16}.items():
        key = f"lora_te_text_model_encoder_layers_0_{layer}"
        tensors |= {
            f"{key}.lora_down.weight": torch.ones(2, 8),
            f"{key}.lora_up.weight": torch.ones(size, 2),
        }
    save_file(tensors, tmp_path / "odd.safetensors")
    assert refused(StableDiffusionPipeline, Adapter(model=str(tmp_path))) == (
        f"diffusers {version('diffusers')} cannot take the whole adapter adapter_0 ({tmp_path}): it does not "
        "know text_encoder.encoder.layers.0.self_attn.to_q_lora.down.weight.\n"
        "Choose another adapter, or another diffusers if this one is newer."
    )


def test_a_corrupt_file(tmp_path):
    (tmp_path / "odd.safetensors").write_bytes(b"no such thing")
    message = refused(StableDiffusionPipeline, Adapter(model=str(tmp_path)))
    assert message.startswith(f"The adapter adapter_0 ({tmp_path}) is corrupt: ")
    assert message.endswith(".\nDownload or copy it again.")


@pytest.mark.parametrize(
    ("model", "weight_name", "message"),
    [
        ("absent", None, "There is no folder {here}/absent.\nCheck the path."),
        ("absent.safetensors", None, "There is no file {here}/absent.safetensors.\nCheck the path."),
        (
            "two",
            None,
            "{here}/two has several files of weights: a.safetensors, b.safetensors.\n"
            "Choose one with --lora_weight_names.",
        ),
        (
            "two",
            "c.safetensors",
            "The folder {here}/two has no file c.safetensors.\n"
            "Check --lora_weight_names: did you mean b.safetensors or a.safetensors?",
        ),
        ("two", "readme.md", "readme.md is no .safetensors file.\nChoose one with --lora_weight_names."),
        (
            "two/a.safetensors",
            "b.safetensors",
            "{here}/two/a.safetensors is a file, in which there is no b.safetensors.\n"
            "Give its folder as the model id, or no --lora_weight_names.",
        ),
        (
            "pickled",
            None,
            "pytorch_lora_weights.bin is pickled, and a pickle can run any code when it is read.\n"
            "Convert it to safetensors, or choose an adapter that comes so.",
        ),
        (
            "pickled/pytorch_lora_weights.bin",
            None,
            "pytorch_lora_weights.bin is pickled, and a pickle can run any code when it is read.\n"
            "Convert it to safetensors, or choose an adapter that comes so.",
        ),
        (
            "empty",
            None,
            "{here}/empty has no .safetensors file.\n"
            "Check --lora_model_ids, or name it with --lora_weight_names.",
        ),
    ],
)
def test_files_that_are_not_there(model, weight_name, message, tmp_path):
    for folder, names in {
        "two": ["a.safetensors", "b.safetensors", "readme.md"],
        "pickled": ["pytorch_lora_weights.bin"],
        "empty": [],
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    adapter = Adapter(model=f"{tmp_path}/{model}", weight_name=weight_name)
    assert refused(StableDiffusionPipeline, adapter) == message.format(here=tmp_path)


def test_the_hub_is_asked_for_one_file_of_the_newest_revision(tmp_path, monkeypatch):
    file = save(tmp_path, StableDiffusionPipeline, 1) / "pytorch_lora_weights.safetensors"
    asked = []

    class Hub:
        def __init__(self, token):
            asked.append(token)

        def list_repo_files(self, model):
            return ["README.md", "checkpoint-5/model.safetensors", file.name]

    def download(*arguments, **options):
        asked.append((arguments, options))
        return str(file)

    monkeypatch.setattr(adapters, "HfApi", Hub)
    monkeypatch.setattr(adapters, "hf_hub_download", download)
    access = HubAccess(revision="of-the-model", token="secret", cache_dir="there")
    read_adapter(Adapter(model="owner/style"), StableDiffusionPipeline, access)
    assert asked == ["secret", (("owner/style", file.name), {"token": "secret", "cache_dir": "there"})]


def test_the_hub_is_away():
    message = refused(StableDiffusionPipeline, Adapter(model="owner/style", weight_name="a.safetensors"))
    assert message.startswith("owner/style could not be read: ")
    assert message.endswith("\nCheck the name and the network; a folder on this machine needs no network.")


@pytest.mark.parametrize("package", ["diffusers", "peft"])
def test_a_package_is_missing(package, monkeypatch, tmp_path):
    monkeypatch.setattr(adapter_weights, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(RequirementError) as caught:
        read_adapter(Adapter(model=str(tmp_path)), StableDiffusionPipeline)
    assert str(caught.value) == (
        f"LoRA adapters need {package}, which is not installed.\n"
        'Install it: pip install "neuron-catalog[diffusion]"'
    )


def test_peft_is_too_old(monkeypatch, tmp_path):
    monkeypatch.setattr("diffusers.utils.USE_PEFT_BACKEND", False)
    monkeypatch.setattr(adapter_weights, "version", lambda name: "0.1.0")
    with pytest.raises(RequirementError) as caught:
        read_adapter(Adapter(model=str(tmp_path)), StableDiffusionPipeline)
    assert str(caught.value) == (
        "LoRA adapters need peft 0.17.0 or newer, but 0.1.0 is installed.\n"
        'Upgrade it: pip install --upgrade "neuron-catalog[diffusion]"'
    )
