"""The small wrong changes that can be made to a module, and the module with one of them.

An operator, a comparison, a constant, two arguments or indices that change places, a statement that is gone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip

_ASKING = frozenset({"isinstance", "issubclass"})
"""What asks whether something is one of several classes, whatever their order."""

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


def changed(source: str, place: Place) -> ast.Module:
    """The source with one change; lines are those of the source."""
    tree = ast.parse(source)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place[0])
    _change(node, place[1])
    return ast.fix_missing_locations(tree)


def function_of(source: str, place: Place) -> int | None:
    """The first line of the outermost function in whose body a change lies, its decorators' included; None: in none."""
    tree = ast.parse(source)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place[0])
    for each in functions(tree.body):
        if any(node is inner for statement in each.body for inner in ast.walk(statement)) or node is each:
            return min([each.lineno, *(decorator.lineno for decorator in each.decorator_list)])
    return None


def functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    """Functions of a module, and methods of its classes; none that is within another."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef):
            yield statement
        elif isinstance(statement, ast.ClassDef):
            yield from functions(statement.body)


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
        if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: an assertion, too
            roots.append(node)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):  # whatever their order
            found.update(id(each) for each in node.comparators if isinstance(each, ast.Tuple))
        if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Tuple):
            found.add(id(node.type))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ASKING:
            found.update(id(each) for each in node.args[1:] if isinstance(each, ast.Tuple))
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
        if isinstance(node.func, ast.Name) and node.func.id in {"min", "max"}:
            return None  # whatever their order
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
