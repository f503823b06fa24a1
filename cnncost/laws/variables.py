"""The variables of laws: the batch, sizes of images and sequences, axes of inputs, keywords of the factory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, NamedTuple

from cnncost.errors import InputError
from cnncost.laws.axes import SYMBOLS, OpenAxes, axes_of, axis_name, names_of, size_of
from cnncost.near import suggestion
from cnncost.sources.sizes import Axis, Leaf

_NAME = r"(?:[A-Za-z_]\w*|\d+(?=\.))(?:\.-?\w+)*"
_WORD = re.compile(rf"{_NAME}(?:\+{_NAME})*")
_BATCH, _FAR, _LEAST = 65_536, 16, 1_024
"""Default ranges end at a batch of 65,536, for other sizes at 16 times the model's own, or 1,024 if that is larger."""
_MOST = 2**40
"""Maximum size that is accepted. No network has a larger axis."""


class VariableRequest(NamedTuple):
    """A variable that the user requests.

    Attributes:
        name: the name as given. Several names joined by `+` share one size.
        values: the listed sizes, such as 16, 32, 64; empty if there is no list.
        low: lower end of the range; None if no range was given.
        high: upper end of the range; None if no range was given.
        step: step of the range; None if none was given.
    """

    name: str
    values: tuple[int, ...] = ()
    low: int | None = None
    high: int | None = None
    step: int | None = None

    @property
    def parts(self) -> list[str]:
        """The names that share the size."""
        return self.name.split("+")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a law.

    Attributes:
        name: the name as the user gave it.
        symbol: the symbol in formulas.
        base: the size at which the search begins, usually that of the model's own inputs.
        axes: the inputs' axes that the variable sets.
        keywords: the factory's keywords that the variable sets.
        low: the smallest size.
        high: the largest size.
        firm: whether the user gave sizes, beyond whose range none are tried.
        step: difference between neighboring sizes; 1 unless a step or a list of sizes was given.
        about: description of what the variable sets.
        strided: whether it sets a spatial axis, whose size layers with strides may divide.
    """

    name: str
    symbol: str
    base: int
    axes: tuple[Axis, ...]
    keywords: tuple[str, ...]
    low: int
    high: int
    firm: bool
    step: int
    about: str
    strided: bool = False


def parse(vary: str | Iterable[str] | Mapping[str, Any]) -> list[VariableRequest]:
    """Parse `"batch,height"`, `("batch", "ids.1=64..512")` or `{"width": (16, 32, 64)}`. Ranges are str or `range`.

    Raises:
        InputError: a variable is malformed, a size is not from 1 to 2⁴⁰, there are too few sizes, or a name occurs
            twice.
    """
    if isinstance(vary, Mapping):
        texts = [name if value is None else f"{name}={_as_text(name, value)}" for name, value in vary.items()]
    else:
        items = [vary] if isinstance(vary, str) else list(vary)
        texts = [text for item in items for text in _split(str(item))]
    if not texts:
        raise InputError("vary: expected names of variables, such as batch,height,width or ids.1=64..512")
    requests = [_request(text) for text in texts]
    names = [part for request in requests for part in request.parts]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"vary: {twice} is given twice; expected each variable once")
    return requests


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, range):
        return f"{value.start}..{value[-1]}:{value.step}" if len(value) else ""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ",".join(map(str, value))
    raise InputError(
        f"vary: {name}: expected sizes such as (16, 32, 64), range(64, 513, 64) or '64..512', got {value!r}"
    )


def _split(text: str) -> list[str]:
    """Split `"batch,width=16,32"` into its two variables: a part without a name belongs to the variable before."""
    texts: list[str] = []
    for part in [part.strip() for part in text.split(",") if part.strip()]:
        if texts and "=" in texts[-1] and not _WORD.fullmatch(part.partition("=")[0].strip()):
            texts[-1] += f",{part}"
        else:
            texts.append(part)
    return texts


def _request(text: str) -> VariableRequest:
    name, equals, sizes = (part.strip() for part in text.partition("="))
    if not _WORD.fullmatch(name):
        raise InputError(f"vary {text!r}: expected a name such as batch, ids.1=64..512 or width=16,32,64")
    if not equals:
        return VariableRequest(name)
    if ".." in sizes:
        span, colon, step = sizes.partition(":")
        low, _, high = span.partition("..")
        first, last = _parse_size(name, low), _parse_size(name, high)
        if first >= last:
            raise InputError(
                f"vary {text!r}: expected a smaller size first, such as {name}={min(first, last)}..{first}"
            )
        return VariableRequest(name, (), first, last, _parse_size(name, step) if colon else None)
    values = tuple(sorted({_parse_size(name, size) for size in sizes.split(",")}))
    if len(values) < 2:
        raise InputError(f"vary {text!r}: expected several sizes, such as {name}=16,32,64 or {name}=16..64:16")
    return VariableRequest(name, values)


def _parse_size(name: str, text: str) -> int:
    try:
        size = int(text.strip())
    except ValueError:
        raise InputError(
            f"vary {name}: expected whole numbers such as {name}=16,32,64 or {name}=16..64:16, got {text.strip()!r}"
        ) from None
    if not 1 <= size <= _MOST:
        raise InputError(f"vary {name}: expected sizes from 1 to 2^40, got {size}")
    return size


def variables(
    requests: Sequence[VariableRequest], tensors: Sequence[Leaf], names: Sequence[str], keywords: Mapping[str, Any],
    takes_others: bool, file: OpenAxes | None = None,
) -> tuple[Variable, ...]:  # fmt: skip
    """Return the variables, with the axes and keywords that they set.

    Args:
        requests: the variables that the user requests.
        tensors: the model's inputs.
        names: names of forward's positional parameters.
        keywords: the factory's keywords with their values; empty if the model is already built.
        takes_others: whether the factory also accepts other keywords.
        file: the open axes of an ONNX file, the only axes that may vary; None for other models.

    Raises:
        InputError: a name is unknown (similar ones are suggested), a keyword has no sizes and a default that is not a
            positive int, or an ONNX file fixes the axis.
    """
    found = [_variable(request, tensors, names, keywords, takes_others, file) for request in requests]
    symbols = [variable.symbol for variable in found]
    return tuple(
        each if symbols.count(each.symbol) == 1 else _renamed(each, each.name.replace(".", "_").replace("+", "_"))
        for each in found
    )


def _renamed(variable: Variable, symbol: str) -> Variable:
    from dataclasses import replace

    return replace(variable, symbol=symbol)


def _variable(
    request: VariableRequest, tensors: Sequence[Leaf], names: Sequence[str], keywords: Mapping[str, Any],
    takes_others: bool, file: OpenAxes | None,
) -> Variable:  # fmt: skip
    axes: list[Axis] = []
    set_keywords: list[str] = []
    about: list[str] = []
    bases: list[int] = []
    has_sizes = bool(request.values) or request.low is not None
    for part in request.parts:
        if is_keyword(part, has_sizes, keywords, takes_others) and (has_sizes or not axes_of(part, tensors, names)):
            set_keywords.append(part)
            about.append(f"the factory's {part}")
            if not has_sizes:
                bases.append(_default(part, keywords[part]))
            continue
        places = axes_of(part, tensors, names) if file is None else file.of(part)
        if not places:
            raise InputError(_unknown_message(part, tensors, names, keywords, takes_others))
        axes += places
        bases += [size_of(axis, tensors) for axis in places]
        about.append(", ".join(axis_name(axis, names) for axis in places))
    axes = list(dict.fromkeys(axes))
    base, low, high = _range(request, bases[0] if bases else None)
    step = request.step or (gcd(*request.values) if request.values else 1)
    symbol, strided = _symbol(request, bool(set_keywords)), any(_is_space(axis, tensors) for axis in axes)
    return Variable(
        request.name, symbol, base, tuple(axes), tuple(set_keywords), low, high, has_sizes, step, " and ".join(about),
        strided,
    )  # fmt: skip


def is_keyword(name: str, has_sizes: bool, keywords: Mapping[str, Any], takes_others: bool) -> bool:
    """Return whether a name may be a factory's keyword: declared or, if sizes are given, accepted by `**kwargs`."""
    return name in keywords or (has_sizes and takes_others and name not in SYMBOLS and "." not in name)


def _is_space(axis: Axis, tensors: Sequence[Leaf]) -> bool:
    """Return whether an axis is spatial: one that follows batch and channels of an image, a volume or a sound."""
    leaf = next((leaf for leaf in tensors if leaf.place == axis.place), None)
    return (
        leaf is not None and axis.number is not None and not leaf.integral and axis.number >= (1 if leaf.listed else 2)
    )


def _range(request: VariableRequest, size: int | None) -> tuple[int, int, int]:
    """Return the size at which the search begins, the lowest and the highest; `size` is that of the model's inputs.

    A list of sizes is too short to find and check a law, so the range is at least seven steps long.
    """
    if request.low is not None and request.high is not None:
        inside = size is not None and request.low <= size <= request.high
        # with a step, the search begins at `low`, from which the sizes are counted
        return (size if inside and size is not None and not request.step else request.low), request.low, request.high
    if request.values:
        first, step = request.values[0], gcd(*request.values)
        inside = size is not None and first <= size <= request.values[-1] and size % step == 0
        return (size if inside and size is not None else first), first, max(request.values[-1], first + 7 * step)
    assert size is not None
    if request.name == "batch":
        return size, 1, max(_BATCH, size)
    return size, 1, max(_FAR * size, _LEAST)


def _default(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise InputError(
            f"vary {name}: the factory's default is {value!r}, not a whole number above 0; give sizes: {name}=16,32,64"
        )
    return value


def _symbol(request: VariableRequest, sets_keywords: bool) -> str:
    """Return a variable's symbol in formulas: an axis's standard symbol, or else the name."""
    if request.name in {"height+width", "width+height"} and not sets_keywords:
        return SYMBOLS["size"]
    first, standard = request.parts[0], [part for part in request.parts if part in SYMBOLS]
    if standard and (not sets_keywords or len(request.parts) > 1):  # an axis, perhaps with a keyword
        return SYMBOLS[standard[0]]
    return first.replace(".", "_").replace("-", "m")


def _unknown_message(
    part: str, tensors: Sequence[Leaf], names: Sequence[str], keywords: Mapping[str, Any], takes_others: bool
) -> str:
    """Return the error message for a name that is neither an axis nor a keyword."""
    standard = [name for name in SYMBOLS if axes_of(name, tensors, names)]
    by_position = [f"{names_of(leaf.place, names)[-1]}.{axis}" for leaf in tensors for axis in range(len(leaf.shape))]
    choices = [*standard, *by_position, *keywords]
    if not choices:
        return f"vary {part}: the model has no inputs with axes and no factory; give inputs, such as 1x3x224x224"
    near = suggestion(part, choices)
    if not near and "." in part:
        near = suggestion(part.rpartition(".")[0], choices)
    shapes = ", ".join(
        f"{names_of(leaf.place, names)[-1]} {'×'.join(map(str, leaf.shape)) or 'scalar'}" for leaf in tensors
    )
    also = f"; for a keyword of the factory, give sizes: {part}=16,32,64" if takes_others and "." not in part else ""
    few = ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "")
    near = near or f"; expected one of {few}"
    return f"vary {part}: the inputs are {shapes or 'none'}, and nothing has this name{near}{also}"
