"""The names in a function's byte code, by which it can reach objects besides its arguments and local variables.

A chain is a global followed by attributes: `torch.nn.functional.relu` is `("torch", "nn", "functional", "relu")`. It
can be looked up without running the function. Any other attribute is read from an object that exists only in a run.
"""

from __future__ import annotations

import dis
from functools import cache
from types import CodeType
from typing import NamedTuple


class Names(NamedTuple):
    """The names in the code of a function and of the functions defined in it.

    Attributes:
        globals: chains that begin at a global or a built-in function.
        attributes: names of all attributes, including those in chains.
        unread: why the code may use other names as well: the first instruction that reaches beyond the function, such
            as `IMPORT_NAME`, or `bytes` for a constant of bytes. None: these are all names.
    """

    globals: frozenset[tuple[str, ...]]
    attributes: frozenset[str]
    unread: str | None


_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_OTHER_ATTRIBUTE = frozenset({"STORE_ATTR", "DELETE_ATTR", "LOAD_SUPER_ATTR"})
"""Instructions that use an attribute and are never part of a chain."""
_NO_EFFECT = frozenset({"EXTENDED_ARG", "CACHE", "NOP"})
"""Instructions without an effect of their own: a chain may continue after them."""
_LOCAL = frozenset(
    {
        "LOAD_ASSERTION_ERROR", "LOAD_CLASSDEREF", "LOAD_CLOSURE", "LOAD_COMMON_CONSTANT", "LOAD_CONST",
        "LOAD_CONST_IMMORTAL", "LOAD_CONST_MORTAL", "LOAD_DEREF", "LOAD_FAST", "LOAD_FAST_AND_CLEAR",
        "LOAD_FAST_BORROW",
        "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "LOAD_FAST_CHECK", "LOAD_FAST_LOAD_FAST", "LOAD_SMALL_INT",
        "LOAD_SPECIAL",
    }
)  # fmt: skip
"""Loads of constants, of local variables, of closure variables (which the function object holds), and of the methods
that the `with` statement calls."""
_ELSEWHERE = ("LOAD_", "IMPORT_", "STORE_GLOBAL", "STORE_NAME", "DELETE_GLOBAL", "DELETE_NAME", "MATCH_CLASS")
"""Prefixes of instructions that may reach beyond local variables: they set `unread`, except those in the sets above and
`LOAD_GLOBAL`, which begins a chain."""


@cache
def names_in(code: CodeType) -> Names:
    """Return the names in a function's code (cached). Unknown instructions with these prefixes set `unread`."""
    chains: set[tuple[str, ...]] = set()
    attributes: set[str] = set()
    unread: str | None = None
    chain: list[str] = []
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in _NO_EFFECT:
            continue
        if name in _ATTRIBUTE:
            attributes.add(instruction.argval)
            if chain:
                chain.append(instruction.argval)
            continue
        if chain:
            chains.add(tuple(chain))
            chain = []
        if name == "LOAD_GLOBAL":
            chain = [instruction.argval]
        elif name in _OTHER_ATTRIBUTE:
            attributes.add(instruction.argval)
        elif name not in _LOCAL and name.startswith(_ELSEWHERE):
            unread = unread or name
    for constant in code.co_consts:
        if isinstance(constant, bytes):
            unread = unread or "bytes"  # `str(…)` may decode it, with a codec from outside
        elif isinstance(constant, CodeType):
            inner = names_in(constant)
            chains |= inner.globals
            attributes |= inner.attributes
            unread = unread or inner.unread
    return Names(frozenset(chains), frozenset(attributes), unread)
