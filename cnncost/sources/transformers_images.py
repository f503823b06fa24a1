"""Inputs of Transformers' multimodal models: an image, and text with placeholder tokens for the image."""

from __future__ import annotations

from typing import Any

_GRID = 16
"""Patches along each side of the image, for models that accept any number of patches."""


def with_image(config: Any, tokens: Any, image: tuple[int, ...]) -> dict[str, Any]:
    """Return forward's arguments for one image, and for the text `tokens` (1×N) if it changes with the image.

    If the model replaces placeholder tokens with image features, the text is preceded by a placeholder per feature.
    """
    token = getattr(config, "image_token_id", None)
    if token is None:
        return patches(config) if _takes_patches(config) else {"pixel_values": image}
    kind, vision = config.model_type, config.vision_config
    if hasattr(vision, "spatial_merge_size") and hasattr(vision, "temporal_patch_size"):  # such as Qwen2-VL
        inputs, count = _flat_patches(vision), (_GRID // vision.spatial_merge_size) ** 2  # neighbours are merged
    else:
        several = kind in {"idefics2", "idefics3", "smolvlm"}  # these take several images per example
        inputs = {"pixel_values": (1, *image) if several else image}
        count = _token_count(config, vision, image)
    ids = _prefixed(tokens, token, count)
    if "image_grid_thw" in inputs:
        inputs["mm_token_type_ids"] = (ids == token).to(ids.dtype)
    return {"input_ids": ids, **inputs}


def _token_count(config: Any, vision: Any, image: tuple[int, ...]) -> int:
    """Return the number of tokens into which the model turns an image."""
    for name in ("image_seq_length", "mm_tokens_per_image"):
        if (declared := getattr(config, name, None)) is not None:
            return int(declared)
    if (resampler := getattr(config, "perceiver_config", None)) is not None:
        return int(resampler.resampler_n_latents)
    patch = vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0]
    # Idefics3 merges the features of scale_factor × scale_factor neighbours into one token
    return (image[-1] // patch) * (image[-2] // patch) // getattr(config, "scale_factor", 1) ** 2


def _prefixed(tokens: Any, token: int, count: int) -> Any:
    import torch

    return torch.cat([torch.full((1, count), token, dtype=tokens.dtype), tokens], dim=1)


def _flat_patches(vision: Any) -> dict[str, Any]:
    """Return flattened patches, P×(C·t·p·p) with t frames of p×p pixels each, and the grid of patches, 1×3.

    The grid is (frames, height, width), in patches.
    """
    import torch

    channels = getattr(vision, "in_channels", None) or getattr(vision, "in_chans", 3)
    width = channels * vision.temporal_patch_size * vision.patch_size**2
    return {"pixel_values": (_GRID * _GRID, width), "image_grid_thw": torch.tensor([[1, _GRID, _GRID]])}


def _takes_patches(config: Any) -> bool:
    """Return whether the model takes an image as a sequence of patches, like SigLIP 2."""
    return hasattr(getattr(config, "vision_config", config), "num_patches")


def patches(config: Any) -> dict[str, Any]:
    """Return an image as a sequence of patches, 1×P×(C·p·p), with their mask and grid."""
    import torch

    vision = getattr(config, "vision_config", config)
    count, side = vision.num_patches, int(vision.num_patches**0.5)
    return {
        "pixel_values": (1, count, vision.num_channels * vision.patch_size**2),
        "pixel_attention_mask": torch.ones((1, count), dtype=torch.int64),
        "spatial_shapes": torch.tensor([[side, side]]),
    }
