"""Evaluates ops that index, search, scatter and pad small constants, as exporters use them to compute shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from cnncost.frontends.onnx.tensors import LARGEST_CONSTANT

Rule: TypeAlias = "Callable[[Mapping[str, Any], list[Any]], Any]"


def _nonzero(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:  # noqa: ARG001  # the rules' protocol
    """Return the positions of nonzero elements as columns; None for a scalar, which NumPy's `nonzero` refuses."""
    return None if inputs[0].ndim == 0 else np.stack(np.nonzero(inputs[0])).astype(np.int64)


def _clip(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    low, high = (inputs[i] if len(inputs) > i else attributes.get(name) for i, name in ((1, "min"), (2, "max")))
    found = inputs[0] if low is None else np.maximum(inputs[0], low)
    return (found if high is None else np.minimum(found, high)).astype(inputs[0].dtype)


def _sum(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:  # noqa: ARG001
    found = inputs[0]
    for each in inputs[1:]:
        found = found + each
    return found


def _gather_elements(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    x, indices, axis = inputs[0], inputs[1], attributes.get("axis", 0)
    return np.take_along_axis(x, indices, axis) if x.ndim == 1 else None


def _gather_nd(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    x, indices = inputs
    return None if attributes.get("batch_dims", 0) else x[tuple(np.moveaxis(indices, -1, 0))]


def _scatter_elements(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    x, indices, updates = inputs
    if attributes.get("reduction", "none") != "none" or x.ndim != 1:
        return None
    found = x.copy()
    found[indices] = updates
    return found


def _scatter_nd(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    x, indices, updates = inputs
    if attributes.get("reduction", "none") != "none":
        return None
    found = x.copy()
    found[tuple(np.moveaxis(indices, -1, 0))] = updates
    return found


def _cumulative_sum(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    if attributes.get("exclusive") or attributes.get("reverse"):
        return None
    return np.cumsum(inputs[0], axis=int(inputs[1])).astype(inputs[0].dtype)


def _position(function: Callable[..., Any]) -> Rule:
    def found(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
        if attributes.get("select_last_index"):
            return None
        at = function(inputs[0], axis=attributes.get("axis", 0), keepdims=bool(attributes.get("keepdims", 1)))
        return np.asarray(at, np.int64)

    return found


def _triangle(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    function = np.triu if attributes.get("upper", 1) else np.tril
    return function(inputs[0], int(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else 0)


def _pad(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    if attributes.get("mode", "constant") != "constant" or len(inputs) < 2 or len(inputs) > 3:
        return None  # amounts as an attribute, or for some axes only
    before, after = np.split(inputs[1], 2)
    if min(inputs[1], default=0) < 0 or np.prod(inputs[0].shape + before + after) > LARGEST_CONSTANT:
        return None
    fill = inputs[2].item() if len(inputs) > 2 and inputs[2] is not None else 0
    return np.pad(inputs[0], list(zip(before, after, strict=True)), constant_values=fill)


def _one_hot(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    indices, depth, values = inputs[0].astype(np.int64), int(inputs[1].reshape(-1)[0]), inputs[2]
    if attributes.get("axis", -1) not in {-1, indices.ndim} or indices.size * depth > LARGEST_CONSTANT:
        return None
    wrapped = np.where(indices < 0, indices + depth, indices)
    return np.where(wrapped[..., None] == np.arange(depth), values[1], values[0])


INDEXING: dict[str, Rule] = {
    "NonZero": _nonzero, "Clip": _clip, "Sum": _sum, "GatherElements": _gather_elements, "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements, "ScatterND": _scatter_nd, "CumSum": _cumulative_sum,
    "ArgMax": _position(np.argmax), "ArgMin": _position(np.argmin), "Trilu": _triangle, "Pad": _pad,
    "OneHot": _one_hot, "Sign": lambda _, inputs: np.sign(inputs[0]),
}  # fmt: skip
"""Rules by op type; a rule returns None for settings that exporters don't use in shape computations."""
