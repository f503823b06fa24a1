"""MODEL, whatever it is, becomes a module and its inputs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, Literal, TypeAlias, cast

from cnncost import units
from cnncost.errors import CnncostError, ForwardError, InputError, SourceError
from cnncost.graph import Graph
from cnncost.sources.attempts import BUILT, briefly, of_both, reason
from cnncost.sources.loaded import Loaded, importable
from cnncost.sources.method import is_child, method_of, split_method

Trace: TypeAlias = Literal["static", "auto", "real"]
_PART_OF_MEMORY = 0.6
"""That weights may take for a run on values: activations need some, too."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A model ready to be recorded. `record` runs it once."""

    name: str
    model: Any
    inputs: Any
    folder: str | None = None
    train: bool | None = None
    with_weights: Callable[[], Any] | None = None
    """Builds the model again, with weights, if `model` has none."""
    autocast: Any = None
    """As `record` takes it."""
    notes: tuple[str, ...] = ()
    """What is to be said of how it was built."""
    method: str = ""
    """What is called in place of forward: a method, or a module in the model."""
    device: Any = None
    """What tensors say that they are on, as `record` takes it."""

    @property
    def title(self) -> str:
        """How a report calls it: by its name, and the autocast that was asked for or that is on around."""
        from cnncost.frontends.torch.autocast import in_force, parse

        wanted = parse(self.autocast) or in_force()
        return self.name if wanted is None else f"{self.name} under autocast {wanted}"

    def record(self, trace: Trace = "static") -> Graph:
        """The Graph of one run: on tensors without data, on values, or on values where that can't be done without.

        Raises:
            CnncostError: with the model's name in front.
        """
        return self._recorded(trace, self.train)

    def record_step(self, loss: Any, optimizer: Any, set_to_none: bool, trace: Trace = "static") -> Graph:
        """The Graph of a training step, in train mode if it was not for the user to say. Raises as `record` does."""
        from cnncost.frontends.torch import Training

        train = None if self.train is None else True
        return self._recorded(trace, train, training=Training(loss, optimizer, set_to_none))

    def called(self, model: Any) -> Any:
        """What is recorded of a model: the model itself, or the method that was named. Raises SourceError."""
        return method_of(self.name, model, self.method) if self.method else model

    def _recorded(self, trace: Trace, train: bool | None, **how: Any) -> Graph:
        try:
            with importable(self.folder):
                return self._on_values(train, how) if trace == "real" else self._without_values(trace, train, how)
        except CnncostError as error:
            error.args = (f"{self.name}: {error.args[0]}", *error.args[1:])
            raise

    def _without_values(self, trace: Trace, train: bool | None, how: dict[str, Any]) -> Graph:
        """A static analysis; where it fails, one of the model with weights, and as the last way out a run on values."""
        from cnncost.frontends.torch import record

        how = {"train": train, "autocast": self.autocast, **how}
        device = self.device
        if device is None and self.with_weights is not None:
            device = "cpu"  # where it would be, had it been built with weights
        try:
            return _noted(record(self.called(self.model), self.inputs, device=device, **how), self.notes)
        except ForwardError as error:
            first = error
        if self.with_weights is not None and not first.misfit and not self._lacks_memory():
            try:
                note = f"{BUILT}{briefly(first)}"
                return _noted(record(self.called(self.with_weights()), self.inputs, **how), (*self.notes, note))
            except (ForwardError, SourceError):
                pass  # what the first said stands
        if trace == "static":
            raise first
        return self._in_place_of(first, how)

    def _in_place_of(self, static: ForwardError, how: dict[str, Any]) -> Graph:
        """A run on values, as a static analysis failed; a note says why.

        Raises:
            CnncostError: that fails as well. It is the error that says more, and names both.
        """
        try:
            graph = self._on_values(how["train"], {name: each for name, each in how.items() if name == "training"})
        except CnncostError as error:
            better = of_both(static, error)
            raise better from better.__cause__
        return _noted(graph, (f"a static analysis failed, so forward was run on values: {briefly(static)}",))

    def _on_values(self, train: bool | None, how: dict[str, Any]) -> Graph:
        from cnncost.frontends.torch.real import record_real

        how = {"train": train, "autocast": self.autocast, **how}
        if self.with_weights is None:
            return record_real(self.called(self.model), self.inputs, **how)
        if lacking := self._lacks_memory():
            raise InputError(lacking)
        return record_real(self.called(self.with_weights()), self.inputs, **how)

    def _lacks_memory(self) -> str:
        """That the weights would not fit, in words; empty if they do."""
        need = sum(parameter.numel() * parameter.element_size() for parameter in self.model.parameters())
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if need <= _PART_OF_MEMORY * has:
            return ""
        return (
            f"a run on values needs the weights, {units.data(need)}, and this machine has {units.data(has)} of "
            "memory; give a smaller model with --model-args, or rewrite what reads values"
        )


def _noted(graph: Graph, notes: tuple[str, ...]) -> Graph:
    return replace(graph, notes=(*notes, *graph.notes)) if notes else graph


def resolve(model: Any, inputs: Any, model_args: dict[str, Any] | None, autocast: Any = None) -> Resolved:
    """Build a model from its specification, without weights, or take it as it is.

    Raises:
        SourceError: unknown name, missing file, class or package, a factory that fails or returns no module.
        InputError: no inputs where the source knows none.
    """
    if isinstance(model, Resolved):  # built already, to be run on other inputs
        return replace(model, inputs=model.inputs if inputs is None else inputs, autocast=autocast or model.autocast)
    if not isinstance(model, str):
        if model_args:
            raise InputError(
                "model_args: expected a specification such as 'net.py:Net' to build, got a model that is built"
            )
        from cnncost.frontends.torch.callables import name_of

        return Resolved(name_of(model), model, inputs, autocast=autocast)
    spec, method = split_method(model)
    loaded = _loader(spec)(spec)
    built, again, notes = _built(loaded, model_args or {})
    known = not method or not is_child(method_of(model, built, method))
    given = loaded.inputs_for(built) if inputs is None and known else inputs
    if given is None:
        raise InputError(f"{model}: no input given, and the source knows none; give one, for example 1x3x224x224")
    # Nothing differs in the counts, and batch norm in train mode refuses one value per channel.
    return Resolved(model, built, given, loaded.folder, False, again, autocast, notes, method)


def _built(loaded: Loaded, arguments: dict[str, Any]) -> tuple[Any, Callable[[], Any] | None, tuple[str, ...]]:
    """The model without weights, and what builds it with them; or with weights, and a note why."""
    again = partial(loaded.build, arguments, weights=True)
    try:
        return loaded.build(arguments), again, ()
    except SourceError as error:
        if not isinstance(error.__cause__, Exception):
            raise  # no module came of it, or it ended the program
        return again(), None, (f"{BUILT}{reason(error.__cause__)}",)


_LIBRARIES = {"timm:": "timm", "torchvision:": "torchvision", "hf:": "transformers"}
"""The prefix of a MODEL, and the module here that knows it."""


def _loader(spec: str) -> Callable[[str], Loaded]:
    from cnncost.sources.python import load
    from cnncost.sources.saved import is_saved

    if is_saved(spec):
        raise SourceError(f"{spec}: a saved report has no graph; name the model")
    from cnncost.sources.zoo import load as load_zoo

    if not spec.strip():
        raise SourceError(
            "MODEL is empty: expected a zoo name such as lenet5, package.module:factory or path/to/file.py:Class"
        )
    for prefix, module in _LIBRARIES.items():
        if spec.startswith(prefix):
            return cast("Callable[[str], Loaded]", import_module(f"cnncost.sources.{module}").load)
    if spec.endswith((".pt2", ".PT2")):
        from cnncost.sources.exported import load as load_exported

        return load_exported
    return load if ":" in spec else load_zoo
