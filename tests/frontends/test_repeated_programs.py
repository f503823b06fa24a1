"""Programs that change something out of sight between two recordings: the second is as one with all caches empty.

Each is a file of its own: a model `Net`, or what `build` returns, `change`, and for some an input, options, and `undo`.
"""

import linecache
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cnncost import opaque
from cnncost.errors import CnncostError
from cnncost.frontends.torch import record, skeleton_cache
from cnncost.session import SESSION
from tests.versions.facts import PROPERTIES_OF_MODULES_ARE_OVERLOOKED

OVERLOOKED = (
    {"module class changed", "module getattribute class before"} if PROPERTIES_OF_MODULES_ARE_OVERLOOKED else set()
)
"""Python itself doesn't see these changes."""

HEAD = """
import torch, sys, os, math, functools, enum, dataclasses, typing, abc, collections, copy, warnings, logging, operator
import builtins, argparse
import torch.nn.functional as F
from torch import nn
class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
"""


def _programs():
    found, name = {}, ""
    for path in sorted(Path(__file__).parent.glob("repeated_programs_*.txt")):
        for line in path.read_text().splitlines(keepends=True):
            if line.startswith("#### "):
                name = line[5:].strip()
                found[name] = ""
            else:
                found[name] += line
    return found


PROGRAMS = _programs()


def _module(name, monkeypatch):
    module = ModuleType("program_" + "".join(c if c.isalnum() else "_" for c in name))
    module.__file__ = f"/{module.__name__}.py"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    text = HEAD + PROGRAMS[name]
    monkeypatch.setitem(linecache.cache, module.__file__, (len(text), None, text.splitlines(True), module.__file__))
    exec(compile(text, module.__file__, "exec"), vars(module))  # noqa: S102  # the program
    return vars(module)


def _answer(*args, **how):
    try:
        return record(*args, **how)
    except CnncostError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_program_changes_is_seen(name, monkeypatch):
    SESSION.clear()
    monkeypatch.setattr(SESSION, "repeats", True)
    monkeypatch.setattr(opaque, "_RULES", {})  # what other tests have registered
    program = _module(name, monkeypatch)
    try:
        model = program["build"]() if "build" in program else program["Net"]()
        given, how = program.get("X", (2, 8)), program.get("HOW", {})
        inputs = given if callable(given) else lambda: given
        before = [record(model, inputs(), **how) for _ in range(4)][-1]
        change = program["change"]
        change(model) if change.__code__.co_argcount else change()
        after = _answer(model, inputs(), **how)
        SESSION.clear()
        expected = _answer(model, inputs(), **how)
    finally:
        program.get("undo", lambda: None)()
        SESSION.clear()
    assert not skeleton_cache._CACHE
    assert after == expected
    assert after != before or name in OVERLOOKED
