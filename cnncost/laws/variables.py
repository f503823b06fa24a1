"""What a cost may vary in: the batch, the sizes of images and sequences, an input's axis, a factory's keyword."""

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
"""How far a law is checked by default: to this batch, to 16 times a model's own size, and to 1024 at least."""
_MOST = 2**40
"""Larger sizes are mistakes: no network has such an axis."""


class Asked(NamedTuple):
    """What is asked to vary.

    Attributes:
        name: as given; several names joined by `+` have one size together.
        values: of examples such as 16, 32, 64; empty: none given.
        low, high: the range, None: as far as the law holds.
        step: of the range.
    """

    name: str
    values: tuple[int, ...] = ()
    low: int | None = None
    high: int | None = None
    step: int | None = None

    @property
    def parts(self) -> list[str]:
        """The names that have one size together."""
        return self.name.split("+")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a law.

    Attributes:
        name: as the user gave it.
        symbol: in formulas.
        base: its size where the search begins, as in the model's own inputs.
        axes: of the inputs that it sets.
        keywords: of the factory that it sets.
        low, high: its range.
        firm: whether the user gave sizes.
        step: from one size to the next, where examples or a step were given; else 1.
        about: what it is, in words.
        strided: whether layers with strides may divide it: it is an axis of space.
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


def parse(vary: str | Iterable[str] | Mapping[str, Any]) -> list[Asked]:
    """`"batch,height"`, `("batch", "ids.1=64..512")`, or `{"width": (16, 32, 64)}`; a range is a text or a `range`.

    Raises:
        InputError: not of these forms, a size below 1, a name twice.
    """
    if isinstance(vary, Mapping):
        texts = [name if value is None else f"{name}={_as_text(name, value)}" for name, value in vary.items()]
    else:
        given = [vary] if isinstance(vary, str) else list(vary)
        texts = [text for each in given for text in _apart(str(each))]
    if not texts:
        raise InputError("vary: expected what to vary, such as batch,height,width or ids.1=64..512")
    found = [_one(text) for text in texts]
    names = [part for asked in found for part in asked.parts]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"vary: {twice} is given twice; a variable is varied once")
    return found


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


def _apart(text: str) -> list[str]:
    """`"batch,width=16,32"` is of two variables: what is no name belongs to the one before."""
    found: list[str] = []
    for part in [part.strip() for part in text.split(",") if part.strip()]:
        if found and "=" in found[-1] and not _WORD.fullmatch(part.partition("=")[0].strip()):
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _one(text: str) -> Asked:
    name, equals, sizes = (part.strip() for part in text.partition("="))
    if not _WORD.fullmatch(name):
        raise InputError(f"vary {text!r}: expected a name such as batch, ids.1=64..512 or width=16,32,64")
    if not equals:
        return Asked(name)
    if ".." in sizes:
        span, colon, step = sizes.partition(":")
        low, _, high = span.partition("..")
        first, last = _whole(name, low), _whole(name, high)
        if first >= last:
            raise InputError(
                f"vary {text!r}: expected a smaller size first, such as {name}={min(first, last)}..{first}"
            )
        return Asked(name, (), first, last, _whole(name, step) if colon else None)
    values = tuple(sorted({_whole(name, size) for size in sizes.split(",")}))
    if len(values) < 2:
        raise InputError(f"vary {text!r}: expected several sizes, such as {name}=16,32,64 or {name}=16..64:16")
    return Asked(name, values)


def _whole(name: str, text: str) -> int:
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
    asked: Sequence[Asked], tensors: Sequence[Leaf], names: Sequence[str], keywords: Mapping[str, Any], open_: bool,
    file: OpenAxes | None = None,
) -> tuple[Variable, ...]:  # fmt: skip
    """The variables, with the axes and keywords that they set.

    Args:
        asked: what is asked to vary.
        tensors: the model's inputs.
        names: of forward's positional parameters.
        keywords: the factory's, with their values; empty if there is nothing to build.
        open_: whether the factory takes others, too.
        file: the axes that a file leaves open, which alone may vary; None for a model that is built.

    Raises:
        InputError: a name that is neither, with near ones; a keyword whose value is no whole number and that is given
            no sizes; sizes that belong to axes of different sizes.
    """
    found = [_variable(each, tensors, names, keywords, open_, file) for each in asked]
    symbols = [each.symbol for each in found]
    return tuple(
        each if symbols.count(each.symbol) == 1 else _renamed(each, each.name.replace(".", "_").replace("+", "_"))
        for each in found
    )


def _renamed(variable: Variable, symbol: str) -> Variable:
    from dataclasses import replace

    return replace(variable, symbol=symbol)


def _variable(
    asked: Asked, tensors: Sequence[Leaf], names: Sequence[str], keywords: Mapping[str, Any], open_: bool,
    file: OpenAxes | None,
) -> Variable:  # fmt: skip
    axes: list[Axis] = []
    own: list[str] = []
    about: list[str] = []
    bases: list[int] = []
    ranged = bool(asked.values) or asked.low is not None
    for part in asked.parts:
        if is_keyword(part, ranged, keywords, open_) and (ranged or not axes_of(part, tensors, names)):
            own.append(part)
            about.append(f"the factory's {part}")
            if not ranged:
                bases.append(_default(part, keywords[part]))
            continue
        places = axes_of(part, tensors, names) if file is None else file.of(part)
        if not places:
            raise InputError(_no_such(part, tensors, names, keywords, open_))
        axes += places
        bases += [size_of(axis, tensors) for axis in places]
        about.append(", ".join(axis_name(axis, names) for axis in places))
    axes = list(dict.fromkeys(axes))
    base, low, high = _range(asked, bases[0] if bases else None)
    step = asked.step or (gcd(*asked.values) if asked.values else 1)
    symbol, strided = _symbol(asked, bool(own)), any(_is_space(axis, tensors) for axis in axes)
    return Variable(
        asked.name, symbol, base, tuple(axes), tuple(own), low, high, ranged, step, " and ".join(about), strided
    )


def is_keyword(name: str, ranged: bool, keywords: Mapping[str, Any], open_: bool) -> bool:
    """Whether a name may be a keyword of the factory; where it is an axis, too, the sizes that it is given decide."""
    return name in keywords or (ranged and open_ and name not in SYMBOLS and "." not in name)


def _is_space(axis: Axis, tensors: Sequence[Leaf]) -> bool:
    """Whether it is an axis of an image, a volume or a sound, behind the batch and the channels."""
    leaf = next((leaf for leaf in tensors if leaf.place == axis.place), None)
    return leaf is not None and axis.number is not None and not leaf.whole and axis.number >= (1 if leaf.listed else 2)


def _range(asked: Asked, own: int | None) -> tuple[int, int, int]:
    """Where the search begins, and the lowest and highest size; `own` is that of the model's inputs.

    Sizes given as examples are enough for a law and its checks only with some more: those up to seven steps on.
    """
    if asked.low is not None and asked.high is not None:
        inside = own is not None and asked.low <= own <= asked.high
        return (own if inside and own is not None and not asked.step else asked.low), asked.low, asked.high
    if asked.values:
        first, step = asked.values[0], gcd(*asked.values)
        inside = own is not None and first <= own <= asked.values[-1] and own % step == 0
        return (own if inside and own is not None else first), first, max(asked.values[-1], first + 7 * step)
    assert own is not None
    if asked.name == "batch":
        return own, 1, max(_BATCH, own)
    return own, 1, max(_FAR * own, _LEAST)


def _default(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise InputError(
            f"vary {name}: the factory's default is {value!r}, no whole number above 0; give sizes: {name}=16,32,64"
        )
    return value


def _symbol(asked: Asked, of_factory: bool) -> str:
    if asked.name in {"height+width", "width+height"} and not of_factory:
        return SYMBOLS["size"]
    first, known = asked.parts[0], [part for part in asked.parts if part in SYMBOLS]
    if known and (not of_factory or len(asked.parts) > 1):  # an axis, with a keyword that goes with it
        return SYMBOLS[known[0]]
    return first.replace(".", "_").replace("-", "m")


def _no_such(part: str, tensors: Sequence[Leaf], names: Sequence[str], keywords: Mapping[str, Any], open_: bool) -> str:
    standard = [name for name in SYMBOLS if axes_of(name, tensors, names)]
    own = [f"{names_of(leaf.place, names)[-1]}.{axis}" for leaf in tensors for axis in range(len(leaf.shape))]
    known = [*standard, *own, *keywords]
    if not known:
        return f"vary {part}: there is no input with axes and no keyword of a factory; give inputs, such as 1x3x224x224"
    near = suggestion(part, known)
    if not near and "." in part:
        near = suggestion(part.rpartition(".")[0], known)
    shapes = ", ".join(
        f"{names_of(leaf.place, names)[-1]} {'×'.join(map(str, leaf.shape)) or 'scalar'}" for leaf in tensors
    )
    also = f"; a keyword of the factory needs its sizes: {part}=16,32,64" if open_ and "." not in part else ""
    few = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    near = near or f"; expected one of {few}"
    return f"vary {part}: the inputs are {shapes or 'none'}, and nothing has this name{near}{also}"
