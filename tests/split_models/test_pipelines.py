"""Pipelines' schedules, analyzed as one rank, beside the same ranks in real processes."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from split_models.pipelines import CASES, ROWS, WIDE, built, squares
from torch import nn
from torch.distributed.pipelining import PipelineStage, schedules

import cnncost
from cnncost.errors import InputError
from cnncost.pipeline import bubble, most_held
from tests.samples import WHOLE, sample
from tests.versions.facts import PIPELINES_SEND_WITHIN_A_RANK

HERE = Path(__file__).resolve().parent
CHOSEN = list(CASES) if WHOLE else sample([name for name, case in CASES.items() if case.ranks == 2], 1)
REFUSED_HERE = ["zero bubble V"] if PIPELINES_SEND_WITHIN_A_RANK else []


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """What each rank did, by case and rank."""
    out = tmp_path_factory.mktemp("pipelines") / "rows.jsonl"
    names = [name for name in CHOSEN if name not in REFUSED_HERE]
    subprocess.run([sys.executable, HERE / "pipelines.py", out, *names], check=True, capture_output=True, timeout=600)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return {(row["case"], row["rank"]): row for row in rows}


def analyzed(name, rank):
    case = CASES[name]
    with cnncost.world(size=case.ranks, mesh={"pp": case.ranks}, rank=rank) as mesh:
        schedule, given = built(case, rank, mesh.get_group("pp"))
        return cnncost.pipelined(schedule, given.get("x"), given.get("target")), given


@pytest.mark.long
@pytest.mark.parametrize("name", CHOSEN)
def test_each_rank_is_as_in_a_real_process(name, real):
    """What a stage hands to another one of its rank is replaced during the step: the witness sees what is new alone.

    What torch at hand can't run is refused.
    """
    if name in REFUSED_HERE:
        with pytest.raises(InputError, match=r"sends messages to itself; expected torch 2\.10 or later"):
            analyzed(name, 1)
        return
    for rank in range(CASES[name].ranks):
        found, given = analyzed(name, rank)
        row, memory = real[name, rank], found.report.memory
        before = memory.parameters + memory.figures.buffers + sum(t.nbytes for t in given.values())
        assert found.peak - before == row["training"]
        assert found.report.totals.params == row["parameters"]
        told = {each.collective: (each.calls, each.nbytes) for each in found.report.communication}
        message = ROWS * WIDE * 4
        seen = {kind: next((n for text, n in row["messages"] if kind in text), 0) for kind in ("send", "recv")}
        assert told == {
            "send": (seen["send"], seen["send"] * message),
            "receive": (seen["recv"], seen["recv"] * message),
        }
        assert found.report.unknown == {}


def orders(name, ranks, chunks, microbatches):
    from cnncost.frontends.torch.pipeline import order_of

    with cnncost.world(size=ranks, mesh={"pp": ranks}) as mesh:
        case = CASES["1f1b"]._replace(schedule=name, ranks=ranks, chunks=chunks, microbatches=microbatches)
        return order_of(built(case, 0, mesh.get_group("pp"))[0])


SHAPES = [(2, 4), (4, 8), (4, 16), (8, 16)]
ZERO = ("ScheduleInterleavedZeroBubble", "ScheduleZBVZeroBubble")


@pytest.mark.parametrize(("p", "m"), SHAPES)
@pytest.mark.parametrize(
    ("name", "v"),
    [("ScheduleGPipe", 1), ("Schedule1F1B", 1), ("ScheduleLoopedBFS", 2), ("ScheduleInterleaved1F1B", 2),
     ("ScheduleInterleaved1F1B", 4), *((name, 2) for name in ZERO)],
)  # fmt: skip
def test_bubbles_are_those_of_the_papers(name, v, p, m):
    work = 3 * v * m if name in ZERO else v * m  # in units of what the first rank waits for each other one
    assert bubble(orders(name, p, v, m)) == Fraction(p - 1, work + p - 1)


@pytest.mark.parametrize(("p", "m"), [*SHAPES, (4, 4)])
def test_microbatches_in_flight(p, m):
    """GPipe holds all; 1F1B as many as there are stages from its own on (Narayanan et al. 2021, section 2.2.1)."""
    gpipe, other = orders("ScheduleGPipe", p, 1, m), orders("Schedule1F1B", p, 1, m)
    assert [most_held(gpipe[rank]) for rank in range(p)] == [m] * p
    assert [most_held(other[rank]) for rank in range(p)] == [min(m, p - rank) for rank in range(p)]


def test_macs_by_hand():
    """A stage has two layers; the first one of the first stage has no gradient of its input."""
    layer = ROWS * 4 * WIDE * 192
    assert [analyzed("1f1b", rank)[0].report.totals.macs for rank in (0, 1)] == [5 * layer, 6 * layer]
    assert "rank 1 of 2 with stage 1, 4 microbatches" in str(analyzed("1f1b", 1)[0])


def test_the_users_stages_are_only_read():
    with cnncost.world(size=2, mesh={"pp": 2}) as mesh:
        schedule, given = built(CASES["1f1b"], 0, mesh.get_group("pp"))
        (stage,) = [schedule._stage]
        before = [p.clone() for p in stage.submod.parameters()]
        first, second = [cnncost.pipelined(schedule, given["x"]) for _ in range(2)]
        assert first.peak == second.peak
        assert all(p.grad is None for p in stage.submod.parameters())
        assert all(map(torch.equal, before, stage.submod.parameters()))


def schedule_of(group, module=None, **options):
    stage = PipelineStage(module or nn.Linear(4, 4), 0, 2, torch.device("cpu"), group=group, **options)
    return schedules.Schedule1F1B(stage, 4, loss_fn=squares)


SAMPLE = dict.fromkeys(("input_args", "output_args"), torch.empty(2, 4, requires_grad=True))


def without_loss(group):
    return schedules.ScheduleGPipe(
        PipelineStage(nn.Linear(4, 4), 0, 2, torch.device("cpu"), group=group, **SAMPLE), 4
    )  # fmt: skip


def data_parallel(group):
    return schedule_of(group, nn.parallel.DistributedDataParallel(nn.Linear(4, 4), process_group=group), **SAMPLE)


REFUSED = {
    "no schedule": (lambda group: nn.Linear(4, 4), "8x4", "expected a schedule of torch.distributed.pipelining"),
    "no shapes": (schedule_of, "8x4", r"stage 0: expected PipelineStage\(…, output_args=tensor\) with one"),
    "no inputs": (lambda g: schedule_of(g, **SAMPLE), None, "inputs: expected the whole batch because stage 0"),
    "an uneven batch": (lambda g: schedule_of(g, **SAMPLE), "6x4", "divisible into 4 microbatches, got 6"),
    "no loss": (without_loss, "8x4", "has no loss_fn"),
    "several tensors": (lambda g: schedule_of(g, nn.LSTM(4, 4), **SAMPLE), "8x4", "stage 0 returns tuple"),
    "data parallel": (data_parallel, "8x4", "wrapped for data parallelism"),
}


@pytest.mark.parametrize(("make", "inputs", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(make, inputs, said):
    with cnncost.world(size=2, mesh={"pp": 2}) as mesh:
        schedule = make(mesh.get_group("pp"))
        with pytest.raises(InputError, match=said):
            cnncost.pipelined(schedule, inputs)


def test_dual_pipe_is_refused():
    with cnncost.world(size=2, mesh={"pp": 2}) as mesh:
        stages = [PipelineStage(nn.Linear(4, 4), i, 4, torch.device("cpu"), group=mesh.get_group()) for i in (0, 3)]
        schedule = schedules.ScheduleDualPipeV(stages, 4, loss_fn=squares)
        with pytest.raises(InputError, match="OVERLAP_F_B, which are not supported"):
            cnncost.pipelined(schedule, "8x4", "8x4")
