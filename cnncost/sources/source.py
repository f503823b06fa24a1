"""The source of a MODEL: how to build it, and its default inputs.

All commands handle sources in the same way: `find` creates one from text, `saved` says that it is a report, which needs
no model, and `resolve` turns it into a model that is ready to be recorded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from cnncost.errors import InputError, SourceError
from cnncost.near import suggestion

Kind: TypeAlias = Literal["zoo", "python", "timm", "torchvision", "transformers", "program", "onnx", "saved", "object"]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that was found but not built yet.

    Attributes:
        kind: where the model comes from; "object" is an existing module or callable.
        text: the user's text, including the method; for an object, its name.
        factory: creates the model or returns an existing one; called with `arguments`.
        inputs: default inputs of the source; None if it has none.
        folder: folder from which the model's code may import while it is built and run.
        inputs_of: returns the default inputs for the built model, if they depend on how it was built.
        library: whether the factory belongs to a library and might download weights; if so, it runs without network
            access.
        arguments: the user's keyword arguments for the factory.
        method: path of a method or submodule to call instead of forward; empty: forward.
        follow: for a file that is a graph of ops (ONNX), the function that `resolve` calls with source, inputs and
            autocast, and whose result it returns; None for all other kinds.
    """

    kind: Kind
    text: str
    factory: Callable[..., Any]
    inputs: Any = None
    folder: str | None = None
    inputs_of: Callable[[Any], Any] | None = None
    library: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    method: str = ""
    follow: Callable[..., Any] | None = None

    @property
    def saved(self) -> bool:
        """Whether the source is a saved report, which has figures but no model to build or run."""
        return self.kind == "saved"

    @property
    def built(self) -> bool:
        """Whether the user passed the model itself."""
        return self.kind == "object"

    def with_arguments(self, arguments: dict[str, Any] | None) -> ModelSource:
        """Return a copy of the source with these factory arguments; without any, the source itself.

        Raises:
            InputError: there are arguments but nothing to build.
        """
        if not arguments:
            return self
        if self.saved:
            raise InputError(f"{self.text} is a saved report, which takes no arguments; leave them out")
        if self.built:
            raise InputError("model_args: expected a specification such as 'net.py:Net' to build, got a built model")
        return replace(self, arguments=dict(arguments))

    def inputs_for(self, model: Any) -> Any:
        """Return the source's default inputs for a model that it built; None if it has none."""
        return self.inputs if self.inputs_of is None else self.inputs_of(model)

    def without_method(self, caller: str) -> ModelSource:
        """Return the source itself, for callers that can only run forward. Raises SourceError if it names a method."""
        if self.method:
            model = self.text.removesuffix(f"#{self.method}")
            raise SourceError(
                f"{self.text}: {caller} runs the model's own forward, not a method; give the model alone, {model}, or "
                f"see the method's cost with: cnncost summarize {self.text}"
            )
        return self

    def build(self, weights: bool = False) -> Any:
        """Build the model on the `meta` device, without weights, or with its initial weights if `weights`.

        The model that a user passed is returned as it is.

        Raises:
            SourceError: the factory raises an error (as a saved report's or ONNX file's always does), or it doesn't
                return an `nn.Module`.
        """
        from torch import nn

        from cnncost.frontends.torch.building import building
        from cnncost.frontends.torch.guard import same_random_state
        from cnncost.sources.offline import offline

        if self.built:
            return self.factory()
        try:
            context = same_random_state() if weights else building()
            with self.importable(), context, offline(self.text) if self.library else nullcontext():
                model = self.factory(**self.arguments)
        except SourceError:
            raise
        except (Exception, SystemExit) as error:
            raise SourceError(self._failure(error)) from error
        if not isinstance(model, nn.Module):
            kind = type(model).__name__
            hint = "; return its module, program.module()" if kind == "ExportedProgram" else ""
            raise SourceError(f"{self.text}: expected a factory of torch.nn.Module, but it returned {kind}{hint}")
        return model

    def importable(self) -> Any:
        """Return a context manager in which the model's code can import from its folder."""
        if self.folder is None:
            return nullcontext()
        from cnncost.sources.neighbours import importable

        return importable(self.folder)

    def _failure(self, error: BaseException) -> str:
        from cnncost.sources.causes import import_advice, with_root

        arguments = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items())
        hint = self._arguments_hint() if isinstance(error, TypeError) else import_advice(error)
        built = f"building it with ({arguments})" if arguments else "building it"
        return f"{self.text}: {built} failed{place_of(error)}: {with_root(error)}{hint}"

    def _arguments_hint(self) -> str:
        """Return a hint that lists the factory's parameters, with suggestions for an unknown argument."""
        try:
            parameters = list(inspect.signature(self.factory).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        if not parameters or any(p.kind is p.VAR_KEYWORD for p in parameters):
            return "; give its arguments with --model-args NAME=VALUE"
        names = [p.name if p.default is p.empty else f"{p.name}={_short(p.default)}" for p in parameters]
        accepted = [p.name for p in parameters]
        unknown = [name for name in self.arguments if name not in accepted]
        near = suggestion(unknown[0], accepted) or _containing(unknown[0], accepted) if unknown else ""
        return f"; it takes {', '.join(names)}: give them with --model-args NAME=VALUE{near}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:36]}..."


def _containing(name: str, names: list[str]) -> str:
    """Suggest names that contain the name or are contained in it, such as `num_classes` for `classes`."""
    near = [each for each in names if name in each or each in name]
    return f"; did you mean {', '.join(near)}?" if near else ""


def place_of(error: BaseException) -> str:
    """Return ` at FILE:LINE` for the innermost frame in the user's code; empty if there is none."""
    import traceback

    from cnncost.sources.neighbours import is_user_code

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_user_code(frame.filename)]
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
