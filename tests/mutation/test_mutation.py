"""What the mutation script itself does to code."""

from __future__ import annotations

import ast

from tests.mutation.run import PARTS, ROOT, changed, drawn, places

SOURCE = '''
"""A docstring with 1 in it."""
from math import prod

def f(a: int, b: int = 2) -> int:
    """Another, of 3."""
    c = a + b
    if c > 0 and prod((a, b)) == 1:
        return max(a, b)
    assert c != 7
    return -c
'''


def test_each_change_is_another_program():
    texts = [changed(SOURCE, place) for place, _, _ in places(SOURCE)]
    same = ast.unparse(ast.parse(SOURCE))
    assert same not in texts
    assert len(set(texts)) == len(texts)
    for text in texts:
        ast.parse(text)


def test_what_is_changed():
    said = {said for _, _, said in places(SOURCE)}
    expected = """Add to Sub, Gt to GtE, And to Or, Eq to NotEq, 0 to 1, 0 to -1, 1 to 2, 2 to 3, -c without its sign,
        arguments of max swapped, without c = a + b, without return -c"""
    assert {" ".join(each.split()) for each in expected.split(",")} | {"ends of (a, b) swapped"} <= said
    assert not any("7" in each or "docstring" in each or "import" in each for each in said)


def test_places_and_changes_agree():
    for place, line, said in places(SOURCE):
        assert changed(SOURCE, place) != ast.unparse(ast.parse(SOURCE)), (line, said)


def test_draws_are_the_same_for_a_seed():
    assert drawn("matmul", 5, 3) == drawn("matmul", 5, 3)
    assert drawn("matmul", 5, 3) != drawn("matmul", 5, 4)


def test_every_part_has_files_and_tests():
    for files, tests in PARTS.values():
        assert all((ROOT / path).exists() for path in (*files, *tests))
