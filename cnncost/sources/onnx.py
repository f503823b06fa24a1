"""MODEL as an ONNX file: `model.onnx`. The graph is read; nothing is built or run, and torch is not imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from cnncost.errors import InputError, MissingPackageError, SourceError
from cnncost.graph import Graph
from cnncost.sources.resolve import Resolved, Trace
from cnncost.sources.source import ModelSource

if TYPE_CHECKING:
    from cnncost.frontends.torch import RecordOptions


def load(spec: str) -> ModelSource:
    """Return the source of an ONNX file, read without its external data.

    Raises:
        MissingPackageError: the package onnx, or numpy, on which it depends, is not installed.
        SourceError: the file does not exist or is not an ONNX model, or its opset is too old or too new.
    """
    try:
        from cnncost.frontends.onnx import read
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{spec}: ONNX files need the packages onnx and {error.name}; "
            "install both with: pip install 'cnncost[onnx]'"
        ) from error
    model = read(spec)

    def factory(**arguments: Any) -> NoReturn:  # noqa: ARG001  # the factory protocol
        raise SourceError(f"{spec}: an ONNX file has no module to build or run; expected a command that analyzes it")

    return ModelSource("onnx", spec, factory, inputs=model, follow=resolve_file)


def resolve_file(source: ModelSource, inputs: Any, autocast: Any) -> ResolvedFile:
    """Return the file with its inputs. Raises InputError for autocast, SourceError for a method."""
    if autocast is not None:
        raise InputError(f"{source.text}: autocast is only for PyTorch models; an ONNX file states all dtypes")
    if source.method:
        raise SourceError(f"{source.text}: an ONNX file has no methods; give the file alone")
    return ResolvedFile(source, model=source.inputs, inputs=inputs, train=False)


class ResolvedFile(Resolved):
    """An ONNX file with its inputs, in place of a built model.

    `model` is the file's content; `source.arguments` are sizes of the file's symbolic axes, by name.
    """

    @property
    def title(self) -> str:
        """The file's name."""
        return self.name

    def record(self, trace: Trace = "static", returned: Callable[[Any], None] | None = None) -> Graph:
        """Return the Graph of the file.

        Raises:
            InputError: the inputs don't fit the file, or `trace="real"` or `returned` was given, although an ONNX file
                is not run. The message begins with the file's name.
            CnncostError: the file can't be analyzed.
        """
        if returned is not None:
            raise InputError(
                f"{self.name}: an ONNX file is not run and returns no cache; give the model that it was exported from"
            )
        if trace == "real":
            raise InputError(f"{self.name}: an ONNX file is read, not run on data; leave out --trace real")
        from cnncost.frontends.onnx import graph_of

        try:
            return graph_of(self.name, self.model, self.inputs, self.source.arguments)
        except InputError as error:
            error.args = (f"{self.name}: {error.args[0]}", *error.args[1:])
            raise

    def record_by(self, options: RecordOptions, returned: Callable[[Any], None] | None = None) -> Graph:
        """Return the Graph of the file. Raises InputError for any option, because an ONNX file is not run."""
        if options != type(options)():
            raise InputError(f"{self.name}: an ONNX file is read, not run; leave out the options of a run")
        return self.record(returned=returned)

    def record_step(self, loss: Any, optimizer: Any, set_to_none: bool, trace: Trace = "static") -> NoReturn:  # noqa: ARG002  # the protocol
        """Raise InputError: an ONNX file has no backward pass."""
        raise InputError(
            f"{self.name}: an ONNX file has no backward pass and thus no training step; leave training out "
            "(cnncost memory --inference), or give the model that it was exported from"
        )

    def with_weights(self) -> NoReturn:
        """Raise SourceError: an ONNX file has no module."""
        raise SourceError(f"{self.name}: an ONNX file has no module to run on values")

    def to(self, dtype: Any) -> NoReturn:
        """Raise InputError: an ONNX file states its dtypes."""
        raise InputError(f"{self.name}: an ONNX file states the dtype of each tensor; export it in {dtype}")

    def sized(self, begin: Mapping[str, int]) -> ResolvedFile:
        """Return a copy whose inputs have fixed shapes, in place of sizes for symbolic axes.

        Args:
            begin: sizes, by name, for symbolic axes that neither inputs nor arguments determine.

        Raises:
            InputError: the inputs don't fit the file.
        """
        from cnncost.frontends.onnx import shapes_of

        try:
            shapes = shapes_of(self.model, self.inputs, self.source.arguments, begin)
        except InputError as error:
            error.args = (f"{self.name}: {error.args[0]}", *error.args[1:])
            raise
        return replace(self, inputs=shapes, source=replace(self.source, arguments={}))

    def open_axes(self) -> dict[tuple[str, int], str]:
        """Return the names of the axes without a fixed size, by (input, axis index); `""` for a nameless axis."""
        from cnncost.frontends.onnx import input_types, open_axes

        return open_axes(input_types(self.model))

    def check_batch_axis(self, batch: int | None = None) -> None:
        """Do nothing: `batched` has already checked the file's axes."""

    def batched(self, batch: int) -> ResolvedFile:
        """Return a copy with the first axis of each input set to `batch`.

        Raises:
            InputError: the file fixes this axis to another size, or leaves further axes open.
        """
        from cnncost.frontends.onnx import input_types
        from cnncost.sources.batch import with_batch

        if self.inputs is not None:
            return replace(self, inputs=with_batch(self.inputs, batch))
        inputs = {}
        for name, proto in input_types(self.model).items():
            dims = proto.tensor_type.shape.dim
            if not dims:
                continue
            if dims[0].HasField("dim_value") and dims[0].dim_value != batch:
                raise InputError(
                    f"{self.name}: the file fixes its batch: {name} begins with {dims[0].dim_value}, not {batch}"
                )
            sizes = [dim.dim_value or self.source.arguments.get(dim.dim_param, 0) for dim in dims]
            if not all(sizes[1:]):
                raise InputError(
                    f"{self.name}: {name} has further open axes; give --input {name}=… including the batch"
                )
            inputs[name] = (batch, *sizes[1:])
        return replace(self, inputs=inputs)
