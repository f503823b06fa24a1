"""Peaks of training steps beside the allocator's, by ops whose kernels or formulas take memory of their own."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional as F

import cnncost
from tests.oracles.allocations import peaks, training_peak
from tests.versions import facts

INDEX = torch.tensor([1, 5, 2])
SCALES, ZEROS = torch.ones(8), torch.zeros(8, dtype=torch.int32)
FEW = torch.randint(0, 8, (2, 2, 2, 2))
OPS = {  # h: 2,8,16,16, of a convolution
    "a scattered gradient": lambda h: h.index_select(1, INDEX),
    "indices": lambda h: h[:, INDEX],
    "gathered": lambda h: h.gather(1, FEW),
    "a maximum": lambda h: h.max(1)[0],
    "the largest": lambda h: h.topk(3, 1)[0],
    "sorted": lambda h: h.sort(1)[0],
    "added to one channel's gradient": lambda h: torch.bmm(h[:, 0], h[:, 1]),
    "two uses of slices": lambda h: torch.cross(h[:, :3], h[:, :3] * 2, dim=1),
    "circular padding": lambda h: F.pad(h, (1, 1, 1, 1), "circular"),
    "a loss with weights": lambda h: F.binary_cross_entropy_with_logits(h, h.exp(), pos_weight=h.new_ones(16)),
    "a chain of products": lambda h: torch.linalg.multi_dot([h[0, 0], h[0, 1], h[0, 2], h[0, 3]]),
    "mish": F.mish,
    "folded": lambda h: F.fold(F.unfold(h, 3, padding=1), (16, 16), 3, padding=1),
    "unfolded into less": lambda h: F.unfold(h, 2, stride=4),
    "rolled by two axes": lambda h: h.roll((3, 2), (2, 3)),
    "a shifted spectrum": torch.fft.fftshift,
    "rolled by an axis": lambda h: h.roll(3, 1),
    "one hot": lambda h: h.flatten(1)[:, :8] * F.one_hot(FEW.flatten()[:8], 8).sum(0),
    "rounded as by quantization": lambda h: torch.fake_quantize_per_tensor_affine(h, 0.1, 0, -128, 127).sin(),
    "rounded by channel": lambda h: torch.fake_quantize_per_channel_affine(h, SCALES, ZEROS, 1, -128, 127).sin(),
    "rounded by a learned scale": lambda h: torch._fake_quantize_learnable_per_tensor_affine(
        h, SCALES[:1], SCALES[:1], -128, 127, 1.0
    ).sin(),
    "a gamma's samples": lambda h: torch.distributions.Gamma(h.exp(), 1.0, validate_args=False).rsample(),
    "a Dirichlet's samples": lambda h: torch.distributions.Dirichlet(h.exp(), validate_args=False).rsample(),
    "the likelihood of a variance": lambda h: F.gaussian_nll_loss(h, h, h.exp()),
    "a squashed normal": lambda h: torch.distributions.TransformedDistribution(
        torch.distributions.Normal(h, 1.0), [torch.distributions.TanhTransform()]
    ).rsample(),
    "folded from less": lambda h: F.fold(h.flatten(2), (16, 16), 1),
}  # fmt: skip


class Net(nn.Module):
    def __init__(self, op):
        super().__init__()
        self.conv, self.op = nn.Conv2d(4, 8, 1), op

    def forward(self, x):
        return self.op(self.conv(x))


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", OPS)
def test_the_peaks_are_the_allocators(name, trace):
    net, x = Net(OPS[name]), torch.randn(2, 4, 16, 16)
    fixed = sum(t.nbytes for t in (*net.parameters(), x))

    @torch.no_grad()
    def run():
        return net(x)

    for _ in range(2):
        memory = cnncost.analyze(net, x, trace=trace, training=True).memory
        assert memory.inference_peak == pytest.approx(fixed + peaks(run).tensors, abs=400)
        assert memory.training_peak == pytest.approx(training_peak(net, x), abs=400)  # indices in a closure


def test_a_fold_of_values_that_are_known():
    net, ones = (
        Net(lambda h: F.fold(torch.ones(1, 72, 256), (16, 16), 3, padding=1) + h.mean()),
        torch.zeros(1, 4, 16, 16),
    )
    fixed = sum(t.nbytes for t in (*net.parameters(), ones))

    @torch.no_grad()
    def run():
        return net(ones)

    assert cnncost.analyze(net, ones).memory.inference_peak == pytest.approx(fixed + peaks(run).tensors, rel=0.001)


KNOWN = {
    "distinct values": lambda: torch.unique(torch.arange(1000) % 17, return_inverse=True, return_counts=True),
    "distinct neighbours": lambda: torch.unique_consecutive(torch.arange(1000) // 17),
    "distinct rows": lambda: torch.unique((torch.arange(1000) % 17)[:, None], dim=0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_buffers_that_a_kernel_has_shrunk_keep_their_memory(name):
    class Finds(nn.Module):
        def forward(self, x):
            return x, KNOWN[name]()

    x = torch.zeros(2)

    @torch.no_grad()
    def run():
        return Finds()(x)

    assert cnncost.analyze(Finds(), x).memory.inference_peak == pytest.approx(x.nbytes + peaks(run).tensors, abs=100)


VIEWS = {
    "expanded": lambda base: base[:1].expand(64, 32),
    "a slice": lambda base: base[:16],
    "columns": lambda base: base[:, ::2].t(),
    "transposed": lambda base: base.t(),
}


@pytest.mark.parametrize("name", VIEWS)
def test_an_input_or_a_buffer_is_as_large_in_a_real_run(name):
    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("b", VIEWS[name](torch.zeros(64, 32)))
            self.register_buffer("other", self.b[:1])  # of the same memory

        def forward(self, x):
            return x.sum() + self.b.sum() + self.other.sum()

    x = VIEWS[name](torch.zeros(64, 32))
    static, real = (cnncost.analyze(Holds(), x, trace=trace).memory for trace in ("static", "real"))
    assert static.inference_peak == real.inference_peak
    assert static.inference_peak == pytest.approx(2 * 64 * 32 * 4, abs=100)


def test_buffers_of_one_memory_are_so_in_a_real_run():
    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("b", torch.zeros(4))
            self.register_buffer("first", self.b[:1])
            self.l = nn.Linear(4, 4)

        def forward(self, x):
            self.b += 1
            return self.l(x) if self.first > 0 else x

    net = Holds()
    assert cnncost.analyze(net, torch.ones(2, 4), trace="real").totals.macs == 2 * 4 * 4
    assert net.b.tolist() == [0] * 4


class Takes(nn.Module):
    def __init__(self, op):
        super().__init__()
        self.op = op

    def forward(self, x):
        return self.op(x)


QUANTILES = {
    "one along an axis": lambda x: x.quantile(0.5, 1),
    "of all": lambda x: x.quantile(0.5),
    "three": lambda x: x.quantile(torch.tensor([0.1, 0.5, 0.9]), 0),
    "beside NaN": lambda x: x.nanquantile(0.5, 1),
}


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", QUANTILES)
def test_the_peak_of_a_quantile_is_the_allocators_or_says_that_it_is_not(name, trace):
    model, x = Takes(QUANTILES[name]), torch.rand(300, 40)
    report = cnncost.analyze(model, x, trace=trace)
    said, real = report.memory.inference_peak, x.nbytes + peaks(lambda: model(x)).tensors
    assert ("torch selects elements without sorting" in " ".join(str(report).split())) == facts.QUANTILES_ARE_SELECTED
    assert said == pytest.approx(real, rel=0.01) or (facts.QUANTILES_ARE_SELECTED and said > real)


MATRIX, FIRST, WINDOW = torch.rand(64, 64), torch.zeros(1, 64, dtype=torch.int64), torch.hann_window(16)
BESIDE_CONSTANTS = {  # h: 64,64, of a linear layer; the constants are globals, with data
    "a dot of tensors": (lambda h: torch.tensordot(MATRIX, h, dims=1), MATRIX),
    "an einsum": (lambda h: torch.einsum("ij,jk->ik", MATRIX, h), MATRIX),
    "an inner product": (lambda h: torch.inner(h, MATRIX), MATRIX),
    "a Kronecker product": (lambda h: torch.kron(h[:16, :16], MATRIX[:16, :16]), MATRIX),
    "a chain": (lambda h: torch.linalg.multi_dot([h, MATRIX, MATRIX]), MATRIX),
    "taken along an axis": (lambda h: torch.take_along_dim(h, FIRST, 0), FIRST),
    "a grid": (lambda h: torch.meshgrid(h[0], MATRIX[0], indexing="ij")[0] * 2, MATRIX),
    "pairs": (lambda h: torch.cartesian_prod(h[0], MATRIX[0]), MATRIX),
    "padded sequences": (lambda h: nn.utils.rnn.pad_sequence([h, MATRIX[:9]]), MATRIX),
    "a spectrum": (lambda h: torch.stft(h, 16, 4, window=WINDOW, return_complex=True).abs(), WINDOW),
    "a spectrum and back": (
        lambda h: torch.istft(torch.stft(h, 16, 4, window=WINDOW, return_complex=True), 16, 4, window=WINDOW), WINDOW,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDE_CONSTANTS)
def test_constants_with_data_beside_activations(name):
    """Torch compares the devices of some ops' operands above the recorder; views of constants are theirs."""
    op, constant = BESIDE_CONSTANTS[name]

    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 64)

        def forward(self, x):
            return op(self.linear(x))

    net, x = Product(), torch.randn(64, 64)
    fixed = sum(t.nbytes for t in (*net.parameters(), x))

    @torch.no_grad()
    def run():
        return net(x)

    for _ in range(2):
        memory = cnncost.analyze(net, x, training=True).memory
        assert memory.inference_peak - constant.nbytes == pytest.approx(fixed + peaks(run).tensors, abs=400)
        assert memory.training_peak - constant.nbytes == pytest.approx(training_peak(net, x), abs=400)


def test_padded_sequences_are_written_into_one_tensor():
    net, x = Net(lambda h: nn.utils.rnn.pad_sequence([h[0, 0], h[1, 0, :5]])), torch.randn(2, 4, 16, 16)
    pack = Net(lambda h: nn.utils.rnn.pack_sequence([h[0, 0], h[1, 0, :5]]).data)
    for model in (net, pack):
        fixed = sum(t.nbytes for t in (*model.parameters(), x))

        @torch.no_grad()
        def run(model=model):
            return model(x)

        peak = cnncost.analyze(model, x).memory.inference_peak
        assert peak == pytest.approx(fixed + peaks(run).tensors, abs=100)


def several(x, last):
    for _ in range(3):
        x = nn.Linear(64, 64, device=x.device)(x).relu()
    return last(x)


MADE = {  # modules that forward makes, and that die in it
    "three layers": several,
    "a copy of a layer": lambda x, last: copy.deepcopy(last)(x) + last(x),
    "activations": lambda x, last: nn.Tanh()(last(nn.LayerNorm(64)(nn.ReLU()(last(x))))),
}


@pytest.mark.parametrize("name", MADE)
def test_a_module_that_forward_makes_takes_memory_until_it_dies(name):
    make = MADE[name]

    class Makes(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(64, 64)

        def forward(self, x):
            return make(x, self.last)

    net, x = Makes(), torch.randn(5, 64)
    fixed = sum(t.nbytes for t in (*net.parameters(), x))

    @torch.no_grad()
    def run():
        return net(x)

    memory = cnncost.analyze(net, x, training=True).memory
    assert memory.inference_peak == pytest.approx(fixed + peaks(run).tensors, abs=100)
    assert memory.training_peak == pytest.approx(training_peak(net, x), abs=100)


NUMBERS = [float(n) for n in range(2048)]
LITERAL = 4 * len(NUMBERS)
MADE_OF_DATA = {  # what makes a tensor of 8 KiB from Python's data, and whether torch allocates it
    "tensor": (lambda x: torch.tensor(NUMBERS), True),
    "tensor on a device": (lambda x: torch.tensor(NUMBERS, device=x.device), True),
    "tensor of an array": (lambda x: torch.tensor(np.array(NUMBERS, np.float32)), True),
    "as_tensor of an array": (lambda x: torch.as_tensor(np.array(NUMBERS, np.float32)), False),
    "from_numpy": (lambda x: torch.from_numpy(np.array(NUMBERS, np.float32)), False),
    "new_tensor": (lambda x: x.new_tensor(NUMBERS), True),
    "the legacy new": (lambda x: x.new(NUMBERS), True),
    "new_tensor in vmap": (lambda x: vmap(lambda _: x.new_tensor(NUMBERS))(x[:1])[0], True),
    "FloatTensor": (lambda x: torch.FloatTensor(NUMBERS), True),
}


class BesideLiteral(nn.Module):
    """A literal, which is used `before` a wide layer or while that runs."""

    def __init__(self, make, before):
        super().__init__()
        self.narrow, self.wide, self.make, self.before = nn.Linear(4, 4), nn.Linear(4, 2048), make, before

    def forward(self, x):
        y = self.narrow(x)
        literal = self.make(x)
        if self.before:
            y = y + literal.sum()
            del literal
            return self.wide(y)
        return self.wide(y) * literal


@pytest.mark.parametrize("before", [True, False], ids=["freed before the peak", "alive at the peak"])
@pytest.mark.parametrize("name", MADE_OF_DATA)
def test_a_tensor_made_of_data_is_counted_once_and_while_it_is_alive(name, before):
    make, allocated = MADE_OF_DATA[name]
    model, x = BesideLiteral(make, before), torch.ones(2, 4)
    with torch.no_grad():
        alive = peaks(lambda: model(x)).tensors + sum(t.nbytes for t in (*model.parameters(), x))
    expected = alive if allocated or before else alive + LITERAL  # an array's memory is the tensor's while it is alive
    for trace in ("static", "real"):
        report = cnncost.analyze(model, x, trace=trace)

        assert report.memory.inference_peak == pytest.approx(expected, abs=64), trace


@pytest.mark.parametrize("trace", ["static", "real"])
def test_what_backward_makes_takes_memory(trace):
    """Autograd passes on the true device of a tensor without data."""

    def forward(self, x):
        for _ in range(3):
            y = self.linear(x[:, self.kept]).sin()
            x = torch.cat([x[:, :2] * y[:, :2], y[:, 2:]], 1)
        return x

    model, x = Does(forward), torch.randn(64, 4)
    model.linear, model.kept = nn.Linear(2, 4), torch.tensor([0, 2])
    expected = training_peak(model, x) + model.kept.nbytes

    assert cnncost.analyze(model, x, training=True, trace=trace).memory.training_peak == pytest.approx(expected, abs=16)


class Does(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.does = forward

    def forward(self, x):
        return self.does(self, x)
