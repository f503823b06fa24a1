"""Collectives that forward calls itself: bytes of the ring, by hand."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
import torch.distributed.nn.functional as differentiable
from torch import nn

import cnncost

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # names that models still use
N = 8 * 6
"""Elements of the tensor, of 4 bytes each."""
X = torch.zeros(8, 6)


class Calls(nn.Module):
    """Runs a function between two layers."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 6)
        self.function = function

    def forward(self, x):
        return self.last(self.function(self.first(x)))


def all_reduce(x):
    dist.all_reduce(x := x.clone())
    return x


def all_gather(x):
    parts = [torch.empty_like(x) for _ in range(4)]
    dist.all_gather(parts, x.detach())
    return torch.stack(parts).sum(0) + x


def all_gather_into_tensor(x):
    whole = x.new_empty(32, 6)
    dist.all_gather_into_tensor(whole, x.detach())
    return x + whole[:8]


def reduce_scatter(x):
    part = x.new_empty(8, 6)
    dist.reduce_scatter(part, list(torch.cat([x.detach()] * 4).chunk(4)))
    return x + part


def reduce_scatter_tensor(x):
    part = x.new_empty(2, 6)
    dist.reduce_scatter_tensor(part, x.detach())
    return x + part.repeat(4, 1)


def all_to_all(x):
    other = torch.empty_like(x)
    dist.all_to_all_single(other, x.detach())
    return x + other


def uneven_all_to_all(x):
    """Rank 1 keeps one of the rows that it has, as `[5, 1, 1, 1]` and `[3, 1, 2, 4]` say alike."""
    other = x.new_empty(10, 6)
    dist.all_to_all_single(other, x.detach(), [3, 1, 2, 4], [5, 1, 1, 1])
    return x + other[:8]


def uneven_functional_all_to_all(x):
    return x + functional.all_to_all_single(x.detach(), [3, 1, 2, 4], [5, 1, 1, 1], dist.group.WORLD)[:8]


def half_uneven_all_to_all(x):
    other = x.new_empty(10, 6)
    dist.all_to_all_single(other, x.detach(), [3, 2, 2, 3])
    return x + other[:8]


def listed_all_to_all(x):
    parts = [x.new_empty(rows, 6) for rows in (3, 1, 2, 4)]
    dist.all_to_all(parts, list(x.detach().split([5, 1, 1, 1])))
    return x + torch.cat(parts)[:8]


def gather(x):
    parts = [torch.empty_like(x) for _ in range(4)] if dist.get_rank() == 2 else None
    dist.gather(x.detach(), parts, dst=2)
    return x


def scatter(x):
    parts = list(torch.stack([x.detach()] * 4)) if dist.get_rank() == 2 else None
    dist.scatter(part := torch.empty_like(x), parts, src=2)
    return x + part


def broadcast(x):
    dist.broadcast(x := x.clone(), src=0)
    return x


def reduce(x):
    dist.reduce(x := x.clone(), dst=0)
    return x


def send(x):
    dist.send(x.detach(), dst=2)
    return x


def receive(x):
    dist.recv(other := torch.empty_like(x), src=2)
    return x + other


def awaited(x):
    work = dist.all_reduce(x := x.clone(), async_op=True)
    work.wait()
    return x


def synchronized(x):
    dist.barrier()
    return x


ROWS = [
    # what forward calls, and by rank: bytes sent and received
    (all_reduce, {1: (2 * 3 * 12 * 4, 2 * 3 * 12 * 4)}),
    (awaited, {0: (288, 288)}),
    (lambda x: functional.all_reduce(x, "sum", dist.group.WORLD), {0: (288, 288)}),
    (differentiable.all_reduce, {0: (288, 288)}),
    (all_gather, {0: (3 * N * 4, 3 * N * 4)}),
    (all_gather_into_tensor, {3: (3 * N * 4, 3 * N * 4)}),
    (reduce_scatter, {0: (3 * N * 4, 3 * N * 4)}),
    (reduce_scatter_tensor, {0: (3 * 12 * 4, 3 * 12 * 4)}),
    (all_to_all, {2: (3 * 12 * 4, 3 * 12 * 4)}),
    (uneven_all_to_all, {1: (7 * 6 * 4, 9 * 6 * 4)}),
    (uneven_functional_all_to_all, {1: (7 * 6 * 4, 9 * 6 * 4)}),
    (half_uneven_all_to_all, {1: (6 * 6 * 4, 8 * 6 * 4)}),
    (listed_all_to_all, {1: (7 * 6 * 4, 9 * 6 * 4)}),
    (gather, {0: (N * 4, 0), 2: (0, 3 * N * 4)}),
    (scatter, {0: (0, N * 4), 2: (3 * N * 4, 0)}),
    (broadcast, {0: (N * 4, 0), 1: (N * 4, N * 4), 2: (N * 4, N * 4), 3: (0, N * 4)}),
    (reduce, {0: (0, N * 4), 1: (N * 4, 0), 3: (N * 4, N * 4)}),
    (send, {0: (N * 4, 0)}),
    (receive, {0: (0, N * 4)}),
    (synchronized, {0: (0, 0)}),
]


@pytest.mark.parametrize(("function", "by_rank"), ROWS, ids=[getattr(f, "__name__", "") for f, _ in ROWS])
def test_bytes_of_the_ring(function, by_rank):
    for rank, expected in by_rank.items():
        with cnncost.world(size=4, rank=rank):
            report = cnncost.analyze(Calls(function), (X,))
        found = report.communication
        assert (sum(each.sent for each in found), sum(each.received for each in found)) == expected
        assert report.unknown == {}
        assert report.totals.macs == 2 * 8 * 6 * 6


@pytest.mark.parametrize(("size", "chunk"), [(2, 20), (3, 14), (4, 10), (7, 6), (64, 1)])
def test_a_ring_of_uneven_chunks_sends_whole_chunks(size, chunk):
    """Of 40 elements over 3 ranks a chunk has ⌈40 / 3⌉."""

    def narrow(x):
        return functional.all_reduce(x[:, :5], "sum", dist.group.WORLD).repeat(1, 2)[:, :6]

    with cnncost.world(size=size):
        report = cnncost.analyze(Calls(narrow), (X,))
    (each,) = report.communication
    assert (each.nbytes, each.sent) == (40 * 4, 2 * (size - 1) * chunk * 4)


def test_a_group_of_one_sends_nothing():
    with cnncost.world(size=4, mesh={"dp": 4, "tp": 1}) as mesh:
        group = mesh.get_group("tp")
        report = cnncost.analyze(Calls(lambda x: functional.all_reduce(x, "sum", group)), (X,))
    (each,) = report.communication
    assert (each.group, each.ranks, each.sent) == ("tp", 1, 0)


def test_worlds_of_other_sizes_are_not_mixed_up():
    """Groups have the same names in each world, and the caches know them by name."""
    found = []
    for size in (2, 8, 2):
        with cnncost.world(size=size):
            report = cnncost.analyze(Calls(lambda x: functional.all_reduce(x, "sum", dist.group.WORLD)), (X,))
        found.append([(each.ranks, each.sent) for each in report.communication])
    assert found == [[(2, 2 * 24 * 4)], [(8, 2 * 7 * 6 * 4)], [(2, 2 * 24 * 4)]]


def test_what_was_split_in_a_world_that_has_ended():
    with cnncost.world(size=2, mesh={"tp": 2}) as mesh:
        from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

        model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 6))
        parallelize_module(model, mesh["tp"], {"0": ColwiseParallel(), "1": RowwiseParallel()})
    with pytest.raises(cnncost.CnncostError, match=r"process group .* is gone.*cnncost\.world"):
        cnncost.analyze(model, (X,))
