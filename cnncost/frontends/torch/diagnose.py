"""Explain why forward failed: the module, what it expected, what it got, what to do."""

from __future__ import annotations

import inspect
import re
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnncost import units
from cnncost.errors import CnncostError, DataDependentError, ForwardError, InputError, NoShapeError, RuleError
from cnncost.frontends.torch.compat.modules import Convolution, Norm
from cnncost.frontends.torch.inputs import Inputs
from cnncost.frontends.torch.modules import Tracker
from cnncost.frontends.torch.refusals import lacking_kernel, message_of, reads_values
from cnncost.frontends.torch.self_tracing import TRACED
from cnncost.near import suggestion

_HIGHER_ORDER = re.compile(r"HigherOrderOperator (\w+)")
_LISTED_BACKENDS = "only available for these backends"
"""Begins the list of all backends in torch's message on an op that a backend lacks."""
"""Pattern of messages: an op takes functions."""
_READS_SUFFIX = " reads the values of a tensor"
"""Suffix of `running`'s message for an op that reads values; the op's name comes before it."""
ON_VALUES = "have forward run on values: `cnncost summarize --trace real`, or in Python analyze(…, trace='real')"
_IF_IT_WORKS = f"if forward works on tensors with values, {ON_VALUES}"
_OURS = str(Path(__file__).parent)
_TORCH = str(Path(torch.__file__).parent)
_STANDARD = str(Path(traceback.__file__).parent)
"""Folders of this front end, of torch and of the standard library."""


def without_advice(message: str) -> str:
    """Return the message without the advice to record from real data."""
    for words in (f"; or {ON_VALUES}", f", or {ON_VALUES}", f"; {_IF_IT_WORKS}"):
        message = message.replace(words, "")
    return message


def explain_failure(
    error: BaseException, tracker: Tracker, inputs: Inputs, on_values: bool = False
) -> CnncostError:  # fmt: skip
    """Return the error to raise in place of forward's `error`. `on_values`: forward ran on real data."""
    if tracker.elsewhere is not None:
        return ForwardError(
            f"{tracker.elsewhere or 'the model'}: forward runs it in another thread, where nothing is recorded; "
            "expected calls in the thread that runs forward: call the modules one after another",
            tracker.elsewhere,
        )
    path, module, args = tracker.failed_at or ("", None, inputs.args)
    place = f"{path or 'the model'} ({type(module).__name__})" if module is not None else "the model"
    line = _user_line(error)
    at = f" at {line}" if line else ""
    text, message = _first_line(error), message_of(error)
    if known := _known_cause(error, path, place, at, args, on_values):
        return known
    input_shapes = ", ".join(filter(None, (_shapes(inputs.args), _shapes_by_name(inputs.kwargs))))
    autocast = tracker.recorder.casting is not None  # it unifies dtypes, or raises an error of its own
    expected = _expectation(module, args, autocast) if module is not None else ""
    got = f"; it got {shapes}" if (shapes := _shapes(args)) else ""
    if expected:
        return ForwardError(f"{place}: expected {expected}{got}; check the input {input_shapes}", path, misfit=True)
    if isinstance(error, TypeError) and "forward()" in text and not path:
        return InputError(f"{place}: the inputs don't fit its forward: {text}; {_signature_advice(module, inputs)}")
    if isinstance(error, NotImplementedError) and "missing the required" in text and module is not None:
        names = [name for name in vars(type(module)) if not name.startswith("__")]
        return ForwardError(
            f"{place}: its class {type(module).__name__} has no forward{suggestion('forward', names)}", path
        )
    misfit = path and isinstance(error, RuntimeError) and re.search(r"\b(size|shape|dimension)", text)
    default = f"the model's input was {input_shapes}" if misfit else ""
    hint = next((remedy for sign, remedy in _REMEDIES if sign in message), default)
    if not path and input_shapes and _BY_KEYS.search(f"{type(error).__name__}: {message}"):
        got, hint = "", f"the model's input was {input_shapes}; {_NESTED_ADVICE}"
    alike = on_values or isinstance(error, _ALSO_ON_VALUES) or TRACED in text
    if not hint and not alike and not _ABOUT_SHAPES.search(text):
        hint = _IF_IT_WORKS
    return ForwardError(f"{place}{at}: {type(error).__name__}: {text}{got}{'; ' + hint if hint else ''}", path)


def _known_cause(
    error: BaseException, path: str, place: str, at: str, args: Any, on_values: bool
) -> CnncostError | None:  # fmt: skip
    """Return the error for a cause that other input shapes don't remove, such as endless recursion or reading values.

    None for other causes.
    """
    text, message = _first_line(error), message_of(error)
    if isinstance(error, RuleError):
        return RuleError(f"{place}: {text}")
    if isinstance(error, RecursionError):
        return ForwardError(
            f"{place}{at}: forward calls itself without end, or deeper than Python allows; expected an end to the "
            "recursion, or a higher limit (sys.setrecursionlimit)", path,
        )  # fmt: skip
    if operator := _HIGHER_ORDER.search(message):
        return ForwardError(
            f"{place}{at}: the control-flow op {operator[1]} can't be analyzed: which branch runs depends on data; "
            "replace it by the branch to analyze",
            path,
        )
    if "NestedTensor" in message.partition(_LISTED_BACKENDS)[0] or any(map(_is_nested, args)):
        return ForwardError(
            f"{place}{at}: forward uses a nested tensor, whose ops can't be counted because its rows differ in shape; "
            "expected a padded tensor, a packed sequence, or a nested one with layout=torch.jagged",
            path,
        )
    kernel = "" if on_values else lacking_kernel(error)
    if kernel:
        return NoShapeError(_without_kernel(f"{place}{at}", kernel), path)
    if not on_values and reads_values(error):
        return DataDependentError(
            f"{place}{at}: forward reads the values of a tensor ({text.removesuffix(_READS_SUFFIX)}), "
            "and a static analysis has none; "
            "expected control flow and shapes that follow from shapes alone; give the tensor that is read as an "
            "integer tensor with its values in `inputs`, or make it a constant of the model; or "
            f"{ON_VALUES}",
            path,
        )
    return None


_ALSO_ON_VALUES = (AttributeError, NameError, LookupError, ValueError, SystemExit)
"""Errors that a run on real data most likely raises, too."""
_ABOUT_SHAPES = re.compile(
    r"\b(size|sizes|shape|shapes|dimension|dimensions|broadcast|multiplied|dtype)\b", re.IGNORECASE
)
"""Messages about shapes or dtypes, which are the same on real data."""


def _signature_advice(module: nn.Module | None, inputs: Inputs) -> str:
    """Return advice on the inputs that forward takes, with the parameter that a misspelled keyword resembles."""
    try:
        signature = inspect.signature(getattr(type(module), "forward"))  # noqa: B009  # there may be no module
    except (AttributeError, TypeError, ValueError):
        return "give the inputs that forward takes"
    parameters = [p.replace(annotation=p.empty) for p in list(signature.parameters.values())[1:]]  # without self
    names = [parameter.name for parameter in parameters]
    unexpected = [name for name in inputs.kwargs if name not in names]
    near = suggestion(unexpected[0], names) if unexpected else ""
    return f"forward takes {inspect.Signature(parameters)}: give an input for each, in this order or by name{near}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_nested and value.layout is torch.strided


_BY_KEYS = re.compile(
    r"TypeError: new\(\): invalid data type 'str'|tensors used as indices must be"
    r"|'Tensor' object has no attribute '(keys|values|items|get|pop|update)'"
)
"""Messages of torch and Python if forward uses a tensor as a dict."""
_NESTED_ADVICE = (
    "if forward takes a dict or another nested input, give that from Python: "
    "cnncost.analyze(model, {'batch': {'x': (2, 16), 'y': (2, 8)}}), or on the command line: "
    """--inputs-json '{"batch": {"x": {"shape": [2, 16]}}}'"""
)
_UNSPLIT = (
    "torch has no rule for splitting this op (context_parallel needs the attention kernels of GPUs); for the analysis, "
    "write the exchange in forward with collectives"
)
_OF_ARRAYS = (
    "if forward takes a NumPy array: arrays among the inputs are passed to it as tensors; instead, analyze a function "
    "that holds the array, as in analyze(lambda x: model(x, array), x)"
)
_OF_SIZES = (
    "if forward takes sizes: a tuple of numbers is read as the shape of a tensor; give numbers as "
    "cnncost.literal((2, 3, 8, 8)), on the command line as --inputs-json '[[2, 3, 8, 8]]'"
)
_REMEDIES = (
    (
        "must be Tensor, not list",
        'in --inputs-json a tensor is {"shape": [2, 16]}, and a list is a list',
    ),
    ("more than 1 value per channel", "call model.eval(), or give a batch of 2 or more"),
    ("not compiled with CUDA", "take the device from an input, as in x.to(other.device), instead of naming it"),
    ("device type of out parameter", "omit the device: with `out` it is that tensor's"),
    (
        "does not have a sharding strategy registered",
        _UNSPLIT,
    ),
    ("expected np.ndarray (got Tensor)", _OF_ARRAYS),
    ("'Tensor' object has no attribute 'astype'", _OF_ARRAYS),
    ("transpose() takes 2 positional arguments but", _OF_ARRAYS),
    ("'numpy.ndarray' and 'Tensor'", _OF_ARRAYS),
    ("expected TensorOptions(", _OF_ARRAYS),  # of `torch.LongTensor(array)`
    ("received an invalid combination of arguments - got (Tensor", _OF_SIZES),
    ("must be tuple of ints, not Tensor", _OF_SIZES),
    ("flex_attention", "for the analysis, write it with scaled_dot_product_attention"),
)
"""Parts of torch's messages, and the advice for each."""


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened to 300 characters."""
    lines = message_of(error).strip().splitlines()
    text = lines[0] if lines else "no message"
    return text if len(text) <= 300 else text[:297] + "..."


def _without_kernel(place: str, message: str) -> str:
    """Return the message for an op without a meta kernel, from torch's message."""
    name = re.search(r"\w+::\w+", message)
    op = name[0] if name else "of the model"
    if op.startswith("aten::"):
        return (
            f"{place}: torch can't run {op} on tensors without data, so the shape of its result is unknown; replace "
            f"the op, or {ON_VALUES}"
        )
    return (
        f"{place}: the op {op} has no rule for tensors without data; register one with "
        f"torch.library.register_fake, which gives the shape of its result; or {ON_VALUES}"
    )


def _expectation(module: nn.Module, args: Any, autocast: bool) -> str:
    """Describe the input that a layer expects if its first tensor doesn't match, else return an empty string."""
    x = next((a for a in args if isinstance(a, torch.Tensor)), None)
    if x is None or not x.dim():
        return ""
    if isinstance(module, nn.Embedding):
        return "integer indices (for example ids=1x128:int64)" if x.is_floating_point() else ""
    if isinstance(module, Convolution):
        return _convolution_input(module, x) or _dtype_expected(module, x, autocast)
    for kind, attribute, axis, unit in _SIZES:
        if isinstance(module, kind):
            size = getattr(module, attribute)
            if axis >= x.dim() or x.shape[axis] != size:
                return f"{units.counted(size, unit)} on {'the last axis' if axis < 0 else f'axis {axis}'}"
    if isinstance(module, nn.LayerNorm) and tuple(x.shape[-len(module.normalized_shape) :]) != module.normalized_shape:
        return f"last axes of {tuple(module.normalized_shape)}"
    return _dtype_expected(module, x, autocast)


_SIZES: tuple[tuple[type, str, int, str], ...] = (
    (nn.Linear, "in_features", -1, "feature"),
    (Norm, "num_features", 1, "channel"),
    (nn.GroupNorm, "num_channels", 1, "channel"),
    (nn.RNNBase, "input_size", -1, "feature"),
)
"""Layer, attribute with the expected size, axis of the input, and the name of an element of that axis."""


def _convolution_input(module: Any, x: torch.Tensor) -> str:
    dims = module.weight.dim() - 2
    if x.dim() not in (dims + 1, dims + 2):
        axes = f"{units.counted(module.in_channels, 'channel')}, {units.counted(dims, 'spatial axis', 'spatial axes')}"
        return f"an input of {dims + 2} axes (batch, {axes})"
    if x.shape[-dims - 1] != module.in_channels:
        return f"{units.counted(module.in_channels, 'channel')} on axis {x.dim() - dims - 1}"
    extent = [d * (k - 1) + 1 for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    padding = module.padding if isinstance(module.padding, tuple) else (0,) * dims
    small = not module.transposed and any(
        n + 2 * p < e for n, p, e in zip(x.shape[-dims:], padding, extent, strict=True)
    )
    return f"a spatial size of at least {'x'.join(map(str, extent))}, padding included" if small else ""


def _dtype_expected(module: nn.Module, x: torch.Tensor, autocast: bool) -> str:
    weight = None if autocast else getattr(module, "weight", None)
    if isinstance(weight, torch.Tensor) and weight.dtype != x.dtype:
        return f"{str(weight.dtype).removeprefix('torch.')}, the dtype of its weight"
    return ""


def _shapes(args: Any) -> str:
    """Return the shapes of the tensors, `1x3x224x224`, with their dtypes if not float32."""
    parts = []
    for arg in args:
        if isinstance(arg, torch.Tensor):
            dtype = "" if arg.dtype is torch.float32 else ":" + str(arg.dtype).removeprefix("torch.")
            parts.append("x".join(map(str, arg.shape)) + dtype if arg.dim() else "a scalar" + dtype)
        elif isinstance(arg, (list, tuple)) and (inner := _shapes(arg)):
            parts.append(f"({inner})")
    return ", ".join(parts)


def _shapes_by_name(kwargs: dict[str, Any]) -> str:
    """Return shapes by name, `left=2x16, right=2x8`; dicts stay nested."""
    parts = []
    for name, value in kwargs.items():
        inner = f"{{{_shapes_by_name(value)}}}" if isinstance(value, dict) else _shapes([value])
        parts.append(f"{name}={inner or type(value).__name__}")
    return ", ".join(parts)


def _user_line(error: BaseException) -> str:
    """Return the innermost file and line outside torch, this front end and, if possible, the standard library."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OURS, _TORCH, "<"))
    ]  # fmt: skip
    # installed packages are in a folder of the standard library
    own = [frame for frame in frames if not frame.filename.startswith(_STANDARD) or "site-packages" in frame.filename]
    nearest = (own or frames)[-1:]
    return f"{Path(nearest[0].filename).name}:{nearest[0].lineno}" if nearest else ""
