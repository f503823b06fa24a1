"""The interface of the interpreter, for modules that would otherwise import their caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from cnncost.frontends.onnx.builder import Builder, Path
from cnncost.frontends.onnx.inference import Inference
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.frontends.onnx.tensors import Constant


class Interpretation(Protocol):
    """An interpreter as seen by its callees; its methods are documented in `interpreter.py`.

    Attributes:
        onnx: the onnx package.
        spec: the file's name, for messages.
        builder: the Graph under construction.
        inference: infers types of ops without a fast rule.
        open_functions: domain, name and overload of the functions whose bodies are being run, outermost first.
        declared_types: TypeProtos that the current graph declares for its tensors, by name.
        repetitions: how often the enclosing loops run the current graph in all.
        prefix: makes names of weights unique: functions and subgraphs have their own namespaces.
    """

    onnx: Any
    spec: str
    builder: Builder
    inference: Inference
    open_functions: list[tuple[str, str, str]]
    declared_types: dict[str, Any]
    repetitions: int
    prefix: str

    def run(
        self, nodes: Iterable[Any], names: dict[str, Tensor], path: Path = (), given: Mapping[str, Any] | None = None
    ) -> None: ...  # fmt: skip

    def unknown(self, node: Any, domain: str, op: Op, types: list[Any], call: int) -> list[Tensor]: ...

    def tensor(self, value: int) -> Tensor: ...

    def constant(self, value: Constant) -> Tensor: ...

    def stored(self, name: str, proto: Any, weight: str = "") -> Tensor: ...

    def value(self, tensor: Any, op: str, domain: str, at: int, call: int) -> int: ...

    def register_unused(self, protos: Iterable[Any], place: str = "", call: int = 0) -> None: ...
