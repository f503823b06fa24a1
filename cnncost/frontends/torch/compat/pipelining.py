"""What schedules and stages of `torch.distributed.pipelining` keep under private names: their order, sizes, options."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch.distributed.pipelining import _backward, schedules

from cnncost.errors import InputError

SINGLE = (schedules.ScheduleGPipe, schedules.Schedule1F1B)
"""Schedules of one stage a rank, whose own lists of actions are for display; the others run what they list."""


ALL = (schedules.PipelineScheduleSingle, schedules.PipelineScheduleMulti)
"""Classes of all schedules."""


def runs_in_time_steps(schedule: Any) -> bool:
    """Whether it goes through time steps, at whose ends it waits for the messages of all ranks' actions in that step.

    So ran all schedules of several stages a rank up to torch 2.9; now they run what `listed_with_messages` gives.
    """
    runtime = schedules._PipelineScheduleRuntime
    return isinstance(schedule, schedules.PipelineScheduleMulti) and not isinstance(schedule, runtime)


class Action(NamedTuple):
    """One step of a rank: `F` forward, `B` backward, `I` and `W` its halves for inputs and weights.

    With messages also `SEND_F`, `RECV_F`, `WAIT_SEND_F` of activations; `SEND_B`, `RECV_B`, `WAIT_SEND_B` of gradients.
    """

    kind: str
    stage: int
    microbatch: int


def stages_of(schedule: Any) -> list[Any]:
    """The stages of the schedule's rank, first to last."""
    several = getattr(schedule, "_stages", None)
    return sorted(several or [schedule._stage], key=lambda stage: int(stage.stage_index))


def is_sharded(module: Any) -> bool:
    """Whether `fully_shard` was applied to a module, or to one in it."""
    return any(type(each).__name__.startswith("FSDP") for each in module.modules())


def microbatches_of(schedule: Any) -> int:
    """How many microbatches a step has."""
    return int(schedule._n_microbatches)


def loss_of(schedule: Any) -> Any:
    """The loss function of the last stage; None: no backward."""
    return schedule._loss_fn


def scales(schedule: Any) -> bool:
    """Whether gradients are divided by the number of microbatches after the step."""
    return bool(getattr(schedule, "scale_grads", False))


def shapes_of(stage: Any, what: str) -> tuple[Any, ...] | None:
    """The tensors' descriptions that a stage was given as `input_args` or `output_args`, with shape and dtype."""
    if hasattr(stage, "_user_meta"):
        told = getattr(stage._user_meta, what)
    else:  # torch before 2.12 keeps the tensors
        told = stage.inputs_meta if what == "inputs" else stage._outputs_meta
    return tuple(told) if told else None


def peer(stage: Any, index: int) -> int:
    """The rank, in the world, of another stage."""
    from torch.distributed import get_global_rank

    rank = int(stage.stage_index_to_group_rank[index])
    return rank if stage.group is None else int(get_global_rank(stage.group, rank))


_COMPUTE = ("F", "B", "I", "W")
_MESSAGES = ("SEND_F", "RECV_F", "WAIT_SEND_F", "SEND_B", "RECV_B", "WAIT_SEND_B")
_OF_FSDP = ("REDUCE_GRAD", "WAIT_REDUCE_GRAD", "UNSHARD", "RESHARD")
"""Kinds of actions that do nothing where stages are not sharded, but for the scaling of gradients."""


def listed(schedule: Any) -> dict[int, list[Action]]:
    """The actions of each rank, as a schedule of several stages a rank lists them.

    Raises:
        InputError: it has actions that are not followed.
    """
    return _followed(schedule, schedule.pipeline_order, _COMPUTE)


def listed_with_messages(schedule: Any) -> dict[int, list[Action]]:
    """The same with the messages between them, as such a schedule runs them.

    Torch 2.15 and later list there when each message is waited for.
    """
    return _followed(schedule, schedule.pipeline_order_with_comms, _COMPUTE + _MESSAGES)


def _followed(schedule: Any, order: Any, kinds: tuple[str, ...]) -> dict[int, list[Action]]:
    found: dict[int, list[Action]] = {}
    for rank, actions in order.items():
        found[rank] = []
        for action in actions:
            kind = None if action is None else _kind_of(action)
            if kind is None or kind in _OF_FSDP:
                continue
            if kind not in kinds:
                raise InputError(
                    f"pipelined: {type(schedule).__name__} has actions of the kind {kind}, which are not followed; "
                    "expected one of ScheduleGPipe, Schedule1F1B, ScheduleLoopedBFS, ScheduleInterleaved1F1B, "
                    "ScheduleInterleavedZeroBubble, ScheduleZBVZeroBubble"
                )
            found[rank].append(Action(kind, int(action.stage_index), int(action.microbatch_index)))
    return found


def _kind_of(action: Any) -> str:
    """An action's abbreviation: its value; up to torch 2.10 that is a number, and it prints as the abbreviation."""
    value = action.computation_type.value
    return value if isinstance(value, str) else str(action.computation_type)


backward_input = _backward.stage_backward_input
backward_weight = _backward.stage_backward_weight
