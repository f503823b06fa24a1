"""What the mutation script itself does to code."""

from __future__ import annotations

import ast
import time

from cnncost.graph import OpSpec, TensorType
from cnncost.ops.scratch import scratch_of
from tests.mutation.changes import changed, function_of, places
from tests.mutation.run import PARTS, ROOT, Change, _functions_of, drawn, forked, patched

SOURCE = '''
"""A docstring with 1 in it."""
from math import prod

def f(a: int, b: int = 2) -> int:
    """Another, of 3."""
    c = a + max(a, b)
    if c > 0 and prod((a, b)) == 1:
        return divmod(a, b)[0]
    assert c != 7
    if a in (4, 5) or isinstance(a, (complex, float)):
        c = [*zip((1, 1), (a, a), strict=True)][0][3]
    try:
        return -c
    except (KeyError, ValueError):
        return b
'''


def test_each_change_is_another_program():
    texts = [ast.unparse(changed(SOURCE, place)) for place, _, _ in places(SOURCE)]
    same = ast.unparse(ast.parse(SOURCE))
    assert same not in texts
    assert len(set(texts)) == len(texts)
    for place, _, _ in places(SOURCE):
        compile(changed(SOURCE, place), "a file", "exec")


def test_what_is_changed():
    said = {said for _, _, said in places(SOURCE)}
    expected = """Add to Sub, Gt to GtE, And to Or, Eq to NotEq, 0 to 1, 0 to -1, 1 to 2, 2 to 3, -c without its sign,
        arguments of divmod swapped, without return -c"""
    assert {" ".join(each.split()) for each in expected.split(",")} | {"ends of (a, b) swapped"} <= said
    assert not any(
        word in each
        for word in (
            "7",
            "docstring",
            "import",
            "True to False",
            "ends of (4, 5)",
            "ends of (complex",
            "ends of (KeyError",
        )
        for each in said
    )


def test_draws_are_the_same_for_a_seed():
    assert drawn("matmul", 5, 3) == drawn("matmul", 5, 3)
    assert drawn("matmul", 5, 3) != drawn("matmul", 5, 4)


def test_every_part_has_files_and_tests():
    for files, tests in PARTS.values():
        assert all((ROOT / path.removeprefix("-")).exists() for path in (*files, *tests))


def test_where_a_change_lies():
    """In the function that begins in line 5, or, of the default of an argument, in none."""
    found = {said: function_of(SOURCE, place) for place, _, said in places(SOURCE)}
    assert found["Add to Sub"] == found["without return -c"] == 5
    assert found["2 to 3"] is None


SCRATCH = "cnncost/ops/scratch.py"


def the_change(said, line_of):
    source = (ROOT / SCRATCH).read_text()
    line = next(i for i, text in enumerate(source.splitlines(), 1) if line_of in text)
    return next(Change(SCRATCH, n, what, place) for place, n, what in places(source) if (n, what) == (line, said))


def test_a_change_is_made_in_place_and_in_a_child_alone():
    attrs = {"cell": "lstm", "layers": 2, "directions": 1, "hidden": 3, "recurrent": 3, "steps_axis": 0, "tokens": 10}
    attrs |= {"input": 4, "bias": False}
    x, weight, y = (TensorType(shape, "float32") for shape in ((5, 2, 4), (12, 4), (5, 2, 3)))
    spec = OpSpec("recurrent", (x, weight), (y,), tuple(sorted(attrs.items())))
    assert scratch_of(spec) == 10 * 3 * 4
    change, path = the_change("Mult to FloorDiv", "width * ITEM_BYTES"), str(ROOT / SCRATCH)
    functions = _functions_of([SCRATCH])

    def work():
        return int(patched(functions[path], path, change) and scratch_of(spec) in {10 // 3 * 4, 10 * 3 // 4})

    assert forked(work, 60) == 1  # what the change says, in the child
    assert scratch_of(spec) == 10 * 3 * 4


def test_a_child_that_goes_on_and_on_has_noticed():
    assert forked(lambda: time.sleep(60), 0.2) == 1
    assert forked(lambda: 0, 60) == 0
