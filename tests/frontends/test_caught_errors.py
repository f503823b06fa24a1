"""Errors that forward gets only because tensors have no data, and catches: a real run would not go on as it does then.

Each forward tries something that works on values, and runs a wide layer instead if that raises.
"""

import contextlib
import io
import pickle
import threading
from functools import partial

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

import cnncost
from cnncost.errors import CnncostError, DataDependentError, ForwardError, NoShapeError
from tests.oracles.products import Products

LIBRARY = torch.library.Library("cnncost_caught_ops", "DEF")
LIBRARY.define("on_cpu(Tensor x) -> Tensor")
LIBRARY.impl("on_cpu", lambda x: x * 2, "CPU")
LIBRARY.define("on_cuda(Tensor x) -> Tensor")
LIBRARY.impl("on_cuda", lambda x: x * 2, "CUDA")


@torch.library.custom_op("cnncost_caught_ops::without_fake", mutates_args=())
def without_fake(x: torch.Tensor) -> torch.Tensor:
    return x * 2


class Tries(nn.Module):
    """`narrow` has 64 MACs for each row, `wide` 6400."""

    def __init__(self, trial):
        super().__init__()
        self.narrow, self.wide, self.trial = nn.Linear(8, 8), nn.Linear(8, 800), trial

    def forward(self, x):
        try:
            self.trial(x)
        except Exception:  # noqa: BLE001  # as people write it
            return self.wide(x)
        return self.narrow(x)


class Suppresses(Tries):
    def forward(self, x):
        found = None
        with contextlib.suppress(Exception):
            found = self.trial(x)
        return self.wide(x) if found is None else self.narrow(x)


class Returns(Tries):
    def forward(self, x):
        found = None
        try:
            found = self.trial(x)
        finally:
            return self.wide(x) if found is None else self.narrow(x)  # noqa: B012  # it swallows what was raised


class InAModule(nn.Module):
    """The module that reads has its own call; the one that catches is around it."""

    def __init__(self, trial):
        super().__init__()

        class Reads(nn.Module):
            def forward(self, x):
                return trial(x)

        self.tries = Tries(Reads())

    def forward(self, x):
        return self.tries(x)


READS = {
    "a condition": lambda x: bool(x.sum() > 0),
    "an index": lambda x: int(x.argmax()),
    "an item": lambda x: x[0, 0].item(),
    "a list": lambda x: x.tolist(),
    "an array": lambda x: x.detach().numpy(),
    "where it is positive": lambda x: x.nonzero(),
    "positive elements": lambda x: x[x > 0],
    "distinct elements": torch.unique,
    "a comparison": lambda x: torch.equal(x, x),
    "a number in a message": lambda x: f"{x.mean():.3f}",
    "pickled": lambda x: pickle.dumps(x.detach()),
    "saved": lambda x: torch.save(x.detach(), io.BytesIO()) or True,
}
WAYS = [Tries, Suppresses, Returns, InAModule]


def multiplied(model, x):
    with Products() as products, torch.no_grad():
        model(x)
    return products.total


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_that_forward_catches_is_one_all_the_same(read, way, training):
    x = torch.arange(1.0, 17).view(2, 8)
    with pytest.raises(DataDependentError, match=r"test_caught_errors\.py:\d+: forward reads the values"):
        cnncost.analyze(way(read), tuple(x.shape), training=training)
    report = cnncost.analyze(way(read), x, training=training)  # the values given
    assert report.totals.macs == multiplied(way(read), x) == 128
    assert report.run_on.startswith("the values given")


QUANTIZE = partial(torch.quantize_per_tensor, scale=0.1, zero_point=0, dtype=torch.quint8)
OTHERS = {
    "an op without a kernel for meta": (torch.ops.cnncost_caught_ops.on_cpu, NoShapeError),
    "an op without a fake kernel": (torch.ops.cnncost_caught_ops.without_fake, NoShapeError),
    "tracing itself": (make_fx(torch.sin), ForwardError),
    "linearizing itself": (lambda x: torch.func.linearize(torch.sin, x.detach()), ForwardError),
    "a tensor of another library": (torch.from_dlpack, DataDependentError),
    "a capsule for another library": (lambda x: torch.utils.dlpack.to_dlpack(x), DataDependentError),  # noqa: PLW0108  # looked up
    "shared with processes": (lambda x: x.clone().share_memory_(), DataDependentError),
    "a shared storage": (lambda x: x.clone().untyped_storage().share_memory_(), DataDependentError),
    "swapped bytes": (lambda x: x.clone().untyped_storage().byteswap(torch.float32), DataDependentError),
    "a pickled storage": (lambda x: pickle.dumps(x.untyped_storage()), DataDependentError),
    "an op that has a quantized kernel alone": (lambda x: torch.ops.quantized.relu6(QUANTIZE(x)), NoShapeError),
    "a copied storage": (lambda x: x.untyped_storage().clone(), DataDependentError),
}


@pytest.mark.filterwarnings("ignore")  # of torch's, on what is deprecated
@pytest.mark.parametrize(("trial", "error"), OTHERS.values(), ids=OTHERS)
def test_what_works_on_values_alone_is_refused(trial, error):
    x = torch.ones(2, 8)
    with pytest.raises(CnncostError) as found:
        cnncost.analyze(Tries(trial), x)
    assert type(found.value) is error
    assert cnncost.analyze(Tries(trial), x, trace="real").totals.macs == multiplied(Tries(trial), x) == 128


BY_NO_ANALYSIS = {
    "a traced function": lambda x: torch.jit.trace(lambda y: y + 1, x),
    "a traced module": lambda x: torch.jit.trace(nn.Tanh(), x),
    "a tensor without a shape": lambda x: torch.nested.nested_tensor([x, x[:1]]),
}


@pytest.mark.filterwarnings("ignore")  # as above
@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("trial", BY_NO_ANALYSIS.values(), ids=BY_NO_ANALYSIS)
def test_what_no_analysis_can_follow_is_refused_on_values_too(trial, trace):
    x = torch.ones(2, 8)
    trial(x)
    with pytest.raises(ForwardError, match=r"traces itself \(torch\.jit\.trace\)|uses a nested tensor"):
        cnncost.analyze(Tries(trial), x, trace=trace)


RAISES = {
    "an op of another device": torch.ops.cnncost_caught_ops.on_cuda,
    "shapes that don't fit": lambda x: x @ x,
    "a view that doesn't fit": lambda x: x.view(3, -1),
    "an index that is too large": lambda x: x[5],
    "sizes of a sum": lambda x: x + x[:, :3],
    "no such attribute": lambda x: x.foo,
    "a nested tensor of numbers": lambda x: torch.nested.nested_tensor([1.0, x]),
    "the inverse of no square": torch.linalg.inv,
    "a view across strides": lambda x: x.T.view(-1),
    "a view of other bytes": lambda x: x.T.view(torch.float64),
    "a matrix that is not positive": lambda x: torch.linalg.cholesky(torch.ones(3, 3)),
    "positions beyond a table": lambda x: F.embedding(torch.arange(9), torch.ones(2, 8)),
    "an index beyond": lambda x: torch.ones(2, 4)[torch.arange(5)],
    "channels of a convolution": lambda x: F.conv1d(x[None], torch.ones(1, 3, 1)),
    "its own": lambda x: (_ for _ in ()).throw(ValueError(f"depends on data, not {x.dim()}")),
}


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("trial", RAISES.values(), ids=RAISES)
def test_what_fails_on_values_too_is_forwards_own_matter(trial, training):
    report = cnncost.analyze(Tries(trial), (2, 8), training=training)
    assert report.totals.macs == multiplied(Tries(trial), torch.ones(2, 8)) == 12800
    assert report.run_on == ""


def test_an_analysis_after_a_refused_one_is_not_refused():
    model = Tries(lambda x: bool(x.sum() > 0) if x.shape[0] == 2 else True)
    for _ in range(2):
        with pytest.raises(DataDependentError):
            cnncost.analyze(model, (2, 8))
        assert cnncost.analyze(model, (3, 8)).totals.macs == 3 * 64


def positive(x):
    """Whether it is, or None if that is not known."""
    try:
        return bool(x.sum() > 0)
    except Exception:  # noqa: BLE001  # as above
        return None


class Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2 if positive(ctx.saved_tensors[0]) is not None else grad @ grad.T @ grad


class Gated(nn.Linear):
    def forward(self, x):
        return Gate.apply(super().forward(x))


class Descent(torch.optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            p.sub_(p.grad if positive(p.grad) is not None or p.dim() != 2 else p.grad @ p.T @ p)


STEPS = {
    "in the loss": (nn.Linear, {"loss": lambda out: out.sum() if positive(out) is not None else (out @ out.T).sum()}),
    "in backward": (Gated, {}),
    "in the optimizer": (nn.Linear, {"optimizer": Descent}),
}


@pytest.mark.parametrize(("layer", "how"), STEPS.values(), ids=STEPS)
def test_a_read_that_a_training_step_catches_is_one_all_the_same(layer, how):
    with pytest.raises(CnncostError, match=r"reads the values.*trace='real'"):
        cnncost.analyze(layer(8, 8), (2, 8), training=True, **how)
    report = cnncost.analyze(layer(8, 8), torch.ones(2, 8), training=True, trace="real", **how)
    assert [row.macs for row in report.phases][:2] == [128, 128]
    assert sum(row.macs for row in report.phases) == 256


def trace():
    print(torch.jit.trace(lambda y: y + 1, torch.ones(2))(torch.ones(2)).tolist())  # noqa: T201  # lists would be put back


@pytest.mark.filterwarnings("ignore")  # as above
def test_what_another_thread_traces_meanwhile_is_traced(capsys):
    def forward(x):
        thread = threading.Thread(target=trace)
        thread.start()
        thread.join()

    assert cnncost.analyze(Tries(forward), (2, 8)).totals.macs == 128
    assert capsys.readouterr().out == "[2.0, 2.0]\n"


class Masked(nn.Module):
    """Torch asks for the layout of a masked tensor by an op that no dispatcher knows."""

    def __init__(self):
        super().__init__()
        self.tries = Tries(lambda x: torch.masked.masked_tensor(x.detach(), x > 0).sum())

    def forward(self, x):
        return self.tries(x)


@pytest.mark.filterwarnings("ignore")  # torch's, of a prototype
@pytest.mark.parametrize("trace", ["static", "real"])
def test_an_op_that_no_dispatcher_knows(trace):
    assert Masked()(torch.ones(2, 8)).shape == (2, 8)  # `Products` would be such an analysis
    assert cnncost.analyze(Masked(), torch.ones(2, 8), trace=trace).totals.macs == 128
