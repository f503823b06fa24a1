"""Finds private names in source: those of torch, and those of objects that a file doesn't define itself."""

import ast

BY_NAME = {"getattr", "hasattr", "setattr", "delattr", "attrgetter", "methodcaller"}
"""Functions that reach an attribute by a string."""
PUBLIC = {"_replace", "_asdict", "_fields", "_field_defaults", "_make"}
"""Of named tuples: public, though they begin with an underscore."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__")) and name != "_"


def chain(node: ast.AST) -> list[str]:
    """The names of `a.b.c`; empty for everything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (before := chain(node.value)):
        return [*before, node.attr]
    return []


def assigned(node: ast.AST) -> set[str]:
    """The names that an assignment binds."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def bound_to_torch(tree: ast.Module) -> set[str]:
    """Names that stand for torch or something in it: by an import, or by an assignment of such a chain."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(a.asname or a.name).partition(".")[0] for a in node.names if a.name.partition(".")[0] == "torch"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            names |= {alias.asname or alias.name for alias in node.names}
    before = -1
    while before != len(names):
        before = len(names)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value and names & set(chain(node.value)[:1]):
                names |= assigned(node)
    return names


def private_of_torch(source: str) -> list[str]:
    """Private names of torch that code uses: imported, in a chain of attributes, or as a module's name in a string."""
    tree = ast.parse(source)
    torches = bound_to_torch(tree)
    found = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            names = [f"{node.value}any" if node.value.endswith("._") else node.value]  # what such names begin with
        elif isinstance(node, ast.Attribute) and chain(node)[:1] and chain(node)[0] in torches:
            names = [".".join(["torch", *chain(node)[1:]])]
        for name in names:
            root, *parts = name.split(".")
            if root == "torch" and any(map(is_private, parts)):
                found.add(name)
    return sorted(found)


def in_strings(source: str) -> set[str]:
    """Private names that stand in strings, alone or among others."""
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    words = [word for text in texts if isinstance(text, str) and "\n" not in text for word in text.split()]
    return {word for word in words if is_private(word) and word.isidentifier()}


def defined(tree: ast.Module) -> set[str]:
    """Names of functions, classes, variables, slots and attributes of `self` in a file."""
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.Attribute) and chain(node)[:1] in (["self"], ["cls"]):
            own.add(node.attr)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            own |= assigned(node)
            if "__slots__" in assigned(node):
                own |= {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
    return own


def private_of_others(source: str) -> list[str]:
    """Private attributes of objects that this file does not define: by a dot, by `getattr` and the like.

    What `super()` has is the other class's, whatever is defined here under its name.
    """
    tree = ast.parse(source)
    own, found = defined(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if node.attr not in own or ast.unparse(node.value) == "super()":
                found.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in BY_NAME:
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            found |= {text for text in texts if any(map(is_private, text.split("."))) and text not in own}
    return sorted(found - PUBLIC)
