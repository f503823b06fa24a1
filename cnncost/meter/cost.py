"""Costs of steps by input shapes and model state; each combination is analyzed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from cnncost.errors import CnncostError, InputError
from cnncost.shapes import TensorText, looks_like_shape, parse_shape

if TYPE_CHECKING:
    from cnncost.report.model import Report


class Cost(NamedTuple):
    """MACs and FLOPs of one step: forward, and in training backward too."""

    macs: int
    flops: int


class StepCosts:
    """Costs of a model's steps, cached by input shapes and by the model's state.

    A model may change during training: layers are unfrozen, enlarged or replaced. A step costs what the model cost when
    it ran, so a step is analyzed before the model changes, or not at all.

    Args:
        model: the model; it is not changed.
        training: whether a step includes backward.
        prepare: converts described inputs (see `described`) to the inputs to analyze.
    """

    def __init__(self, model: nn.Module, *, training: bool, prepare: Callable[[Any], Any] | None = None) -> None:
        self.model, self.training, self._prepare = model, training, prepare
        self._current_state: Callable[[], int] | None = None
        self._known: dict[Hashable, Cost] = {}
        self._failed: dict[Hashable, Exception] = {}
        self._single: set[Hashable] = set()  # keys of inputs that are one example, without a batch axis
        self.first: Report | None = None  # of the first analyzed step

    def state(self) -> int:
        """Return the number of the model's current state, on which a step's cost depends."""
        if self._current_state is None:
            from cnncost.analysis import states_of

            self._current_state = states_of(self.model).current
        return self._current_state()

    def is_known_single_example(self, inputs: Any, state: int) -> bool:
        """Return whether the analysis of these inputs found that they are one example, without a batch axis."""
        return (frozen(inputs), state) in self._single

    def is_single_example(self, inputs: Any, state: int) -> bool:
        """Return whether these inputs are one example, analyzing them if necessary; False if the analysis fails."""
        try:
            self.of(inputs, state)
        except CnncostError:
            return False
        return self.is_known_single_example(inputs, state)

    def has(self, inputs: Any, state: int) -> bool:
        """Return whether the cost of a step with these inputs, in this state of the model, is already known."""
        return (frozen(inputs), state) in self._known

    def of(self, inputs: Any, state: int) -> Cost:
        """Return the cost of a step with these described inputs, in this state of the model.

        Raises:
            CnncostError: the analysis fails, or the model has left this state without being analyzed in it.
        """
        key = (frozen(inputs), state)
        if key not in self._known:
            if state != self.state():
                raise self._failed.get(key) or CnncostError(
                    "Meter: the model changed before the cost of earlier steps was known; call meter.lap() or "
                    "meter.rates() before a change"
                )
            try:
                self._known[key] = self._analyzed(inputs, key)
            except Exception as error:
                self._failed[key] = error
                raise
        return self._known[key]

    def _analyzed(self, inputs: Any, key: Hashable) -> Cost:
        arguments = inputs if self._prepare is None else self._prepare(inputs)
        report = _report_of(self.model, arguments, training=self.training)
        self.first = self.first or report
        if report.examples == 1:
            self._single.add(key)
        return _training_cost(report) if self.training else Cost(report.totals.macs, report.totals.flops)


def _report_of(model: nn.Module, inputs: Any, *, training: bool) -> Report:
    from cnncost.analysis import analyze

    return analyze(model, inputs, training=training)


def _training_cost(report: Report) -> Cost:
    totals = report.totals
    if totals.training_macs is None or totals.training_flops is None:
        raise CnncostError("Meter: the analysis has no figures for a training step")
    return Cost(totals.training_macs, totals.training_flops)


def described(inputs: Any) -> Any:
    """Convert inputs to shapes, so that no tensor is kept alive.

    Inputs are tensors, shapes, strings such as `64x3x224x224`, or tuples, lists and mappings of these. Other values (a
    flag, None) are returned unchanged.

    Raises:
        InputError: a string that is not a shape.
    """
    if isinstance(inputs, Tensor):
        return TensorText(tuple(inputs.shape), str(inputs.dtype).removeprefix("torch."))
    if isinstance(inputs, str):
        if not looks_like_shape(inputs):
            raise InputError(f"Meter: input {inputs!r}: expected a shape such as 64x3x224x224")
        return parse_shape(inputs)
    if isinstance(inputs, TensorText):
        return inputs
    if isinstance(inputs, (tuple, list)):
        if inputs and all(type(size) is int for size in inputs):
            return TensorText(tuple(inputs), None)
        return tuple(described(each) for each in inputs)
    if hasattr(inputs, "items"):  # a dict, or a mapping such as Transformers' BatchEncoding
        return {str(key): described(value) for key, value in inputs.items()}
    return inputs


def frozen(inputs: Any) -> Hashable:
    """Convert described inputs to a hashable key; an unhashable value is represented by its repr."""
    if isinstance(inputs, dict):
        return tuple((key, frozen(value)) for key, value in inputs.items())
    if isinstance(inputs, tuple) and not isinstance(inputs, TensorText):
        return tuple(frozen(each) for each in inputs)
    return inputs if isinstance(inputs, Hashable) else repr(inputs)


def examples(inputs: Any) -> int:
    """Return the number of examples: the size of the first tensor's first axis; 1 if there is none."""
    first = next(iter(_tensors(inputs)), None)
    return first.shape[0] if first is not None and first.shape else 1


def resized(inputs: Any, batch: int) -> Any:
    """Return the inputs with another batch size: replaces every first axis whose size is the old batch size.

    Raises:
        InputError: no tensor has a first axis.
    """
    if not any(each.shape for each in _tensors(inputs)):
        raise InputError(f"Meter: a step of {batch} examples: the inputs have no batch axis; pass the step's inputs")
    return _resized(inputs, examples(inputs), batch)


def _resized(inputs: Any, old: int, new: int) -> Any:
    if isinstance(inputs, TensorText):
        fits = inputs.shape and inputs.shape[0] == old
        return inputs._replace(shape=(new, *inputs.shape[1:])) if fits else inputs
    if isinstance(inputs, tuple):
        return tuple(_resized(each, old, new) for each in inputs)
    if isinstance(inputs, dict):
        return {key: _resized(value, old, new) for key, value in inputs.items()}
    return inputs


def _tensors(inputs: Any) -> list[TensorText]:
    if isinstance(inputs, TensorText):
        return [inputs]
    values = inputs.values() if isinstance(inputs, dict) else inputs if isinstance(inputs, tuple) else ()
    return [tensor for value in values for tensor in _tensors(value)]
