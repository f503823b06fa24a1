"""Workspaces of pooling, resizing, layer norm and softmax: dense copies of operands with other strides.

Ref: ATen's `native/cpu`: MaxPoolKernel.cpp, AvgPoolKernel.cpp, AdaptiveAvgPoolKernel.cpp, AdaptiveMaxPoolKernel.cpp,
UpSampleKernel.cpp, layer_norm_kernel.cpp, PaddingKernel.cpp, and `native/SoftMax.cpp`.
"""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.workspace import Kernels

_DENSE = (None, "channels_last")  # None: contiguous
_SMALL = 128
"""Height plus width of a result up to which nearest and bilinear resizing run on channels-last images."""


def pool(spec: OpSpec, kernels: Kernels) -> int:  # noqa: ARG001  # the same on every CPU
    """Return the bytes of a copy of the input; 0 if it is contiguous or channels-last, and for 1-D max pooling."""
    if spec["fn"] == "max" and len(spec["kernel"]) == 1:
        return 0
    return 0 if spec.get("layout") in _DENSE else spec.inputs[0].nbytes


def adaptive_pool(spec: OpSpec, kernels: Kernels) -> int:  # noqa: ARG001  # the same on every CPU
    """Return the bytes of a copy of the input; 0 if it is contiguous or channels-last.

    A global average is computed as a mean, which reads any strides without a copy.
    """
    is_mean = spec["fn"] == "avg" and set(spec.outputs[0].shape[-spec["axes"] :]) == {1}
    return 0 if is_mean or spec.get("layout") in _DENSE else spec.inputs[0].nbytes


def resize(spec: OpSpec, kernels: Kernels) -> int:  # noqa: ARG001  # the same on every CPU
    """Return the bytes of channels-last copies of input and result, with which small images are resized; else 0."""
    x, y, layout = spec.inputs[0], spec.outputs[0], spec.get("layout")
    is_fast = spec["axes"] == 2 and spec["mode"] in _ON_CHANNELS_LAST and not spec["antialias"]
    if not is_fast or layout == "channels_last" or sum(y.shape[-2:]) > _SMALL or x.shape[1] == 1:
        return 0
    return x.nbytes if layout == "strided_last" else x.nbytes + y.nbytes


_ON_CHANNELS_LAST = frozenset({"nearest", "nearest_exact", "linear"})
"""Modes in which small images are resized on channels-last copies."""


def norm(spec: OpSpec, kernels: Kernels) -> int:  # noqa: ARG001  # the same on every CPU
    """Return the bytes of a contiguous copy of the input, which only layer norm needs; 0 if it is contiguous."""
    return spec.inputs[0].nbytes if spec["fn"] == "layer" and spec.get("layout") is not None else 0


def softmax(spec: OpSpec, kernels: Kernels) -> int:  # noqa: ARG001  # the same on every CPU
    """Return the bytes of a contiguous copy of the input; 0 if it is contiguous."""
    return spec.inputs[0].nbytes if spec.get("layout") is not None else 0
