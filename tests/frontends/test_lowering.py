"""Lowerings look an op's name up in the table that registers it: a part of a name says nothing about a new one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cnncost.frontends.torch import lowering

FILES = sorted(Path(lowering.__file__).parent.glob("*.py"))
MATCHING = {"startswith", "endswith", "find", "index", "count", "partition", "rpartition", "split"}
ALLOWED = {
    "registry.py": 3,  # the profiler's namespace, that of prims, and `_copy` of views, which torch tags
    "collectives.py": 2,  # ops without their namespace, in a table
}


def guesses(source: str) -> list[int]:
    """Lines in which code decides by a part of an op's name."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="name"), attr=method)) if method in MATCHING:
                lines.append(node.lineno)
            case ast.Compare(
                left=ast.Constant(value=str()), ops=[ast.In() | ast.NotIn()], comparators=[ast.Attribute(attr="name")]
            ):
                lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_lowering_decides_by_a_part_of_a_name(file):
    assert len(guesses(file.read_text())) == ALLOWED.get(file.name, 0)


def test_decisions_by_a_part_of_a_name_are_found():
    source = "def f(call):\n return call.name.startswith('conv_t')\ndef g(call):\n return 'max' in call.name\n"
    assert guesses(source) == [2, 4]
