"""Why a forward failed, in words: the module, what it expected, what it got, what to do."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnncost.errors import CnncostError, DataDependentError, ForwardError, InputError
from cnncost.frontends.torch.inputs import Inputs
from cnncost.frontends.torch.modules import Tracker

_READS = re.compile(
    r"meta tensor|Cannot copy out of meta|can't convert meta|unallocated storage|data[- ]dependent|nonzero.*meta|reads the values",
    re.IGNORECASE,
)
_NO_KERNEL = re.compile(r"(\S+::\S+?)[:']? .*(?:'Meta' backend|fake impl|no fake|Meta implementation)", re.DOTALL)
_OURS = str(Path(__file__).parent)
_TORCH = str(Path(torch.__file__).parent)


def explain_failure(error: BaseException, tracker: Tracker, inputs: Inputs) -> CnncostError:
    """The error to raise in place of what forward raised."""
    path, module, args = tracker.failed_at or ("", None, inputs.args)
    place = f"{path or 'the model'} ({type(module).__name__})" if module is not None else "the model"
    line = _user_line(error)
    at = f" at {line}" if line else ""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if kernel := _NO_KERNEL.search(str(error)):
        return ForwardError(
            f"{place}{at}: the op {kernel[1].strip(chr(39))} has no rule for tensors without data; give it one with "
            "torch.library.register_fake, so that it says the shape of its result",
            path,
        )
    if isinstance(error, DataDependentError) or _READS.search(str(error)):
        return DataDependentError(
            f"{place}{at}: forward reads the values of a tensor ({text}), and a static analysis has none; "
            "expected control flow and shapes that follow from shapes alone; give the tensor that is read as an integer "
            "tensor with its values in `inputs`, or make it a constant of the model",
            path,
        )
    if isinstance(error, RecursionError):
        return ForwardError(f"{place}{at}: forward calls itself without end", path)
    expected = _expectation(module, args) if module is not None else ""
    shapes = _described(args)
    got = f"; it got {shapes}" if shapes else ""
    if expected:
        return ForwardError(f"{place}: expected {expected}{got}; check the input {_described(inputs.args)}", path)
    if isinstance(error, TypeError) and "forward()" in text:
        return InputError(f"{place}: the inputs don't fit its forward: {text}; give them as forward takes them")
    return ForwardError(f"{place}{at}: {type(error).__name__}: {text or 'no message'}{got}", path)


def _expectation(module: nn.Module, args: Any) -> str:
    """What a layer takes, if its first input is not that."""
    x = next((a for a in args if isinstance(a, torch.Tensor)), None)
    if x is None:
        return ""
    if isinstance(module, nn.Embedding):
        return "" if not x.is_floating_point() else "integer indices (for example ids=1x128:int64)"
    channel, feature = (x.shape[1] if x.dim() > 1 else None), (x.shape[-1] if x.dim() else None)
    axes = next((n for n, c in enumerate((nn.modules.conv._ConvNd,), 1) if isinstance(module, c)), 0)
    if axes:
        dims = len(module.kernel_size)
        channel = x.shape[-dims - 1] if x.dim() > dims else None
        if x.dim() not in (dims + 1, dims + 2):
            return f"an input of {dims + 2} axes (batch, {module.in_channels} channels, {dims} of space)"
        if channel != module.in_channels:
            return f"{module.in_channels} channels on axis 1"
        return _dtype_expected(module, x)
    if isinstance(module, nn.Linear) and feature != module.in_features:
        return f"{module.in_features} features on the last axis"
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and channel != module.num_features:
        return f"{module.num_features} channels on axis 1"
    if isinstance(module, nn.GroupNorm) and channel != module.num_channels:
        return f"{module.num_channels} channels on axis 1"
    if isinstance(module, nn.RNNBase) and feature != module.input_size:
        return f"{module.input_size} features on the last axis"
    if isinstance(module, nn.LayerNorm) and tuple(x.shape[-len(module.normalized_shape) :]) != module.normalized_shape:
        return f"last axes of {tuple(module.normalized_shape)}"
    return _dtype_expected(module, x)


def _dtype_expected(module: nn.Module, x: torch.Tensor) -> str:
    weight = getattr(module, "weight", None)
    if isinstance(weight, torch.Tensor) and weight.dtype != x.dtype:
        return f"{str(weight.dtype).removeprefix('torch.')}, the dtype of its weight"
    return ""


def _described(args: Any) -> str:
    """Shapes of the tensors, `1x3x224x224`; a dtype that isn't float32 is added."""
    parts = []
    for arg in args:
        if isinstance(arg, torch.Tensor):
            dtype = "" if arg.dtype is torch.float32 else ":" + str(arg.dtype).removeprefix("torch.")
            parts.append("x".join(map(str, arg.shape)) + dtype if arg.dim() else "a scalar" + dtype)
        elif isinstance(arg, (list, tuple)) and (inner := _described(arg)):
            parts.append(f"({inner})")
    return ", ".join(parts)


def _user_line(error: BaseException) -> str:
    """File and line of the innermost frame that is neither torch's nor ours."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if not frame.filename.startswith((_OURS, _TORCH, "<")):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""
