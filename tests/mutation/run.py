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
import copy
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

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
        (f"{FIELDS}/test_rules.py", f"{FIELDS}/test_axes.py", f"{FIELDS}/test_facts.py", f"{FIELDS}/test_picks.py",
         f"{FIELDS}/test_units.py"),
    ),
    "scratch": (("cnncost/ops/scratch.py",), ("tests/ops", "tests/passes/test_memory.py")),
    "matmul": (("cnncost/ops/matmul.py",), ("tests/ops",)),
    "ops": (("cnncost/ops",), ("tests/ops",)),
    "passes": (("cnncost/passes",), ("tests/passes",)),
    "shapes": (("cnncost/frontends/torch/shapes",), ("tests/frontends/test_shapes.py",)),
    "memo": (("cnncost/frontends/torch/memo.py",), ("tests/frontends",)),
}  # fmt: skip

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Each change to a module's source: its line, what it is, and the changed source."""
    tree = ast.parse(source)
    skipped = _no_code(tree)
    for place, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        for what in range(8):
            changed = copy.deepcopy(tree)
            twin = next(n for i, n in enumerate(ast.walk(changed)) if i == place)
            said = _change(twin, what)
            if said is None:
                continue
            try:
                text = ast.unparse(ast.fix_missing_locations(changed))
            except (ValueError, TypeError):
                continue
            yield getattr(node, "lineno", 0), said, text


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
        node.elts[0], node.elts[-1] = node.elts[-1], node.elts[0]
        return f"ends of {ast.unparse(node)} swapped"
    if isinstance(node, ast.If) and what == 0:
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return f"if not: {ast.unparse(node.test)}"
    bodies = [getattr(node, name) for name in ("body", "orelse") if isinstance(getattr(node, name, None), list)]
    if what >= 2 and bodies and not isinstance(node, (ast.Module, ast.ClassDef)):
        body = bodies[0]
        at = what - 2
        if at < len(body) and isinstance(body[at], (ast.Assign, ast.AugAssign, ast.Expr, ast.If, ast.For, ast.Return)):
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


def drawn(part: str, most: int | None, seed: int) -> list[tuple[str, int, str, str]]:
    """The changes to a part's files, or so many of them."""
    found = []
    for where in PARTS[part][0]:
        path = ROOT / where
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            name = str(file.relative_to(ROOT))
            found += [(name, line, said, text) for line, said, text in mutants(file.read_text())]
    random.Random(seed).shuffle(found)  # noqa: S311  # no secret
    return found if most is None else found[:most]


def survives(copy_of_tree: Path, part: str, file: str, text: str) -> bool:
    """Whether the part's tests pass on the changed file; it is put back."""
    target = copy_of_tree / file
    before = target.read_text()
    target.write_text(text)
    try:
        # one process, and the tests in their order: the fast ones notice most
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly"]
        run = subprocess.run(  # our own tests
            [*command, *(test for test in PARTS[part][1] if (copy_of_tree / test).exists())], cwd=copy_of_tree,
            env={**os.environ, "PYTHONPATH": str(copy_of_tree), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False  # it goes on for ever: noticed
    finally:
        target.write_text(before)
    return run.returncode == 0


def main() -> None:
    """Run, and print the survivors and the count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--most", type=int, help="so many changes of each part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default=str(Path(tempfile.gettempdir()) / "cnncost-mutation.jsonl"))
    options = parser.parse_args()
    results = Path(options.results)
    lines = results.read_text().splitlines() if results.exists() else []
    known = {entry["key"]: entry["survived"] for entry in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache"))
        for part in PARTS if options.part == "all" else (options.part,):
            _run(tree, part, drawn(part, options.most, options.seed), known, results)


def _run(
    tree: Path, part: str, changes: list[tuple[str, int, str, str]], known: dict[str, bool], results: Path
) -> None:
    alive = 0
    for number, (file, line, said, text) in enumerate(changes, 1):
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
