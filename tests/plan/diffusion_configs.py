"""What published pipelines say in the configs of their parts, as far as plans need it."""

CLIP_L = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "projection_dim": 768,
    "num_hidden_layers": 12,
    "max_position_embeddings": 77,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
CLIP_G = {**CLIP_L, "hidden_size": 1280, "projection_dim": 1280, "num_hidden_layers": 32}
T5_XXL = {"vocab_size": 32128, "d_model": 4096, "num_layers": 24, "pad_token_id": 0, "eos_token_id": 1}
VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512],
}
VAE_16 = {**VAE, "latent_channels": 16}
UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "cross_attention_dim": 768,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "time_cond_proj_dim": None,
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "projection_class_embeddings_input_dim": None,
}
UNET_XL = {
    **UNET,
    "cross_attention_dim": 2048,
    "block_out_channels": [320, 640, 1280],
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
UNET_LCM = {**UNET, "time_cond_proj_dim": 256}
CONTROLNET = {**UNET, "conditioning_channels": 3, "conditioning_embedding_out_channels": [16, 32, 96, 256]}
PIXART = {"in_channels": 4, "out_channels": 8, "caption_channels": 4096, "sample_size": 128}
SD3 = {"in_channels": 16, "out_channels": 16, "joint_attention_dim": 4096, "pooled_projection_dim": 2048}
FLUX = {
    "in_channels": 64,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}

PIPELINES = {
    "stable-diffusion": {
        "text_encoder": CLIP_L,
        "vae_encoder": VAE,
        "vae_decoder": VAE,
        "controlnet": CONTROLNET,
        "unet": UNET,
    },
    "stable-diffusion-xl": {
        "text_encoder": CLIP_L,
        "text_encoder_2": CLIP_G,
        "vae_encoder": VAE,
        "vae_decoder": VAE,
        "controlnet": {**CONTROLNET, **UNET_XL},
        "unet": UNET_XL,
    },
    "latent-consistency": {"text_encoder": CLIP_L, "vae_decoder": VAE, "unet": UNET_LCM},
    "pixart": {"text_encoder": T5_XXL, "vae_decoder": VAE, "transformer": PIXART},
    "stable-diffusion-3": {
        "text_encoder": CLIP_L,
        "text_encoder_2": CLIP_G,
        "text_encoder_3": T5_XXL,
        "vae_decoder": VAE_16,
        "transformer": SD3,
    },
    "flux": {"text_encoder": CLIP_L, "text_encoder_2": T5_XXL, "vae_decoder": VAE_16, "transformer": FLUX},
}
"""Pipeline → part → its config."""
