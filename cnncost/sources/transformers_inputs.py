"""Inputs of Transformers models, from their configuration: tokens, images, clips, audio, time series.

Token ids are tensors with values, because some models read them; most other inputs are shapes. The docstring of a
function that creates an input gives its shape.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from cnncost.sources.transformers_images import patches, with_image

TOKENS = 128
"""Number of tokens in a text, unless the model's maximum is smaller."""
SECOND = 16_000
"""Number of samples in a second of audio."""
_FRAMES = 3_000
"""Number of 10 ms frames in half a minute of audio."""

Maker: TypeAlias = "Callable[[Any], Any]"
"""Function from a configuration to an input of the model."""


def inputs_of(model: Any) -> dict[str, Any]:
    """Return keyword arguments for forward: its main input, required inputs, and a few that models accept."""
    config, main = model.config, model.main_input_name
    parameters = inspect.signature(model.forward).parameters
    names = [main, *(name for name in _IF_ACCEPTED if name in parameters and name != main)]
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in parameters:
        names.append("decoder_input_ids")
    names.extend(n for n, p in parameters.items() if p.default is p.empty and n not in names and n in _BY_NAME)
    inputs = {name: value for name in names if (value := _BY_NAME[name](config)) is not None}
    if "attention_mask" in parameters and "input_ids" in inputs and getattr(config, "pad_token_id", None) is not None:
        inputs["attention_mask"] = _no_padding(inputs["input_ids"])  # without it some models search the ids for padding
    if "pixel_values" in parameters and "input_ids" in inputs:
        inputs.update(with_image(config, inputs["input_ids"], _image(config)))
        if "attention_mask" in inputs:
            inputs["attention_mask"] = _no_padding(inputs["input_ids"])
    elif "spatial_shapes" in parameters:
        inputs.update(patches(config))
    return inputs


def _no_padding(tokens: Any) -> Any:
    """Return an attention mask of ones for these tokens."""
    import torch

    return torch.ones_like(tokens)


def _nested_config(config: Any, *names: str) -> Any:
    """Return the first nested configuration among these fields; the whole configuration if there is none."""
    for name in names:
        part = getattr(config, name, None)
        if part is not None and not isinstance(part, dict):
            return part
    return config


def _first_of(config: Any, *names: str, default: Any = None) -> Any:
    """Return the first value among these fields that is not None, else the default."""
    for name in names:
        value = getattr(config, name, None)
        if value is not None:
            return value
    return default


def _tokens(config: Any) -> Any:
    """1×T of int64."""
    import torch

    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    longest = _first_of(text, "max_position_embeddings", "n_positions", "max_source_positions", default=TOKENS)
    longest = longest if isinstance(longest, int) and longest > 0 else TOKENS
    # 2 is in every vocabulary and, unlike 0 and 1, seldom the padding token
    return torch.full((1, min(TOKENS, longest)), 2, dtype=torch.int64)


def _image_size(config: Any) -> tuple[int, int]:
    """Return height and width of an image in pixels."""
    size = _first_of(config, "image_size", "img_size", "input_size", default=224)
    if isinstance(size, dict):
        size = (size.get("height", 224), size.get("width", 224))
    if isinstance(size, (list, tuple)):
        return int(size[0]), int(size[-1])
    return int(size), int(size)


def _image(config: Any) -> tuple[int, ...]:
    """1×C×H×W; for video models, a clip 1×T×C×H×W."""
    vision = _nested_config(config, "vision_config", "backbone_config", "encoder")
    channels = _first_of(vision, "num_channels", "in_channels", "in_chans", default=3)
    height, width = _image_size(vision if _first_of(vision, "image_size", "img_size") is not None else config)
    frames = _first_of(config, "num_frames", "frames_per_clip", default=_first_of(vision, "num_frames"))
    if frames is not None:
        return (1, int(frames), channels, height, width)
    return (1, channels, height, width)


def _clip(config: Any) -> tuple[int, ...]:
    """1×T×C×H×W."""
    height, width = _image_size(config)
    frames = _first_of(config, "num_frames", "frames_per_clip", default=16)
    return (1, int(frames), _first_of(config, "num_channels", "in_chans", default=3), height, width)


def _mel(config: Any) -> tuple[int, ...]:
    """1×M×T or 1×T×M: M features of each of T frames, half a minute of audio by default."""
    sound = _nested_config(config, "audio_config", "encoder_config")
    bins = _first_of(sound, "num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim", default=80)
    if _first_of(sound, "max_source_positions") is not None and hasattr(sound, "num_mel_bins"):
        return (1, bins, 2 * sound.max_source_positions)  # like Whisper: a convolution of stride 2 halves the frames
    return (1, _FRAMES, bins)


def _sound(config: Any) -> tuple[int, ...]:
    """1×S: the samples of one second; 1×C×S for codecs, with C channels; 1×T×M for spectrogram models."""
    if hasattr(config, "num_mel_bins") and hasattr(config, "max_length"):
        return (1, config.max_length, config.num_mel_bins)
    if hasattr(config, "audio_channels"):
        return (1, config.audio_channels, SECOND)
    return (1, SECOND)


def _series(config: Any) -> tuple[int, ...]:
    """1×T×C; 1×T for univariate models."""
    channels = _first_of(config, "num_input_channels", "input_size")
    return (1, config.context_length) if channels is None else (1, config.context_length, channels)


def _series_padding(config: Any) -> Any:
    """1×T of int64: no padding."""
    import torch

    return torch.zeros((1, config.context_length), dtype=torch.int64)


def _frequency(config: Any) -> Any:  # noqa: ARG001  # the makers' protocol
    """1×1 of int64: high frequency."""
    import torch

    return torch.zeros((1, 1), dtype=torch.int64)


def _boxes(config: Any) -> Any:
    """1×T×4 of int64: each token's box on the page."""
    import torch

    return torch.zeros((*_tokens(config).shape, 4), dtype=torch.int64)


_BY_NAME: dict[str, Maker] = {
    "input_ids": _tokens, "decoder_input_ids": _tokens, "pixel_values": _image, "pixel_values_videos": _clip,
    "input_features": _mel, "input_values": _sound, "past_values": _series, "bbox": _boxes,
    "past_values_padding": _series_padding, "freq": _frequency,
}  # fmt: skip
_IF_ACCEPTED = ("bbox",)
"""Optional inputs, passed whenever forward accepts them."""
