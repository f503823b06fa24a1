"""Derives a node's module path from its metadata or name, as torch's two exporters write them."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from cnncost.frontends.onnx.builder import Path

SCOPES, CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"


def path_of(name: str, op: str, metadata: Mapping[str, str]) -> Path:
    """Return the path of the module that a node belongs to.

    The dynamo exporter writes scopes and classes into the metadata. The older exporter writes scopes into the name:
    `/layer1/layer1.0/conv1/Conv` is in layer1.0.conv1, because it repeats a Sequential's name before each of its items.
    A node whose name has no slashes is a module of its own.
    """
    if SCOPES in metadata:
        return _dynamo_path(metadata)
    parts = [part for part in name.split("/") if part]
    if len(parts) < 2 and not name.startswith("/"):
        return ((name.replace(".", "_"), op),) if name else ()
    path: list[tuple[str, str]] = []
    before = ""
    for part in parts[:-1]:
        relative = part[len(before) + 1 :] if before and part.startswith(f"{before}.") else part
        path += [(piece, "") for piece in relative.split(".") if piece]
        before = part
    return tuple(path)


def _dynamo_path(metadata: Mapping[str, str]) -> Path:
    scopes, classes = _listed(metadata[SCOPES]), _listed(metadata.get(CLASSES, "[]"))
    path: list[tuple[str, str]] = []
    before: list[str] = []
    for i, scope in enumerate(scopes[:-1]):  # the last one is the node itself
        if not scope:
            continue
        parts = scope.split(".")
        if parts[: len(before)] != before:
            break
        class_name = classes[i].rpartition(".")[2] if i < len(classes) else ""
        path += [(part, "") for part in parts[len(before) : -1]]
        if len(parts) > len(before):
            path.append((parts[-1], class_name))
        before = parts
    return tuple(path)


def _listed(text: str) -> list[str]:
    """Return the items of a Python list of strings; empty if the text isn't one."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return []
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else []


def node_name(domain: str, op: str) -> str:
    """Return the name of a node in the Graph: domain and op type."""
    return f"{domain or 'onnx'}.{op}"
