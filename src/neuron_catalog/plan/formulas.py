"""How derived dims are computed. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neuron_catalog.plan.latents import LATENT_FORMULAS


def _num_hidden_states(num_hidden_layers: int) -> int:
    """The output of each layer, and the embeddings before the first."""
    return num_hidden_layers + 1


def _image_height(image_size: Any) -> Any:
    """`image_size` is one number for both, or height and width."""
    return image_size[0] if isinstance(image_size, (list, tuple)) else image_size


def _image_width(image_size: Any) -> Any:
    return image_size[1] if isinstance(image_size, (list, tuple)) else image_size


def _num_patches(height: int, width: int, patch_size: Any) -> Any:
    """Whole patches of an image; a patch is a square, or has height and width like an image."""
    return (height // _image_height(patch_size)) * (width // _image_width(patch_size))


def _packed_length(batch_size: int, height: int, width: int, patch_size: Any) -> Any:
    """The pixels along a strip of the patches of all images, side by side."""
    return _packed_patches(batch_size, height, width, patch_size) * _image_width(patch_size)


def _window_side(patch_size: Any, window_kernel_size: Any) -> Any:
    """The side in pixels of a window of patches, within which they see each other and become one."""
    return _image_height(patch_size) * _image_height(window_kernel_size)


def _merged_window_side(patch_size: Any, window_kernel_size: Any, merge_kernel_size: Any) -> Any:
    """The side in pixels of the windows that are merged once more into a token."""
    return _window_side(patch_size, window_kernel_size) * _image_height(merge_kernel_size)


def _patch_values(num_channels: int, patch_size: Any) -> Any:
    """The colours of each pixel of a patch, in one row."""
    return num_channels * _image_height(patch_size) * _image_width(patch_size)


def _pair() -> int:
    """Two images that are compared."""
    return 2


def _plane() -> int:
    """Column and row."""
    return 2


def _default_prompt(sequence_length: int) -> int:
    """A prompt is read at once, and its attention grows with the square of its length (2,048 tokens: 4 MB for
    the mask of a row); longer ones are asked for."""
    return min(sequence_length, 2048)


def _grid_height(height: int, patch_size: Any) -> Any:
    return height // _image_height(patch_size)


def _grid_width(width: int, patch_size: Any) -> Any:
    return width // _image_width(patch_size)


def _packed_patches(batch_size: int, height: int, width: int, patch_size: Any) -> Any:
    """The patches of all images, one after the other."""
    return batch_size * _num_patches(height, width, patch_size)


def _merged_patches(height: int, width: int, patch_size: Any, spatial_merge_size: Any) -> Any:
    """What is left of an image's patches when each square of them has become one token."""
    merged = _image_height(spatial_merge_size) * _image_width(spatial_merge_size)
    return _num_patches(height, width, patch_size) // merged


def _merged_patch_side(patch_size: Any, spatial_merge_size: Any) -> Any:
    """The side in pixels of the patches that become one token."""
    return _image_height(patch_size) * _image_height(spatial_merge_size)


def _patch_values_in_time(num_channels: int, temporal_patch_size: int, patch_size: Any) -> Any:
    """A patch that spans several frames of a film; an image is repeated as often."""
    return temporal_patch_size * _patch_values(num_channels, patch_size)


def _rotary_sections(mrope_section: Any) -> Any:
    """As many positions for each token as a rotary embedding has sections."""
    return len(mrope_section)


def _time_height_width() -> int:
    """Time, height and width: a token in an image has a position in each (`get_rope_index`)."""
    return 3


def _mel_frames(max_source_positions: int) -> int:
    """Whisper's encoder halves the number of frames once (3000 mel frames for 1500 positions)."""
    return 2 * max_source_positions


def _positions_after_padding(max_position_embeddings: int, pad_token_id: int) -> int:
    """Models derived from fairseq number positions from pad_token_id + 1 (roberta-base: 514 - 1 - 1)."""
    return max_position_embeddings - pad_token_id - 1


def _tokens_and_patches(sequence_length: int, height: int, width: int, patch_size: Any) -> Any:
    """Tokens, then a position for the whole image, then its patches (`LayoutLMv3Model.forward`)."""
    return sequence_length + 1 + _num_patches(height, width, patch_size)


def _tokens_and_regions(sequence_length: int, num_regions: int) -> int:
    """Tokens, then the regions of the image (`VisualBertEmbeddings.forward`)."""
    return sequence_length + num_regions


def _steps_with_lags(context_length: int, lags_sequence: Any) -> Any:
    """The values that are looked at, and the earlier ones that the longest lag reaches back to."""
    return context_length + max(lags_sequence)


def _single_value() -> int:
    """A number for each step, in a dimension of its own."""
    return 1


def _single_image() -> int:
    """Images are encoded one at a time: there may be one for all prompts, or one for each."""
    return 1


def _single_token() -> int:
    """The next token, in a dimension of its own as if there were more."""
    return 1


def _text_and_codes(num_codebooks: int) -> int:
    """One token of the text, and one code of each codebook."""
    return num_codebooks + 1


def _box_corners() -> int:
    """Left, top, right and bottom."""
    return 4


FORMULAS: dict[str, Callable[..., Any]] = {
    **LATENT_FORMULAS,
    "box_corners": _box_corners,
    "default_prompt": _default_prompt,
    "grid_height": _grid_height,
    "grid_width": _grid_width,
    "image_height": _image_height,
    "image_width": _image_width,
    "mel_frames": _mel_frames,
    "merged_patch_side": _merged_patch_side,
    "merged_patches": _merged_patches,
    "merged_window_side": _merged_window_side,
    "num_hidden_states": _num_hidden_states,
    "num_patches": _num_patches,
    "packed_length": _packed_length,
    "packed_patches": _packed_patches,
    "pair": _pair,
    "patch_values": _patch_values,
    "patch_values_in_time": _patch_values_in_time,
    "plane": _plane,
    "positions_after_padding": _positions_after_padding,
    "rotary_sections": _rotary_sections,
    "single_image": _single_image,
    "single_token": _single_token,
    "single_value": _single_value,
    "steps_with_lags": _steps_with_lags,
    "text_and_codes": _text_and_codes,
    "time_height_width": _time_height_width,
    "tokens_and_patches": _tokens_and_patches,
    "tokens_and_regions": _tokens_and_regions,
    "window_side": _window_side,
}
