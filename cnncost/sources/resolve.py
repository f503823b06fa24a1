"""MODEL, whatever it is, becomes a module and its inputs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cnncost import units
from cnncost.errors import CnncostError, ForwardError, InputError, SourceError
from cnncost.graph import Graph
from cnncost.sources.attempts import BUILT, briefly, of_both, reason
from cnncost.sources.batch import with_batch
from cnncost.sources.find import find
from cnncost.sources.method import is_child, method_of
from cnncost.sources.source import ModelSource

if TYPE_CHECKING:
    from torch import nn

Trace: TypeAlias = Literal["static", "auto", "real"]
Model: TypeAlias = "nn.Module | Graph | str | ModelSource | Resolved"
"""What `analyze` takes as a model."""
_PART_OF_MEMORY = 0.6
"""That weights may take for a run on values: activations need some, too."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A source with its model built, ready to be recorded on its inputs. `record` runs it once.

    Attributes:
        source: what the user named.
        model: without weights where the source could build it so.
        inputs: as `analyze` takes them.
        train: the mode in which it runs; None: its own.
        weightless: the model has no weights, and the source can build it with them.
        dtype: of parameters and buffers, where another than the model's own was asked for.
        autocast: as `record` takes it.
        notes: what is to be said of how it was built.
        device: what tensors say that they are on, as `record` takes it.
    """

    source: ModelSource
    model: Any
    inputs: Any
    train: bool | None = None
    weightless: bool = False
    dtype: Any = None
    autocast: Any = None
    notes: tuple[str, ...] = ()
    device: Any = None

    @property
    def name(self) -> str:
        """What the user named."""
        return self.source.text

    @property
    def title(self) -> str:
        """How a report calls it: by its name, and the autocast that was asked for or that is on around."""
        from cnncost.frontends.torch.autocast import in_force, parse

        wanted = parse(self.autocast) or in_force()
        return self.name if wanted is None else f"{self.name} under autocast {wanted}"

    def with_weights(self) -> Any:
        """The model built again, with its initial weights. Raises SourceError."""
        return self._cast(self.source.build(weights=True))

    def to(self, dtype: Any) -> Resolved:
        """The same with parameters and buffers in another floating-point dtype. What the user built is not changed."""
        if self.source.built:
            raise InputError("dtype: expected a specification such as 'net.py:Net' to build, got a model that is built")
        changed = replace(self, dtype=dtype)
        changed._cast(self.model)
        return changed

    def _cast(self, model: Any) -> Any:
        return model if self.dtype is None else model.to(self.dtype)

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
        return method_of(self.name, model, self.source.method) if self.source.method else model

    def _recorded(self, trace: Trace, train: bool | None, **how: Any) -> Graph:
        from cnncost.frontends.torch.unbatched import without_batch_axis

        try:
            with self.source.importable():
                graph = self._on_values(train, how) if trace == "real" else self._without_values(trace, train, how)
                return without_batch_axis(graph)
        except CnncostError as error:
            said = f"{self.name}: {error.args[0]}"
            if error.recorded is not None:
                passed: Graph = without_batch_axis(error.recorded)
                if passed is not error.recorded:
                    said, error.recorded = f"{said}; {passed.notes[-1]}", passed
            error.args = (said, *error.args[1:])
            raise

    def _without_values(self, trace: Trace, train: bool | None, how: dict[str, Any]) -> Graph:
        """A static analysis; where it fails, one of the model with weights, and as the last way out a run on values."""
        from cnncost.frontends.torch import record

        how = {"train": train, "autocast": self.autocast, **how}
        device = self.device
        if device is None and self.weightless:
            device = "cpu"  # where it would be, had it been built with weights
        try:
            return _noted(record(self.called(self.model), self.inputs, device=device, **how), self.notes)
        except ForwardError as error:
            first = error
        if self.weightless and not first.misfit and not self._lacks_memory():
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
        if not self.weightless:
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


def resolve(
    model: Any, inputs: Any = None, model_args: dict[str, Any] | None = None, autocast: Any = None,
    batch: int | None = None,
) -> Resolved:  # fmt: skip
    """Build a model from its source, without weights, or take it as it is.

    Args:
        model: as `analyze` takes it; a source; or what this function made, to be run on other inputs.
        inputs: as `analyze` takes them; None: those that the source knows.
        model_args: keyword arguments for a factory or class that is named.
        autocast: as `analyze` takes it.
        batch: the batch size to set in the inputs, if it is another.

    Raises:
        SourceError: unknown name, missing file, class or package, a factory that fails or returns no module.
        InputError: no inputs where the source knows none, or none to set the batch size in.
    """
    if isinstance(model, Resolved):  # built already
        found = replace(model, inputs=model.inputs if inputs is None else inputs, autocast=autocast or model.autocast)
    else:
        found = _built(find(model, model_args), inputs, autocast)
    return found if batch is None else replace(found, inputs=with_batch(found.inputs, batch))


def _built(source: ModelSource, inputs: Any, autocast: Any) -> Resolved:
    if source.built:
        return Resolved(source, source.build(), inputs, autocast=autocast)
    model, weightless, notes = _without_weights(source)
    given = inputs
    if given is None and not (source.method and is_child(method_of(source.text, model, source.method))):
        given = source.inputs_for(model)
    if given is None:
        raise InputError(f"{source.text}: no input given, and the source knows none; give one, for example 1x3x224x224")
    # Nothing differs in the counts, and batch norm in train mode refuses one value per channel.
    return Resolved(source, model, given, False, weightless, autocast=autocast, notes=notes)


def _without_weights(source: ModelSource) -> tuple[Any, bool, tuple[str, ...]]:
    """The model without weights, and that it has none; or with weights, and a note why."""
    try:
        return source.build(), True, ()
    except SourceError as error:
        if not isinstance(error.__cause__, Exception):
            raise  # no module came of it, or it ended the program
        return source.build(weights=True), False, (f"{BUILT}{reason(error.__cause__)}",)
