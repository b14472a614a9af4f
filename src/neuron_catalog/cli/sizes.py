"""Size options: one for each shipped axis, and `--axis` for those of a user's own families."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from neuron_catalog.errors import UsageError

PANEL = "Sizes (a compiled graph has fixed shapes; several make several graphs)"

Size = int | tuple[int, ...]
"""One size, or several: an artifact with a graph for each."""

SIZES = {
    "batch_size": "Rows per call.",
    "text_batch_size": "Texts per call, where texts and images are counted apart.",
    "image_batch_size": "Images per call, where texts and images are counted apart.",
    "video_batch_size": "Clips per call, where texts and clips are counted apart.",
    "audio_batch_size": "Sounds per call, where texts and sounds are counted apart.",
    "point_batch_size": "Objects to be found in each image.",
    "points_per_object": "Points that mark an object.",
    "sequence_length": "Tokens per row, padding included; of a text that is continued, with the new ones.",
    "prompt_length": "Tokens per row that are read at once, of a text that is continued.",
    "decoder_sequence_length": "Tokens per row of an answer, padding included.",
    "num_beams": "Texts that go on from each row at a time, for beam search.",
    "qformer_sequence_length": "Tokens per row of the question that an image is asked.",
    "protein_sequence_length": "Amino acids per row.",
    "features_length": "Features per row that queries read.",
    "task_length": "Tokens of the name of a task.",
    "image_tokens": "Placeholders for an image in a row of text.",
    "audio_tokens": "Placeholders for a sound in a row of text.",
    "num_choices": "Candidates per row, for multiple-choice.",
    "num_channels": "Channels of an image.",
    "height": "Height of an image in pixels.",
    "width": "Width of an image in pixels.",
    "patch_size": "Side of an image patch in pixels.",
    "original_height": "Height of an image in pixels before it was cut into tiles.",
    "original_width": "Width of an image in pixels before it was cut into tiles.",
    "image_patches": "Patches of an image.",
    "spatial_merge_size": "Side in patches of the square that becomes one token.",
    "num_tiles": "Tiles of an image.",
    "max_num_tiles": "Tiles of an image, empty ones included.",
    "num_regions": "Regions that a detector found in an image.",
    "num_queries": "Queries per row.",
    "audio_sequence_length": "Samples of a waveform.",
    "audio_channels": "Channels of a waveform.",
    "num_codebooks": "Codes for each stretch of a waveform.",
    "nb_max_frames": "Frames of a spectrogram.",
    "num_images_per_prompt": "Images that a pipeline makes of each prompt.",
    "guidance_copies": "Rows of a denoiser for each image: 2 with guidance, 1 without.",
    "num_frames": "Frames of a clip.",
    "num_images": "Images of a row of text.",
    "context_length": "Steps of a time series.",
    "num_input_channels": "Channels of a time series.",
    "episode_length": "Steps of a trajectory.",
    "num_mel_bins": "Frequency bands of a spectrogram.",
    "frame_size": "Values of a frame of stacked features.",
    "noise_channels": "Channels of the noise that a waveform is made from.",
}
"""Axis → help. A test holds this to the axes of the shipped families and pipelines."""


def with_sizes(command: Callable[..., None]) -> Callable[..., None]:
    """Add the size options to a command, which gets those that were given as `axes: dict[str, Size]`."""

    @functools.wraps(command)
    def collected(**given: Any) -> None:
        named = {axis: given.pop(axis) for axis in SIZES}
        axes = {axis: _sizes(axis, text) for axis, text in named.items() if text is not None}
        if (side := given.pop("image_size")) is not None:
            _require_alone(axes)
            axes |= {"height": side, "width": side}
        axes |= _parsed(given.pop("axis") or [])
        command(**given, axes=axes)

    signature = inspect.signature(command, eval_str=True)
    own = [p for name, p in signature.parameters.items() if name != "axes"]
    sizes = [_option(axis, str | None, help, metavar="N[,N…]") for axis, help in SIZES.items()]
    sizes.append(_option("image_size", int | None, "Height and width of an image in pixels.", metavar="N"))
    more = _option("axis", list[str] | None, "Any axis by name; repeatable.", metavar="NAME=N[,N…]")
    collected.__signature__ = signature.replace(parameters=[*own, *sizes, more])  # type: ignore[attr-defined]
    collected.__annotations__ = {p.name: p.annotation for p in (*own, *sizes, more)}
    return collected


def _option(name: str, kind: Any, help: str, metavar: str) -> inspect.Parameter:
    option = typer.Option(f"--{name}", help=help, metavar=metavar, rich_help_panel=PANEL)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


def _require_alone(axes: dict[str, Size]) -> None:
    given = [f"--{axis}" for axis in ("height", "width") if axis in axes]
    if given:
        raise UsageError(
            f"--image_size sets height and width, and {' and '.join(given)} was given too.", "Keep one."
        )


def _sizes(option: str, text: str) -> Size:
    """Read one size, or several with commas between them."""
    parts = text.split(",")
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise UsageError(
            f"--{option} {text} is no size: it must be a positive whole number, or several.",
            f"Write for example: --{option} 128, or --{option} 64,128,256 for buckets",
        )
    found = tuple(int(part) for part in parts)
    return found if len(found) > 1 else found[0]


def _parsed(pairs: list[str]) -> dict[str, Size]:
    axes = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if not name or not text:
            raise UsageError(
                f"--axis {pair} is not of the form NAME=N.", "Write for example: --axis width=224"
            )
        name = name.replace("-", "_")
        axes[name] = _sizes(f"axis {name}", text)
    return axes
