"""Types of a file's inputs: as declared, with open axes bound by the user's shapes or by sizes of symbolic axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cnncost.errors import InputError
from cnncost.frontends.onnx.tensors import dtype_of
from cnncost.near import suggestion
from cnncost.shapes import TensorText, parse_shape
from cnncost.tensor_types import Shape, TensorType


def bind_inputs(
    inputs: Mapping[str, Any], given: Any, sizes: Mapping[str, Any], default_sizes: Mapping[str, int] | None = None
) -> tuple[dict[str, TensorType | None], dict[str, int]]:  # fmt: skip
    """Return the inputs' types by name, and the values given for integer inputs.

    A type is None if the input isn't a tensor of a supported dtype.

    Args:
        inputs: the file's inputs as TypeProtos by name.
        given: shapes or values, in the order of the inputs or by name; None: the shapes in the file.
        sizes: sizes of symbolic axes by name.
        default_sizes: sizes of axes that neither `given` nor `sizes` determines.

    Raises:
        InputError: an input or axis does not exist, a shape contradicts the file, or an axis is left open.
    """
    named = _checked_sizes(inputs, sizes)
    shapes: dict[str, TensorText] = {}
    values: dict[str, int] = {}
    for name, found in _by_name(inputs, given).items():
        if isinstance(found, Number):
            shapes[name], values[name] = TensorText(found.shape, None), found.value
        elif len(found.shape) == 1 and found.dtype is None and _is_integer_scalar(inputs[name]):
            # the text 16000 parses as a shape with one axis; for a scalar input it is the value
            shapes[name], values[name] = TensorText((), None), found.shape[0]
        else:
            shapes[name] = found
        _bind_axes(name, inputs[name], shapes[name].shape, named)
    named = {**(default_sizes or {}), **named}
    return {name: _bound_type(name, proto, shapes.get(name), named) for name, proto in inputs.items()}, values


def _by_name(inputs: Mapping[str, Any], given: Any) -> dict[str, TensorText | Number]:
    """Return the given shapes and values by input name. Raises InputError for an input that does not exist."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif hasattr(given, "positional") and hasattr(given, "named"):  # from the command line
        return _by_name(inputs, tuple(given.positional)) | _by_name(inputs, given.named)
    else:
        several = given if _is_sequence_of_inputs(given) else (given,)
        if len(several) > len(inputs):
            raise InputError(f"expected at most {len(inputs)} inputs ({', '.join(inputs)}), got {len(several)}")
        pairs = list(zip(inputs, several, strict=False))
    for name, _ in pairs:
        if name not in inputs:
            raise InputError(f"no input is called {name}{suggestion(name, list(inputs))}; it has {', '.join(inputs)}")
    return {name: _parse_input(name, value) for name, value in pairs}


def open_axes(inputs: Mapping[str, Any]) -> dict[tuple[str, int], str]:
    """Return the name of each axis without a fixed size, by (input, position); empty if it has no name."""
    return {
        (name, axis): _name(dim)
        for name, proto in inputs.items() for axis, dim in enumerate(dims_of(proto)) if not _declared(dim)
    }  # fmt: skip


class Number(NamedTuple):
    """An input that is one integer, such as a sampling rate: its shape, () or (1,), and its value."""

    shape: Shape
    value: int


def _is_integer_scalar(proto: Any) -> bool:
    """Return True if an input is declared as an integer with shape (): then a size given for it is its value."""
    kind = proto.tensor_type
    return (
        proto.HasField("tensor_type") and kind.HasField("shape") and not kind.shape.dim and kind.elem_type in _INTEGERS
    )


_INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})
"""Element types of integers and booleans, by number in TensorProto.DataType."""
_NAMELESS = frozenset({"?", "-1", "None", "*"})
"""Names that converters give to nameless axes: two such axes may differ in size."""


def _name(dim: Any) -> str:
    """Return the symbolic name of an axis, such as `batch`; empty if it has none."""
    return "" if dim.dim_param in _NAMELESS else dim.dim_param


def _is_sequence_of_inputs(given: Any) -> bool:
    """Return whether `given` is a sequence of inputs; a sequence of ints is a single input, namely a shape."""
    plain = isinstance(given, TensorText) or not isinstance(given, (tuple, list))
    return not plain and not all(isinstance(size, int) for size in given)


def _parse_input(name: str, value: Any) -> TensorText | Number:
    """Convert a shape, a tensor, an array, or the value of an integer input. Raises InputError for anything else."""
    if isinstance(value, TensorText):
        return value
    if isinstance(value, str):
        return parse_shape(value)
    if isinstance(value, (tuple, list)) and all(isinstance(size, int) for size in value):
        return TensorText(tuple(value), None)
    if hasattr(value, "shape") and hasattr(value, "dtype"):  # a tensor or an array
        shape = tuple(int(size) for size in value.shape)
        number = _number(value) if shape in {(), (1,)} else None
        return TensorText(shape, str(value.dtype).removeprefix("torch.")) if number is None else Number(shape, number)
    if isinstance(value, int):
        return Number((), int(value))
    raise InputError(f"{name}: expected a shape such as 1x3x224x224 or a tensor, got {type(value).__name__}")


def _number(value: Any) -> int | None:
    """Return the integer in a tensor with one element; None if the tensor holds no integer, or has no data."""
    try:
        item = value.item()
    except (RuntimeError, ValueError, NotImplementedError, AttributeError):  # on torch's meta device
        return None
    return int(item) if isinstance(item, int) else None


def _checked_sizes(inputs: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes of symbolic axes. Raises InputError if an axis does not exist, or a size is less than 1."""
    axis_names = {_name(dim) for proto in inputs.values() for dim in dims_of(proto) if _name(dim)}
    for name, size in sizes.items():
        if name not in axis_names:
            has = f"it has {', '.join(sorted(axis_names))}" if axis_names else "it has none"
            raise InputError(f"no axis is called {name}{suggestion(name, sorted(axis_names))}; {has}")
        if type(size) is not int or size < 1:
            raise InputError(f"axis {name}: expected a size of 1 or more, got {size!r}")
    return dict(sizes)


def dims_of(proto: Any) -> list[Any]:
    """Return the axes that a TypeProto declares; empty unless it is a tensor."""
    return list(proto.tensor_type.shape.dim) if proto.HasField("tensor_type") else []


def _bind_axes(name: str, proto: Any, shape: Shape, named: dict[str, int]) -> None:
    """Add the sizes of an input's symbolic axes to `named`. Raises InputError if the shape contradicts the file."""
    has_shape = proto.HasField("tensor_type") and proto.tensor_type.HasField("shape")
    dims = dims_of(proto)
    if has_shape and len(dims) != len(shape):
        raise InputError(f"{name}: expected {len(dims)} axes, {_shown(proto)}, got {len(shape)}: {_shape_text(shape)}")
    for axis, (dim, size) in enumerate(zip(dims, shape, strict=False)):
        fixed = dim.dim_value if dim.HasField("dim_value") else named.get(_name(dim))
        if fixed is not None and fixed > 0 and fixed != size:
            raise InputError(f"{name}: axis {axis} is {fixed} ({_shown(proto)}), got {size} in {_shape_text(shape)}")
        if _name(dim):
            named[_name(dim)] = size


def _bound_type(name: str, proto: Any, text: TensorText | None, named: Mapping[str, int]) -> TensorType | None:
    """Return an input's type from the user's shape `text`, else from the file and the named sizes.

    None if it isn't a tensor of a supported dtype. Raises InputError if the dtype contradicts the file, the file
    declares no shape, or an axis is left open.
    """
    if not proto.HasField("tensor_type"):
        return None
    dtype = dtype_of(proto.tensor_type.elem_type)
    if text is not None and text.dtype is not None and dtype is not None and text.dtype != dtype:
        raise InputError(f"{name}: the file's dtype is {dtype}, got {text.dtype}")
    if dtype is None:
        return None
    if text is not None:
        return TensorType(text.shape, dtype)
    if not proto.tensor_type.HasField("shape"):
        raise InputError(f"{name}: the file declares no shape; give it, for example --input {name}=1x3x224x224")
    sizes = []
    for axis, dim in enumerate(dims_of(proto)):
        size = dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else named.get(_name(dim))
        if size is None and not (dim.HasField("dim_value") and dim.dim_value == 0):
            by_name = f" or --dim {dim.dim_param}=1" if _name(dim).isidentifier() else ""
            raise InputError(
                f"{name}: axis {axis} is open in {_shown(proto)}; "
                f"bind it by --input {name}={_example_shape(proto, named)}{by_name}"
            )
        sizes.append(0 if size is None else size)
    return TensorType(tuple(sizes), dtype)


def _declared(dim: Any) -> bool:
    """Return True if the file gives the axis a size; some exporters write −1 for a dynamic axis."""
    return bool(dim.HasField("dim_value") and dim.dim_value >= 0)


def _shown(proto: Any) -> str:
    """Return an input's declared shape, such as `batch×3×224×224`."""
    return "×".join(_name(dim) or (str(dim.dim_value) if _declared(dim) else "?") for dim in dims_of(proto))


def _example_shape(proto: Any, named: Mapping[str, int]) -> str:
    """Return an example shape for a message; an open axis is 1 if it is the first one, often the batch, else 224."""
    sizes = [
        dim.dim_value if _declared(dim) else named.get(_name(dim)) or (1 if i == 0 else 224)
        for i, dim in enumerate(dims_of(proto))
    ]
    return _shape_text(tuple(sizes))


def _shape_text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
