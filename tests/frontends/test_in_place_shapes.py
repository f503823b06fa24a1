"""Ops that change the shape of a tensor in place, and `out=`: the same results as torch's on real tensors."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost.frontends.torch import record

torch.set_num_threads(1)

IDS = torch.tensor([[1, 0, 1], [0, 0, 2]])
X = torch.zeros(3, 4)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def empty(dtype=torch.float32):
    return torch.empty(0, dtype=dtype)


INTEGERS = {
    "t_": lambda ids, x: x[ids.clone().t_()],
    "transpose_": lambda ids, x: x[ids.clone().transpose_(0, 1)],
    "swapaxes_": lambda ids, x: x[ids.clone().swapaxes_(0, 1)],
    "swapdims_": lambda ids, x: x[ids.clone().swapdims_(0, 1)],
    "unsqueeze_": lambda ids, x: x[ids.clone().unsqueeze_(0)],
    "squeeze_": lambda ids, x: x[ids[:1].clone().squeeze_()],
    "squeeze_ of an axis": lambda ids, x: x[ids[:, :1].clone().squeeze_(1)],
    "resize_ to less": lambda ids, x: x[ids.clone().resize_(2)],
    "resize_ to another shape": lambda ids, x: x[ids.clone().resize_(6)],
    "resize_ to more": lambda ids, x: x[ids.clone().resize_(8).clamp_(0, 2)],
    "resize_as_": lambda ids, x: x[empty(torch.long).resize_as_(ids).zero_()],
    "as_strided_": lambda ids, x: x[ids.clone().as_strided_((3,), (1,), 1)],
    "set_": lambda ids, x: x[empty(torch.long).set_(ids.clone())],
    "set_ to a part": lambda ids, x: x[empty(torch.long).set_(ids.clone()[1])],
    "of an input": lambda ids, x: x[ids.t_()],
    "twice": lambda ids, x: x[ids.clone().t_().unsqueeze_(0)],
    "of a square": lambda ids, x: x[ids[:, :2].clone().t_()].transpose(0, 1).contiguous(),
    "of a view": lambda ids, x: x[ids.view(3, 2).t_()],
    "floats": lambda ids, x: x.clone().t_() @ x,
}
OUT = {
    "add": lambda ids, x: torch.add(x, x, out=empty()).exp(),
    "add of integers": lambda ids, x: x[torch.add(ids, 0, out=empty(torch.long))],
    "a sum that is read": lambda ids, x: x.new_zeros(int(torch.sum(ids, 0, out=empty(torch.long))[2])),
    "two results": lambda ids, x: torch.max(x, 1, out=(empty(), empty(torch.long)))[1],
    "topk": lambda ids, x: torch.topk(x, 2, out=(empty(), empty(torch.long)))[0],
    "a product": lambda ids, x: torch.mm(x, x.t(), out=empty()),
    "matmul": lambda ids, x: torch.matmul(x, x.t(), out=empty()),
    "cat": lambda ids, x: torch.cat([x, x], out=empty()),
    "stack": lambda ids, x: torch.stack([x, x], out=x.new_empty(0)),
    "of the right size": lambda ids, x: torch.mul(x, 2, out=torch.empty(3, 4)),
    "into an operand": lambda ids, x: torch.mul(y := x.clone(), 2, out=y),
    "where": lambda ids, x: torch.where(x > 0, x, x, out=empty()),
    "index_select": lambda ids, x: torch.index_select(x, 0, ids[0], out=empty()),
    "as many as a mask has set": lambda ids, x: torch.masked_select(x, ids[:1, :1] < 1, out=empty()).unsqueeze(0),
    "a mask's picks, used by the name": lambda ids, x: (
        y := empty(), torch.masked_select(x, ids[:1, :1] < 1, out=y), y * 2
    )[2],
    "a histogram": lambda ids, x: torch.histogram(x, 5, out=(empty(), empty()))[1],
    "least squares": lambda ids, x: torch.linalg.lstsq(
        x, x * 2, out=(empty(), empty(), empty().long(), empty())
    )[0],
    "reflections": lambda ids, x: torch.geqrf(x, out=(empty(), empty()))[1],
    "reflections and R": lambda ids, x: torch.geqrf(x, out=(empty(), empty()))[0] * 2,
    "a copy of a part": lambda ids, x: torch.narrow_copy(x, 0, 1, 1, out=empty()),
    "statistics that are not taken": lambda ids, x: torch.native_batch_norm(
        x, None, None, x.new_zeros(x.shape[1]), x.new_ones(x.shape[1]), False, 0.1, 1e-5,
        out=(empty(), empty(), empty()),
    )[1],
    "used by its name": lambda ids, x: (y := empty(), torch.exp(x, out=y), y.sum(1))[2],
}  # fmt: skip


@pytest.mark.parametrize("memo", [True, False], ids=["memo", "no memo"])
@pytest.mark.parametrize("name", [*INTEGERS, *OUT])
def test_shapes_are_those_of_a_real_run(name, memo):
    function = (INTEGERS | OUT)[name]
    for _ in range(2):  # the second time the memo knows all
        graph = record(Function(function), (IDS.clone(), X), use_memo=memo)
        real = function(IDS.clone(), X)
        value = graph.values[graph.outputs[0]]
        assert (value.shape, value.dtype) == (tuple(real.shape), str(real.dtype).removeprefix("torch."))


def test_integers_are_as_they_were():
    ids = IDS.clone()
    record(Function(INTEGERS["of an input"]), (ids, X))
    assert torch.equal(ids, IDS)


def test_an_embedding_of_indices_turned_in_place():
    net = nn.Sequential(Function(lambda ids: ids.clone().t_()), nn.Embedding(100, 16), nn.Linear(16, 4))
    report = cnncost.analyze(net, torch.zeros(2, 7, dtype=torch.long))
    assert (report.totals.macs, report.layers[-1].output_shape) == (7 * 2 * 16 * 4, (7, 2, 4))


OURS = torch.zeros(2, 3)


def test_the_users_own_tensor_is_not_turned():
    with pytest.raises(cnncost.CnncostError, match="existed before forward"):
        cnncost.analyze(Function(lambda x: x.sum() + OURS.t_()), (2, 3))
    assert OURS.shape == (2, 3)


def test_what_is_only_written_to_is_not_read():
    report = cnncost.analyze(Function(lambda x: torch.exp(x, out=torch.empty(3, 4))), (3, 4))
    moved = [(row.bytes_read, row.bytes_written) for row in report.layers]
    assert sum(read for read, _ in moved) == 3 * 4 * 4  # x alone
    assert [len(node.inputs) for node in report.graph.nodes if node.name == "aten.exp.out"] == [1]


def test_a_tensor_that_grows_is_another_storage_from_then_on():
    def forward(x):
        y = x.new_empty(2)
        torch.exp(x, out=y.resize_(0))
        return y * 2

    graph = record(Function(forward), (3, 4))
    names = [node.name for node in graph.nodes]
    made = [(s.nbytes, names[s.born]) for s in graph.storages if s.born is not None]
    assert made == [(8, "aten.new_empty"), (3 * 4 * 4, "aten.exp.out"), (3 * 4 * 4, "aten.mul.Tensor")]


@pytest.mark.parametrize("nbytes", [0, 800])
def test_a_storage_that_is_resized_after_the_last_op(nbytes):
    def forward(x):
        y = x * 2
        z = y + 1
        y.untyped_storage().resize_(nbytes)
        return y, z

    memory = cnncost.analyze(Function(forward), (3, 4)).memory
    assert memory.inference_peak == 3 * (3 * 4 * 4) + nbytes  # x, y and z, and what y is moved to


LITERALS = {
    "a view": lambda x: torch.tensor([0.5] * 12).view(3, 4) + x,
    "a view after a write": lambda x: torch.tensor([0.5] * 12).add_(1).view(3, 4) + x,
    "a view before a write": lambda x: ((t := torch.tensor([0.5] * 12)), (v := t.view(3, 4)), t.add_(1), v + x)[3],
    "a slice": lambda x: torch.tensor([0.5] * 12)[:4] + x,
    "a range": lambda x: torch.linspace(0, 1, 12).view(3, 4) + x,
}


@pytest.mark.parametrize("first", LITERALS)
@pytest.mark.parametrize("name", LITERALS)
def test_bytes_are_the_same_after_another_model(name, first):
    def moved(function):
        return [(r.bytes_read, r.bytes_written) for r in cnncost.analyze(Function(function), (3, 4)).layers]

    cnncost.frontends.torch.memo.clear()
    alone = moved(LITERALS[name])
    cnncost.frontends.torch.memo.clear()
    moved(LITERALS[first])
    assert moved(LITERALS[name]) == alone
    graph = record(Function(LITERALS[name]), (3, 4))
    assert all(not node.spec["copy"] for node in graph.nodes if node.name in {"aten.view", "aten.slice.Tensor"})


READS = {  # what is read of a literal that was written to
    "through itself": (lambda t: t.add_(1), lambda t, v: t),
    "through a view made before": (lambda t: t.add_(1), lambda t, v: v),
    "through a view, by a view": (lambda t: t.view(2, 2).mul_(2), lambda t, v: v),
    "by index": (lambda t: t.__setitem__(0, 5), lambda t, v: v),
}


@pytest.mark.parametrize("name", READS)
def test_values_of_a_literal_that_is_written_to(name):
    write, read = READS[name]

    def forward(x, made=lambda: torch.tensor([1, 2, 3, 4])):
        t = made()
        v = t[:2]
        write(t)
        return x.new_zeros(int(read(t, v).sum()))

    assert record(Function(forward), (2,)).values[-1].shape == tuple(forward(torch.zeros(2)).shape)


OURS_TOO = torch.tensor([1, 2, 3, 4])


@pytest.mark.parametrize("name", READS)
def test_values_of_the_users_tensor_that_is_written_to_are_the_copys_or_unknown(name):
    write, read = READS[name]

    def forward(x, ours=OURS_TOO):
        v = ours[:2]
        write(ours)
        return x.new_zeros(int(read(ours, v).sum()))

    expected = tuple(forward(torch.zeros(2), OURS_TOO.clone()).shape)
    if name != "through itself":  # the view shares the user's memory, and the write has gone to a copy
        with pytest.raises(cnncost.CnncostError, match="values"):
            record(Function(forward), (2,))
    else:
        assert record(Function(forward), (2,)).values[-1].shape == expected
    assert OURS_TOO.tolist() == [1, 2, 3, 4]
