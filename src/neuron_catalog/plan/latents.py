"""Sizes of diffusion pipelines: of latents, of the rows of a denoiser, of series of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def _latent_scale(block_out_channels: Any) -> int:
    """The pixels along the side of one latent: an autoencoder halves images between its blocks
    (`AutoencoderKL`: 8 with four blocks)."""
    return int(2 ** (len(block_out_channels) - 1))


def _latent_square(block_out_channels: Any) -> int:
    """The side in pixels of the two by two latents that a transformer takes for one token."""
    return 2 * _latent_scale(block_out_channels)


def _latent_height(height: int, block_out_channels: Any) -> int:
    return height // _latent_scale(block_out_channels)


def _latent_width(width: int, block_out_channels: Any) -> int:
    return width // _latent_scale(block_out_channels)


def _latent_squares(height: int, width: int, block_out_channels: Any) -> int:
    """Latents packed two by two into tokens (`FluxPipeline._pack_latents`)."""
    side = _latent_square(block_out_channels)
    return (height // side) * (width // side)


def _decoded_height(latent_height: int, block_out_channels: Any) -> int:
    return latent_height * _latent_scale(block_out_channels)


def _decoded_width(latent_width: int, block_out_channels: Any) -> int:
    return latent_width * _latent_scale(block_out_channels)


def _condition_height(latent_height: int, conditioning_embedding_out_channels: Any) -> int:
    """A picture is halved as often as its embedding widens (`ControlNetConditioningEmbedding`)."""
    return _decoded_height(latent_height, conditioning_embedding_out_channels)


def _condition_width(latent_width: int, conditioning_embedding_out_channels: Any) -> int:
    return _decoded_width(latent_width, conditioning_embedding_out_channels)


def _prompt_of_both(prompt_positions: int, sequence_length: int) -> int:
    """What CLIP makes of a prompt, and behind it what T5 does (`StableDiffusion3Pipeline.encode_prompt`)."""
    return prompt_positions + sequence_length


def _latent_moments(latent_channels: int) -> int:
    """Mean and logarithm of the variance of each latent (`DiagonalGaussianDistribution`)."""
    return 2 * latent_channels


def _images(batch_size: int, num_images_per_prompt: int) -> int:
    return batch_size * num_images_per_prompt


def _guided_images(batch_size: int, num_images_per_prompt: int, guidance_copies: int) -> int:
    """Guidance denoises each image twice, once without the prompt (Ho and Salimans, 2022)."""
    return guidance_copies * _images(batch_size, num_images_per_prompt)


def _middle_channels(block_out_channels: Any) -> Any:
    return block_out_channels[-1]


def _middle_height(latent_height: int, block_out_channels: Any) -> int:
    return _middle(latent_height, block_out_channels)


def _middle_width(latent_width: int, block_out_channels: Any) -> int:
    return _middle(latent_width, block_out_channels)


def _middle(side: int, block_out_channels: Any) -> int:
    """What is left of a side when each block but the last has halved it."""
    for _ in block_out_channels[1:]:
        side = _halved(side)
    return side


def _halved(side: int) -> int:
    """A convolution of three with step two and a border of one (`Downsample2D`)."""
    return (side + 1) // 2


def _pooled_text_size(projection_class_embeddings_input_dim: int, addition_time_embed_dim: int) -> int:
    """What an embedding of sizes leaves for the pooled text (`UNet2DConditionModel`, text_time)."""
    return projection_class_embeddings_input_dim - _sizes_and_corner() * addition_time_embed_dim


def _sizes_and_corner() -> int:
    """Height and width before cropping, the corner of the crop, and the height and width wanted."""
    return 6


def _residuals(
    block_out_channels: Any, layers_per_block: Any, latent_height: int, latent_width: int
) -> Iterator[tuple[int, int, int]]:
    """Yield channels, height and width of what a U-Net's way down leaves for its way up: of its first
    convolution, of each layer, and of what ends each block but the last (`UNet2DConditionModel.forward`)."""
    height, width = latent_height, latent_width
    yield block_out_channels[0], height, width
    for number, channels in enumerate(block_out_channels):
        layers = layers_per_block if isinstance(layers_per_block, int) else layers_per_block[number]
        yield from ((channels, height, width),) * layers
        if number < len(block_out_channels) - 1:
            height, width = _halved(height), _halved(width)
            yield channels, height, width


LATENT_FORMULAS: dict[str, Callable[..., Any]] = {
    "condition_height": _condition_height,
    "condition_width": _condition_width,
    "decoded_height": _decoded_height,
    "decoded_width": _decoded_width,
    "guided_images": _guided_images,
    "images": _images,
    "latent_height": _latent_height,
    "latent_moments": _latent_moments,
    "latent_scale": _latent_scale,
    "latent_square": _latent_square,
    "latent_squares": _latent_squares,
    "latent_width": _latent_width,
    "middle_channels": _middle_channels,
    "middle_height": _middle_height,
    "middle_width": _middle_width,
    "pooled_text_size": _pooled_text_size,
    "prompt_of_both": _prompt_of_both,
    "sizes_and_corner": _sizes_and_corner,
}
"""Derived dim → its formula."""

SERIES_FORMULAS: dict[str, Callable[..., Iterator[tuple[int, ...]]]] = {"residual": _residuals}
"""Series → the sizes of each member, in order."""
