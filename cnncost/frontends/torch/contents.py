"""The contents of objects: tensors and modules in their attributes, and the states of random generators."""

from __future__ import annotations

import random
from collections import deque
from types import MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.kinds import ATOMS

_MAX_SEARCHED = 10_000
"""Maximum number of objects that are searched: an object may refer to the whole program."""


def tensors_and_modules(value: Any) -> list[Any]:
    """Return the tensors and modules in an object's attributes and in containers in them."""
    found, pending, seen = [], [value], set[int]()
    while pending and len(seen) < _MAX_SEARCHED:
        item = pending.pop()
        if id(item) in seen or type(item) in ATOMS:
            continue
        seen.add(id(item))
        if isinstance(item, (torch.Tensor, nn.Module)):
            found.append(item)
        elif isinstance(item, dict):
            pending.extend(dict.values(item))
        elif isinstance(item, (list, tuple, set, deque)):
            pending.extend(item)
        elif isinstance(item, MethodType):
            pending.append(item.__self__)
        elif not isinstance(item, (type, ModuleType)) and type(getattr(item, "__dict__", None)) is dict:
            pending.extend(item.__dict__.values())
    return found


def must_be_copied(value: Any) -> bool:
    """Return True if an object is callable and holds tensors or modules, so that forward must call a copy of it.

    Only for objects that refuse to be copied and pickled, such as wrappers of a module's forward: their attributes can
    still be copied. Objects that aren't callable stay shared: they may be as large as a trainer.
    """
    kind: Any = type(value)
    plain = callable(value) and kind.__new__ is object.__new__ and bool(kind.__dictoffset__)
    return plain and bool(tensors_and_modules(value))


def generator_state(generator: Any) -> str:
    """Return the state of a Python or numpy generator, for comparison."""
    if isinstance(generator, random.Random):
        return str(generator.getstate())
    source = getattr(generator, "bit_generator", generator)  # itself if it is numpy's older RandomState
    return str(getattr(source, "state", None) if not hasattr(source, "get_state") else source.get_state())
