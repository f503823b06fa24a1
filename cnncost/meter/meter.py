"""The Meter: throughput, achieved FLOP/s and MFU of a loop, at the cost of one clock reading per step.

FLOPs are the model's (forward, and in training also backward), from a static analysis, not from a device's counters.
MFU by definition excludes recomputation (Chowdhery et al. 2022, appendix B). The analysis of a model with activation
checkpointing includes it, so for such a model the Meter reports hardware FLOPs utilization (HFU) instead.
A training step is one forward and backward; with gradient accumulation, that is one micro-batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from cnncost.errors import CnncostError, InputError
from cnncost.meter.cost import Cost, StepCosts
from cnncost.meter.inputs import described, examples, frozen, resized
from cnncost.meter.peak import peak_of
from cnncost.meter.rates import Rates

if TYPE_CHECKING:
    from cnncost.report.model import Report


class _Step(NamedTuple):
    """What determines a step's cost: the model's state and, as `key`, a number of examples or the input shapes.

    A `key` of None stands for the Meter's own inputs.
    """

    key: Hashable
    state: int


class Meter:
    """Measures a training or inference loop.

        meter = cnncost.Meter(model, "64x3x224x224", device="a100", dtype="bfloat16")
        for images, labels in loader:
            loss(model(images), labels).backward()
            optimizer.step()
            meter.step(len(images))       # or meter.step(images) if shapes vary
        print(meter.rates())

    Args:
        model: the model; it is not changed. It is analyzed at the first step with each input shape, and again after a
            change of its modules, their modes, its parameters' shapes or which of them are trained. The time that an
            analysis takes is not measured.
        inputs: inputs of a step, as in `cnncost.analyze`; optional if each step is passed its own.
        training: whether a step includes backward.
        cost: MACs and FLOPs of one example, instead of an analysis.
        prepare: converts inputs given as shapes to the inputs to analyze, for models that read values.
        device: name of the device, for MFU.
        dtype: dtype of matrix products, which selects the device's peak; by default that of the first parameter.
        peak_flops: the device's peak in FLOP/s, instead of `device`.
        warmup: number of steps at the start that are not measured.
        clock: returns the current time in seconds.

    Raises:
        CnncostError: the device is unknown, or the model or inputs are invalid.
    """

    def __init__(
        self, model: nn.Module, inputs: Any = None, *, training: bool = True, cost: tuple[int, int] | None = None,
        prepare: Callable[[Any], Any] | None = None,
        device: str | None = None, dtype: str | None = None, peak_flops: float | None = None, warmup: int = 1,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        if not callable(getattr(model, "parameters", None)):
            raise InputError(
                f"Meter: expected the nn.Module that the loop runs, got {model!r}; for the cost "
                "of a name such as 'resnet50', call cnncost.analyze"[:300]  # the repr may be long
            )
        parameter = next(model.parameters(), None)
        self._cuda = parameter.device if parameter is not None and parameter.device.type == "cuda" else None
        self._inputs = None if inputs is None else described(inputs)
        self._cost_per_example = None if cost is None else Cost(*cost)
        self._costs = StepCosts(model, training=training, prepare=prepare)
        if device is not None:
            own_dtype = "float32" if parameter is None else str(parameter.dtype).removeprefix("torch.")
            peak_flops = peak_of(device, dtype or own_dtype)
        self.peak_flops = peak_flops
        self.without_cost = False
        self._clock, self._warmup = clock, warmup
        self._shapes: dict[Hashable, Any] = {}  # inputs as shapes, by their key
        self._tried: set[_Step] = set()
        self.reset()

    def reset(self) -> None:
        """Discard all steps and begin again with the warm-up."""
        self._warmup_left = self._warmup
        self._start: float | None = self._clock() if not self._warmup else None  # None during warm-up
        self._last = self._start  # time of the last step
        self._unmeasured = self._unmeasured_since_step = 0.0  # excluded seconds: up to the last step, since then
        self._paused: float | None = None  # since when
        self._counts: Counter[_Step] = Counter()
        self._lap: tuple[float, Counter[_Step]] = (0.0, Counter())  # measured seconds and steps at the last lap's end

    def step(self, batch: Any = None) -> None:
        """Count one finished step (in training, a forward and backward).

        Args:
            batch: the step's number of examples or its inputs; by default the Meter's inputs.

        Raises:
            InputError: a string that is not a shape.
        """
        key = batch if type(batch) is int or batch is None else self._key(batch)
        self._last = self._clock()
        if self._unmeasured_since_step:
            self._unmeasured += self._unmeasured_since_step
            self._unmeasured_since_step = 0.0
        step = _Step(key, self._state())
        if step not in self._tried:
            self._tried.add(step)
            self._try(step)
        if self._warmup_left:
            self._warmup_left -= 1
            if not self._warmup_left:
                self._synchronize()
                self._start = self._last = self._clock()
                self._unmeasured = self._unmeasured_since_step = 0.0
            return
        self._counts[step] += 1

    def _state(self) -> int:
        """Return the number of the model's state; 0 if the cost of a step does not depend on it."""
        return 0 if self.without_cost or self._cost_per_example is not None else self._costs.state()

    def _try(self, step: _Step) -> None:
        """Analyze a step before the model can change; if the analysis fails, `rates` raises the error."""
        begin = self._clock()
        with suppress(Exception):
            self._cost(step)
        self._unmeasured_since_step += self._clock() - begin

    def _key(self, batch: Any) -> Hashable:
        inputs = described(batch)
        key = frozen(inputs)
        self._shapes.setdefault(key, inputs)
        return key

    def try_out(self, batch: Any = None) -> None:
        """Analyze a step now, so that a failing analysis raises an error before the loop and not in it.

        Raises:
            CnncostError: the model can't be analyzed with these inputs.
        """
        self._cost(_Step(batch if type(batch) is int or batch is None else self._key(batch), self._state()))

    def __repr__(self) -> str:
        """Return what was measured, without analyzing the model or waiting for a device."""
        rates = self._known_rates()
        return f"<{self._headline()}{f', {rates}' if rates else ''}>"

    def _repr_html_(self) -> str:
        from cnncost.report.brief import table

        rates = self._known_rates()
        values = {} if rates is None else rates.log_dict("")
        marks = {} if rates is None else dict.fromkeys(("flops_per_second", "mfu"), rates.mark)
        rows = [
            (name.replace("_", " "), marks.get(name, "") + (f"{n:,.0f}" if n >= 1000 else f"{n:.4g}"))
            for name, n in values.items() if name != "lower_bound"
        ]  # fmt: skip
        return table(self._headline(), ("", ""), rows)

    def _headline(self) -> str:
        steps, mode = sum(self._counts.values()), "training" if self._costs.training else "inference"
        return f"Meter of {type(self._costs.model).__name__}, {mode}: {steps} step{'' if steps == 1 else 's'} measured"

    def _known_rates(self) -> Rates | None:
        """Return the rates if that needs neither an analysis nor waiting for a GPU; else None."""
        if self._cuda is not None:
            return None
        needs_analysis = not self.without_cost and self._cost_per_example is None
        try:
            if needs_analysis and not all(self._costs.has(self._inputs_of(key), state) for key, state in self._counts):
                return None
            return self._summed(self._elapsed(), self._counts)
        except CnncostError:  # inputs that `rates` refuses with a reason
            return None

    @property
    def report(self) -> Report | None:
        """Report of the first analyzed step; None before the first analysis."""
        return self._costs.first

    def leave_cost_out(self) -> None:
        """From now on, return rates without MACs and FLOPs."""
        self.without_cost = True

    def rates(self) -> Rates:
        """Return rates over all steps so far.

        Raises:
            CnncostError: no step was measured, or the model can't be analyzed.
        """
        latest = self._rates(self._elapsed(), self._counts)
        if latest is None:
            raise CnncostError(f"Meter: no step was measured yet; the first {self._warmup} are warm-up")
        return latest

    def lap(self) -> Rates | None:
        """Return rates since the last lap; None if no step was measured since. Raises CnncostError as `rates` does."""
        elapsed, (before, counted) = self._elapsed(), self._lap
        lap_rates = self._rates(elapsed - before, self._counts - counted)
        if lap_rates is not None:
            self._lap = (elapsed, self._counts.copy())
        return lap_rates

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Context manager for work that is not to be measured, such as validation."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def pause(self) -> None:
        """Stop the clock; without CUDA, the time since the last step doesn't count either."""
        if self._paused is None:
            self._synchronize()
            self._paused = self._clock()

    def resume(self) -> None:
        """Restart the clock."""
        if self._paused is not None:
            now = self._clock()
            if self._cuda is not None or self._last is None:
                self._unmeasured_since_step += now - self._paused
            else:
                self._unmeasured_since_step = now - self._last
            self._paused = None

    def _synchronize(self) -> None:
        """Wait for an asynchronous device, so that all counted steps have really finished."""
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)

    def _elapsed(self) -> float:
        """Return measured seconds up to the last step or, with CUDA, up to now, after waiting for the device."""
        if self._start is None or self._last is None:
            return 0.0
        if self._cuda is None:
            return self._last - self._start - self._unmeasured
        self._synchronize()
        now = self._clock() if self._paused is None else self._paused
        return now - self._start - self._unmeasured - self._unmeasured_since_step

    def _rates(self, seconds: float, counts: Counter[_Step]) -> Rates | None:
        if not counts or seconds <= 0:
            return None
        begin = self._clock()
        rates = self._summed(seconds, counts)
        if self._paused is None:
            self._unmeasured_since_step += self._clock() - begin  # the analysis took this time, not the loop
        return rates

    def _summed(self, seconds: float, counts: Counter[_Step]) -> Rates | None:
        if not counts or seconds <= 0:
            return None
        steps = [(number, *self._cost(step)) for step, number in counts.items()]
        return Rates(
            steps=sum(number for number, _, _ in steps),
            examples=sum(number * batch for number, batch, _ in steps),
            seconds=seconds,
            macs=None if self.without_cost else sum(number * cost.macs for number, _, cost in steps),
            flops=None if self.without_cost else sum(number * cost.flops for number, _, cost in steps),
            peak_flops=self.peak_flops,
            lower_bound=any(cost.lower_bound for _, _, cost in steps),
        )

    def _cost(self, step: _Step) -> tuple[int, Cost]:
        """Return the number of examples and the cost of a step."""
        key, state = step
        if type(key) is int and key < 1:
            raise InputError(f"Meter: a step of {key} examples; expected 1 or more")
        if self.without_cost:
            return key if type(key) is int else examples(self._shapes.get(key)), Cost(0, 0)
        if self._cost_per_example is None:
            inputs = self._inputs_of(key)
            cost = self._costs.of(inputs, state) if type(key) is not int else self._cost_of_batch(inputs, key, state)
            return 1 if self._costs.is_known_single_example(inputs, state) else examples(inputs), cost
        batch = key if type(key) is int else examples(self._inputs_of(key))
        return batch, Cost(batch * self._cost_per_example.macs, batch * self._cost_per_example.flops)

    def _cost_of_batch(self, inputs: Any, batch: int, state: int) -> Cost:
        """Return the cost of a step of `batch` examples. Raises InputError for inputs without a batch axis."""
        try:
            cost = self._costs.of(inputs, state)
        except CnncostError:
            if not self._costs.is_single_example(self._inputs, state):
                raise
        else:
            if not self._costs.is_known_single_example(inputs, state):
                return cost
        raise InputError(
            f"Meter: a step of {batch} examples: the inputs have no batch axis, so a step is one example; omit the "
            "number, or give the Meter inputs with a batch axis"
        )

    def _inputs_of(self, key: Hashable) -> Any:
        if key in self._shapes:
            return self._shapes[key]
        if self._inputs is None:
            raise InputError('Meter: no inputs; pass them once, Meter(model, "64x3x224x224"), or to each step')
        return self._inputs if key is None else resized(self._inputs, int(key))  # type: ignore[call-overload]  # an int
