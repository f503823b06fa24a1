"""Private attributes of the schedules and stages of `torch.distributed.pipelining`: order, shapes, options."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch.distributed.pipelining import _backward, schedules

from cnncost.errors import InputError

GPIPE, ONE_F_ONE_B = schedules.ScheduleGPipe, schedules.Schedule1F1B
SINGLE = (GPIPE, ONE_F_ONE_B)
"""Schedules with one stage per rank. Their lists of actions are only for display; other schedules run theirs."""

ALL = (schedules.PipelineScheduleSingle, schedules.PipelineScheduleMulti)
"""Base classes of all schedules."""


def runs_in_time_steps(schedule: Any) -> bool:
    """Whether a schedule runs in time steps: after each, it waits for the messages of all ranks' actions in that step.

    Up to torch 2.9, all schedules with several stages per rank do; later ones run what `listed_with_messages` lists.
    """
    runtime = schedules._PipelineScheduleRuntime
    return isinstance(schedule, schedules.PipelineScheduleMulti) and not isinstance(schedule, runtime)


class Action(NamedTuple):
    """One action of a rank, on a stage and a microbatch.

    Its kind is `F` (forward), `B` (backward), or one of backward's halves: `I` (inputs' gradients), `W` (weights').
    Messages are `SEND_F`, `RECV_F`, `WAIT_SEND_F` for activations and `SEND_B`, `RECV_B`, `WAIT_SEND_B` for gradients.
    """

    kind: str
    stage: int
    microbatch: int


def stages_of(schedule: Any) -> list[Any]:
    """The stages of the schedule's rank, first to last."""
    stages = getattr(schedule, "_stages", None)  # of schedules with several stages per rank
    return sorted(stages or [schedule._stage], key=lambda stage: int(stage.stage_index))


def is_sharded(module: Any) -> bool:
    """Whether `fully_shard` was applied to a module or one of its descendants."""
    return any(type(descendant).__name__.startswith("FSDP") for descendant in module.modules())


def microbatches_of(schedule: Any) -> int:
    """The number of microbatches per step."""
    return int(schedule._n_microbatches)


def loss_of(schedule: Any) -> Any:
    """The loss function of the last stage; None: the schedule runs no backward."""
    return schedule._loss_fn


def scales(schedule: Any) -> bool:
    """Whether gradients are divided by the number of microbatches after the step."""
    return bool(getattr(schedule, "scale_grads", False))


def shapes_of(stage: Any, which: str) -> tuple[Any, ...] | None:
    """The shapes and dtypes that a stage was created with, as `input_args` or `output_args`; else None.

    `which` is `inputs` or `outputs`.
    """
    if hasattr(stage, "_user_meta"):
        metas = getattr(stage._user_meta, which)
    else:  # torch before 2.12 keeps the tensors
        metas = stage.inputs_meta if which == "inputs" else stage._outputs_meta
    return tuple(metas) if metas else None


def peer(stage: Any, index: int) -> int:
    """The global rank that runs the stage `index`."""
    from torch.distributed import get_global_rank

    rank = int(stage.stage_index_to_group_rank[index])
    return rank if stage.group is None else int(get_global_rank(stage.group, rank))


_COMPUTE = ("F", "B", "I", "W")
_MESSAGES = ("SEND_F", "RECV_F", "WAIT_SEND_F", "SEND_B", "RECV_B", "WAIT_SEND_B")
_FSDP_KINDS = ("REDUCE_GRAD", "WAIT_REDUCE_GRAD", "UNSHARD", "RESHARD")
"""Kinds of actions for FSDP. Without sharded stages they do nothing, except that `REDUCE_GRAD` scales gradients."""


def listed(schedule: Any) -> dict[int, list[Action]]:
    """The actions of each rank, without messages, of a schedule with several stages per rank.

    Raises:
        InputError: the schedule has actions of a kind that is not supported.
    """
    return _actions(schedule, schedule.pipeline_order, _COMPUTE)


def listed_with_messages(schedule: Any) -> dict[int, list[Action]]:
    """The actions of each rank, with the messages between them: since torch 2.15, also the waits for sent messages."""
    return _actions(schedule, schedule.pipeline_order_with_comms, _COMPUTE + _MESSAGES)


def _actions(schedule: Any, order: Any, kinds: tuple[str, ...]) -> dict[int, list[Action]]:
    by_rank: dict[int, list[Action]] = {}
    for rank, actions in order.items():
        by_rank[rank] = []
        for action in actions:
            kind = None if action is None else _kind_of(action)
            if kind is None or kind in _FSDP_KINDS:
                continue
            if kind not in kinds:
                raise InputError(
                    f"pipelined: {type(schedule).__name__} has actions of the kind {kind}, which are not supported; "
                    "expected one of ScheduleGPipe, Schedule1F1B, ScheduleLoopedBFS, ScheduleInterleaved1F1B, "
                    "ScheduleInterleavedZeroBubble, ScheduleZBVZeroBubble"
                )
            by_rank[rank].append(Action(kind, int(action.stage_index), int(action.microbatch_index)))
    return by_rank


def _kind_of(action: Any) -> str:
    """The abbreviation of an action's kind: the enum's value, or its `str` up to torch 2.10, where values are ints."""
    value = action.computation_type.value
    return value if isinstance(value, str) else str(action.computation_type)


backward_input = _backward.stage_backward_input
backward_weight = _backward.stage_backward_weight
"""The halves of a stage's backward: the gradients of its inputs, and those of its weights."""
