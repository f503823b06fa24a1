"""Reads an ONNX file into a ModelProto, and checks its graph and opsets.

External data files are not read, and no memory is allocated for sizes that the file merely declares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnncost.errors import MissingPackageError, SourceError
from cnncost.frontends.onnx.wire import without_data
from cnncost.near import suggestion

OLDEST_OPSET = 7
"""Oldest supported opset of the default domain: ops of older opsets have different semantics."""
INSTALL = "pip install 'cnncost[onnx]'"


def import_onnx(spec: str) -> Any:
    """Import the onnx package. Raises MissingPackageError, with the command that installs it."""
    try:
        import onnx
        import onnx.shape_inference
    except ImportError as error:
        raise MissingPackageError(f"{spec}: ONNX files need the package onnx; install it with: {INSTALL}") from error
    return onnx


def read(spec: str) -> Any:
    """Return the model in a file, without the data of large tensors.

    Raises:
        MissingPackageError: the onnx package is not installed.
        SourceError: there is no such file, it is not an ONNX model, or its opset is too old or too new.
    """
    path = Path(spec)
    if not path.is_file():
        near = suggestion(path.name, [p.name for p in path.parent.glob("*.onnx")]) if path.parent.is_dir() else ""
        raise SourceError(f"{spec}: no such file{near}; expected a model saved as .onnx")
    onnx = import_onnx(spec)
    try:
        if path.suffix == ".onnx":
            model = onnx.ModelProto.FromString(without_data(path))
        else:  # the package's other formats
            model = onnx.load_model(path, load_external_data=False)
    except Exception as error:
        raise SourceError(
            f"{spec}: not an ONNX model, or cut off ({type(error).__name__}: {' '.join(str(error).split())[:120]}); "
            "expected a file that onnx.load reads"
        ) from error
    return checked(spec, model)


def checked(spec: str, model: Any) -> Any:
    """Return the model unchanged. Raises SourceError unless it has a graph and supported opsets."""
    if not model.HasField("graph") or not (model.opset_import or model.functions):
        raise SourceError(
            f"{spec}: not an ONNX model: it has no graph or names no opset; a file of weights alone can't be analyzed"
        )
    if "" not in opsets(model) and any(node.domain in {"", "ai.onnx"} for node in model.graph.node):
        raise SourceError(f"{spec}: no opset is given for the ops of ONNX itself; the file is damaged")
    newest = import_onnx(spec).defs.onnx_opset_version()
    opset = opsets(model).get("", newest)
    if opset > newest:
        raise SourceError(
            f"{spec}: opset {opset}; the installed onnx {import_onnx(spec).__version__} knows up to {newest}: "
            "upgrade it with: pip install --upgrade onnx"
        )
    if opset < OLDEST_OPSET:
        raise SourceError(
            f"{spec}: opset {opset}; expected {OLDEST_OPSET} or newer: "
            "convert it by onnx.version_converter.convert_version"
        )
    return model


def opsets(model: Any) -> dict[str, int]:
    """Return the opset version by domain; the empty name is the default domain."""
    return {("" if entry.domain == "ai.onnx" else entry.domain): entry.version for entry in model.opset_import}
