"""Analyzes one rank of a `torch.distributed.pipelining` schedule: its training step, and the pipeline's bubble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from cnncost import units
from cnncost.errors import InputError
from cnncost.report.columns import AT_LEAST

if TYPE_CHECKING:
    from cnncost.report.model import Report

_TIMES = {"F": 1, "B": 2, "I": 1, "W": 1}
"""Time of each action, relative to a forward: F forward, B backward, or its halves I (inputs) and W (weights).

Times are taken as proportional to the number of products: each half of a backward has as many as a forward.
"""
_NOTE = "one training step of a pipeline's rank, backward included; its peak is shown as the peak of inference"


@dataclass(frozen=True, slots=True)
class Pipelined:
    """A training step of one rank.

    Attributes:
        schedule: the schedule's class.
        rank: index of this rank.
        ranks: number of ranks in the pipeline.
        stages: indices of this rank's stages.
        microbatches: number of microbatches in a step.
        held: largest number of microbatches whose forward has run and whose backward has not, over all stages of this
            rank: their activations are held at once.
        bubble: fraction of a step in which ranks wait, if all stages take the same time, a backward takes twice as
            long as a forward, each half of a split backward as long as a forward, and messages take no time.
        report: parameters, MACs, memory and messages of the step.
    """

    schedule: str
    rank: int
    ranks: int
    stages: tuple[int, ...]
    microbatches: int
    held: int
    bubble: Fraction
    report: Report = field(repr=False)

    @property
    def peak(self) -> int:
        """Largest number of bytes alive at once in the step."""
        return self.report.memory.inference_peak

    def __str__(self) -> str:
        stages = ("stages " if len(self.stages) > 1 else "stage ") + ", ".join(map(str, self.stages))
        sent = sum(each.sent for each in self.report.communication)
        received = sum(each.received for each in self.report.communication)
        macs_mark = AT_LEAST if self.report.totals.lower_bound else ""
        peak_mark = AT_LEAST if self.report.memory.figures.unseen else ""
        return (
            f"{self.schedule}, rank {self.rank} of {self.ranks} with {stages}, "
            f"{self.microbatches} microbatches: {macs_mark}{units.exact(self.report.totals.macs)} MACs, "
            f"peak {peak_mark}{units.data(self.peak)} with {self.held} held, "
            f"sends {units.data(sent)}, receives {units.data(received)}; "
            f"bubble {units.percent(self.bubble.numerator, self.bubble.denominator)}"
        )


def pipelined(schedule: Any, inputs: Any = None, target: Any = None) -> Pipelined:
    """Analyze a training step of this rank's stages under a schedule, without other ranks.

        with cnncost.world(size=4, mesh={"pp": 4}, rank=1) as mesh:
            stage = PipelineStage(layers, 1, 4, device, input_args=x, output_args=y, group=mesh.get_group("pp"))
            result = cnncost.pipelined(Schedule1F1B(stage, n_microbatches=8, loss_fn=loss))

    Args:
        schedule: a GPipe, 1F1B, breadth-first (`ScheduleLoopedBFS`), interleaved 1F1B or zero-bubble schedule.
        inputs: the whole batch, as for `schedule.step`; only on the rank that has the first stage.
        target: the whole batch's target; only on the rank that has the last stage.

    Returns:
        This rank's costs in any step after the first; in the first step, stages also exchange shapes.

    Raises:
        InputError: the schedule is of another kind; a stage has unknown shapes or several inputs or outputs, or is
            wrapped for data parallelism; the batch is not a multiple of the microbatches; inputs are missing, or
            belong on another rank.
        CnncostError: a stage can't be recorded.
    """
    from cnncost.analysis import analyze
    from cnncost.frontends.torch import record
    from cnncost.frontends.torch.pipeline import Rank, order_of

    order = order_of(schedule)
    model = Rank(schedule, order)
    arguments = _rank_inputs(model, inputs, target)
    if model.passed:  # tensors that stages of this rank pass to each other
        arguments["passed"] = dict(model.passed)
    report = analyze(record(model, arguments, grad=True), name=f"{type(schedule).__name__}, rank {model.rank}")
    report = replace(
        report,
        notes=(*report.notes, _NOTE),
        # the step was recorded as the forward of `Rank`
        communication=tuple([e._replace(run="training") for e in report.communication]),
    )
    return Pipelined(
        type(schedule).__name__, model.rank, len(order), tuple(model.here), model.count,
        most_held(order[model.rank]), bubble(order), report,
    )  # fmt: skip


def _rank_inputs(model: Any, inputs: Any, target: Any) -> dict[str, Any]:
    """Return the arguments of this rank's step: `x` on the first stage, `target` on the last."""
    arguments: dict[str, Any] = {}
    for name, value, stage in (("inputs", inputs, 0), ("target", target, model.last)):
        needed = stage in model.here
        if (value is not None) != needed:
            expected = "the whole batch" if needed else "none"
            raise InputError(
                f"pipelined: {name}: expected {expected} because stage {stage} is{'' if needed else ' not'} on this "
                f"rank; got {'none' if value is None else type(value).__name__}"
            )
        if needed:
            arguments["x" if name == "inputs" else name] = value
    return arguments


def most_held(actions: Iterable[Sequence[Any]]) -> int:
    """Return the largest number of forwards whose backward (if split, its half for weights) has not run yet."""
    held = most = 0
    for kind, *_ in actions:
        held += {"F": 1, "B": -1, "W": -1}.get(kind, 0)
        most = max(most, held)
    return most


def bubble(order: Mapping[int, Sequence[Sequence[Any]]]) -> Fraction:
    """Return the fraction of a step in which ranks wait, if each action starts as soon as its inputs are available.

    With p ranks, v stages on each and m microbatches it is (p−1) / (v·m + p−1) for GPipe (Huang et al. 2019, GPipe) and
    1F1B, interleaved or not (Narayanan et al. 2021, Efficient large-scale language model training on GPU clusters using
    Megatron-LM, section 2.2). If backwards are split into halves that take as long as a forward, and the halves for
    weights fill the gaps, it is (p−1) / (3·v·m + p−1) (Qi et al. 2023, Zero bubble pipeline parallelism, ZB-H1).

    Args:
        order: actions of each rank: (kind, stage, microbatch), where kind is a key of `_TIMES`.

    Raises:
        InputError: actions wait for each other.
    """
    last = max(stage for actions in order.values() for _, stage, _ in actions)
    done: dict[tuple[str, int, int], int] = {}
    clock, waiting = dict.fromkeys(order, 0), {rank: list(actions) for rank, actions in order.items()}
    while any(waiting.values()):
        before = len(done)
        for rank, actions in waiting.items():
            while actions:
                kind, stage, i = actions[0]
                ready = _ready(kind, stage, i, last, done)
                if ready is None:
                    break
                # the previous stage waits only for the gradient of the inputs: that half counts as the backward
                clock[rank] = done["B" if kind == "I" else kind, stage, i] = max(clock[rank], ready) + _TIMES[kind]
                actions.pop(0)
        if len(done) == before:
            raise InputError("pipelined: the schedule's actions wait for each other; expected an order that can be run")
    total = max(clock.values()) * len(order)
    return Fraction(total - sum(_TIMES[kind] for actions in order.values() for kind, *_ in actions), total)


def _ready(kind: str, stage: int, i: int, last: int, done: Mapping[tuple[str, int, int], int]) -> int | None:
    """Return the time at which an action can start; None if an action that it needs has not run yet."""
    if kind == "F":
        return 0 if stage == 0 else done.get(("F", stage - 1, i))
    if kind == "W":
        return done.get(("B", stage, i))
    return done.get(("F", stage, i) if stage == last else ("B", stage + 1, i))
