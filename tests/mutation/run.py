"""Small wrong changes to the code, one at a time, and whether a test of its part notices.

    python tests/mutation/run.py reach --most 40          forty of the changes to ops/reach, drawn with a seed
    python tests/mutation/run.py all --results FILE       goes on where FILE ends

Each file is changed in a copy of the tree: an operator, a comparison, a constant, two arguments or indices that change
places, a statement that is gone. A change that the fitting tests don't notice survives; the ones that change nothing
are named in `survivors.md`, with why. `tests/mutation/test_mutation.py` holds what the script itself does.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 300

FIELDS = "tests/passes/receptive_field"
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # files, and the tests that run on them in this order until one fails
    "reach": (
        ("cnncost/ops/reach",),
        (f"{FIELDS}/test_rules.py", f"{FIELDS}/test_reach.py", f"{FIELDS}/test_axes.py", f"{FIELDS}/test_picks.py",
         f"{FIELDS}/test_facts.py"),
    ),
    "fields": (
        ("cnncost/passes/receptive_field",),
        (f"{FIELDS}/test_rules.py", f"{FIELDS}/test_axes.py", f"{FIELDS}/test_facts.py", f"{FIELDS}/test_picks.py"),
    ),
    "scratch": (("cnncost/ops/scratch.py",), ("tests/ops", "tests/passes/test_memory.py")),
    "matmul": (("cnncost/ops/matmul.py",), ("tests/ops",)),
    "ops": (("cnncost/ops",), ("tests/ops",)),
    "passes": (("cnncost/passes",), ("tests/passes",)),
    "shapes": (("cnncost/frontends/torch/shapes",), ("tests/frontends/test_shapes.py",)),
    "memo": (("cnncost/frontends/torch/memo.py",), ("tests/frontends",)),
}  # fmt: skip

LOOKED_AT = ("cnncost.ops.reach", "cnncost.passes.receptive_field")
LOOKS: dict[str, dict[str, Any]] = {}
"""Of a part: Graphs of ops and what poisoning says of them, found once."""

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


Place = tuple[int, int]
"""Of a change: which node of the tree, as `ast.walk` meets it, and which change of that node."""


def places(source: str) -> Iterator[tuple[Place, int, str]]:
    """Each change that can be made to a module: its place, its line, and what it is."""
    tree = ast.parse(source)
    skipped = _no_code(tree)
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        for what in range(2 + max(2, len(getattr(node, "body", None) or ()) if _block(node) else 0)):
            kept = {name: value.copy() if isinstance(value, list) else value for name, value in vars(node).items()}
            said = _change(node, what)
            vars(node).update(kept)
            if said is not None:
                yield (number, what), getattr(node, "lineno", 0), said


def changed(source: str, place: Place) -> str:
    """The source with one change."""
    tree = ast.parse(source)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place[0])
    _change(node, place[1])
    return ast.unparse(ast.fix_missing_locations(tree))


def _block(node: ast.AST) -> bool:
    return isinstance(getattr(node, "body", None), list) and not isinstance(node, (ast.Module, ast.ClassDef))


def _no_code(tree: ast.Module) -> set[int]:
    """Imports, annotations, docstrings, `__all__`, assertions and raised errors: a change is none of behaviour."""
    found: set[int] = set()
    for node in ast.walk(tree):
        roots: list[ast.AST] = []
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.Raise)):
            roots.append(node)
        if isinstance(node, (ast.FunctionDef, ast.arg)):
            roots += [r for r in (getattr(node, "returns", None), getattr(node, "annotation", None)) if r is not None]
        if isinstance(node, ast.AnnAssign):
            roots.append(node.annotation)
            if isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias":
                roots.append(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            roots.append(node)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            roots.append(node)
        for root in roots:
            found.update(map(id, ast.walk(root)))
    return found


def _change(node: ast.AST, what: int) -> str | None:
    """Make change number `what` to a node, if it has one, and say what it is."""
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and what == 0 and type(node.op) in SWAPS:
        old = type(node.op)
        node.op = SWAPS[old]()
        return f"{old.__name__} to {type(node.op).__name__}"
    if isinstance(node, ast.AugAssign) and what == 0 and type(node.op) in SWAPS:
        old = type(node.op)
        node.op = SWAPS[old]()
        return f"{old.__name__} to {type(node.op).__name__} in place"
    if isinstance(node, ast.Compare) and what == 0 and type(node.ops[0]) in SWAPS:
        old = type(node.ops[0])
        node.ops[0] = SWAPS[old]()
        return f"{old.__name__} to {type(node.ops[0]).__name__}"
    if isinstance(node, ast.UnaryOp) and what == 0 and isinstance(node.op, (ast.USub, ast.Not)):
        text = ast.unparse(node)
        if isinstance(node.op, ast.USub):
            node.op = ast.UAdd()
        else:
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
        return f"{text} without its sign"
    if isinstance(node, ast.Constant) and type(node.value) is int and what in (0, 1):
        old_value = node.value
        node.value = old_value + (1, -1)[what]
        return f"{old_value} to {node.value}"
    if isinstance(node, ast.Constant) and type(node.value) is bool and what == 0:
        node.value = not node.value
        return f"{not node.value} to {node.value}"
    if isinstance(node, ast.IfExp) and what == 0:
        node.body, node.orelse = node.orelse, node.body
        return "branches swapped"
    if isinstance(node, ast.Call) and what == 0 and len(node.args) > 1 and not _same(node.args[0], node.args[1]):
        node.args[0], node.args[1] = node.args[1], node.args[0]
        return f"arguments of {ast.unparse(node.func)} swapped"
    several = isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1
    if several and what == 0 and not _same(node.elts[0], node.elts[-1]):
        said = f"ends of {ast.unparse(node)} swapped"
        node.elts[0], node.elts[-1] = node.elts[-1], node.elts[0]
        return said
    if isinstance(node, ast.If) and what == 0:
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return f"if not: {ast.unparse(node.test)}"
    if what > 1 and _block(node) and what - 2 < len(node.body):  # type: ignore[attr-defined]  # a block has one
        body, at = node.body, what - 2  # type: ignore[attr-defined]
        if isinstance(body[at], (ast.Assign, ast.AugAssign, ast.Expr, ast.If, ast.For, ast.Return)):
            if isinstance(body[at], ast.Expr) and isinstance(body[at].value, ast.Constant):
                return None
            text = ast.unparse(body[at]).splitlines()[0]
            body[at] = ast.Pass()
            return f"without {text}"
    return None


def _same(a: ast.AST, b: ast.AST) -> bool:
    return ast.dump(a) == ast.dump(b)


def key(file: str, line: int, said: str, text: str) -> str:
    """What a result is kept under: it holds for as long as the changed file is the same."""
    return f"{file}:{line} {said} {hashlib.sha1(text.encode()).hexdigest()[:10]}"  # noqa: S324  # no secret


Change = tuple[str, int, str, Place]


def drawn(part: str, most: int | None, seed: int) -> list[Change]:
    """The changes to a part's files, or so many of them: file, line, what it is, and its place."""
    found: list[Change] = []
    for where in PARTS[part][0]:
        path = ROOT / where
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            name = str(file.relative_to(ROOT))
            found += [(name, line, said, place) for place, line, said in places(file.read_text())]
    random.Random(seed).shuffle(found)  # noqa: S311  # no secret
    return found if most is None else found[:most]


def survives(tree: Path, part: str, file: str, text: str) -> bool:
    """Whether the part's tests pass on the changed file; it is put back.

    They run in a child of this process, in which torch is loaded already, and stop at the first failure.
    """
    target = tree / file
    before = target.read_text()
    target.write_text(text)
    try:
        child = os.fork()
        if child == 0:
            os._exit(_looked(tree, part) or _tested(tree, [test for test in PARTS[part][1] if (tree / test).exists()]))
        return _status(child) == 0
    finally:
        target.write_text(before)


def _looked(tree: Path, part: str) -> int:
    """A first look: what the parent has found out about ops, asked of the changed code. 0: right, or there is none."""
    if part not in LOOKS:
        return 0
    for name in [name for name in sys.modules if name.startswith((*LOOKED_AT, "tests.passes"))]:
        del sys.modules[name]
    try:
        rules = importlib.import_module("tests.passes.receptive_field.test_rules")
        for row, (graph, expected) in LOOKS[part].items():
            rules.held(graph, rules.ROWS[row][1], expected)
    except Exception:  # noqa: BLE001  # whatever it is, the change was noticed
        return 1
    for name in [name for name in sys.modules if name.startswith(("cnncost", "tests"))]:  # and afresh for the tests
        del sys.modules[name]
    assert sys.path[0] == str(tree)
    return 0


def _tested(tree: Path, tests: list[str]) -> int:
    """Run tests on a tree, silently. 0: all passed."""
    out = os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(tree)
    try:
        # one process: a fork for each test would take longer than the test
        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "ignore"]
        return int(pytest.main([*options, *tests]))
    except BaseException:  # noqa: BLE001  # whatever it is, the change was noticed
        return 1


def _status(child: int) -> int:
    """How a child ends; one that goes on and on is ended, and has noticed."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1


def main() -> None:
    """Run, and print the survivors and the count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--most", type=int, help="so many changes of each part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default=str(Path(tempfile.gettempdir()) / "cnncost-mutation.jsonl"))
    options = parser.parse_args()
    importlib.import_module("torch")
    importlib.import_module("hypothesis")
    results = Path(options.results)
    lines = results.read_text().splitlines() if results.exists() else []
    known = {entry["key"]: entry["survived"] for entry in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache"))
        sys.path.insert(0, str(tree))
        sys.dont_write_bytecode = True
        if options.part in {"all", "reach", "fields"}:
            rules = importlib.import_module("tests.passes.receptive_field.test_rules")
            found = {row: rules.probed(*rules.ROWS[row]) for row in rules.ROWS}
            LOOKS.update(reach=found, fields=found)
        for part in PARTS if options.part == "all" else (options.part,):
            _run(tree, part, drawn(part, options.most, options.seed), known, results)


def _run(tree: Path, part: str, changes: list[Change], known: dict[str, bool], results: Path) -> None:
    alive = 0
    for number, (file, line, said, place) in enumerate(changes, 1):
        text = changed((ROOT / file).read_text(), place)
        name, start = key(file, line, said, text), time.perf_counter()
        if name not in known:
            known[name] = survives(tree, part, file, text)
            with results.open("a") as out:
                out.write(json.dumps({"key": name, "survived": known[name]}) + "\n")
        if known[name]:
            alive += 1
            print(f"survived: {file}:{line}: {said} ({time.perf_counter() - start:.0f} s)", flush=True)
        if number == len(changes):
            print(f"{part}: {alive} of {number} survived", flush=True)


if __name__ == "__main__":
    main()
