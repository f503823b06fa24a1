"""Products without a zero, on given values: by loops, and by hand."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.render.json import SCHEMA
from tests.oracles import zeros

small, few = st.integers(1, 3), st.integers(2, 4)


def sparse(*shape: int, seed: int, part: float = 0.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) < part)


def count(model, *inputs):
    return cnncost.effective_macs(model, inputs, activations=True)


class Do(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def forward(self, *inputs):
        return self.run(*inputs)


def pruned(layer, seed):
    with torch.no_grad():
        layer.weight.copy_(sparse(*layer.weight.shape, seed=seed))
    return layer


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 2), per_group=small, kernels=small, size=st.integers(3, 6), kernel=st.integers(1, 3),
    stride=small, padding=st.integers(0, 2), dilation=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_convolution(groups, per_group, kernels, size, kernel, stride, padding, dilation, seed):
    if size + 2 * padding < dilation * (kernel - 1) + 1:
        return
    layer = pruned(nn.Conv2d(groups * per_group, groups * kernels, kernel, stride, padding, dilation, groups), seed)
    x = sparse(2, groups * per_group, size, size, seed=seed + 1)
    expected = zeros.convolution(x.tolist(), layer.weight.tolist(), stride, padding, dilation, groups)
    assert count(layer, x).macs == expected


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 2), per_group=small, kernels=small, size=st.integers(2, 4), kernel=st.integers(1, 3),
    stride=st.integers(2, 3), padding=st.integers(0, 1), extra=st.integers(0, 1), dilation=st.integers(1, 2),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_transposed_convolution(groups, per_group, kernels, size, kernel, stride, padding, extra, dilation, seed):
    channels = groups * per_group, groups * kernels
    layer = pruned(nn.ConvTranspose2d(*channels, kernel, stride, padding, extra, groups, True, dilation), seed)
    x = sparse(2, channels[0], size, size, seed=seed + 1)
    if (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1 < 1:
        return
    expected = zeros.transposed(x.tolist(), layer.weight.tolist(), stride, padding, extra, dilation, groups)
    assert count(layer, x).macs == expected


@settings(max_examples=30, deadline=None)
@given(batch=small, m=few, k=few, n=few, seed=st.integers(0, 99))
def test_products(batch, m, k, n, seed):
    a, b = sparse(batch, m, k, seed=seed), sparse(batch, k, n, seed=seed + 1)
    expected = sum(zeros.matmul(x.tolist(), y.tolist()) for x, y in zip(a, b, strict=True))
    assert count(Do(torch.matmul), a, b).macs == expected
    assert count(Do(torch.bmm), a, b).macs == expected
    assert count(Do(lambda x, y: torch.baddbmm(x[:, :, :1] * 0, x, y, alpha=3)), a, b).macs == expected
    assert count(Do(lambda x, y: torch.einsum("bmk,bkn->bmn", x, y)), a, b).macs == expected
    layer = pruned(nn.Linear(k, n), seed)
    rows = a.reshape(-1, k)
    assert count(layer, a).macs == zeros.matmul(rows.tolist(), layer.weight.T.tolist())


@pytest.mark.parametrize("how", ["plain", "causal", "masked", "grouped"])
def test_attention(how):
    q, k, v = (sparse(1, heads, 5, 4, seed=i) for i, heads in enumerate((4, 2, 2) if how == "grouped" else (4, 4, 4)))
    seen = torch.ones(5, 5, dtype=torch.bool)
    kwargs = {}
    if how == "causal":
        seen, kwargs = seen.tril(), {"is_causal": True}
    elif how == "masked":
        seen = torch.rand(5, 5, generator=torch.Generator().manual_seed(3)) < 0.5
        kwargs = {"attn_mask": seen}
    elif how == "grouped":
        kwargs = {"enable_gqa": True}
    expected = 0
    for head in range(4):
        other = head // 2 if how == "grouped" else head
        expected += zeros.matmul(q[0, head].tolist(), k[0, other].T.tolist())
        expected += zeros.matmul(seen.int().tolist(), v[0, other].tolist())
    assert count(Do(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **kwargs)), q, k, v).macs == expected


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        pytest.param(nn.Conv2d(2, 4, 3, padding=1), (1, 2, 4, 4), 4 * 2 * (3 * 4 - 2) ** 2, id="padding is zero"),
        pytest.param(nn.Conv2d(2, 4, 3, padding="same"), (1, 2, 4, 4), 4 * 2 * (3 * 4 - 2) ** 2, id="same"),
        pytest.param(nn.Conv2d(1, 1, 2, padding="same"), (1, 1, 3, 3), (2 * 3 - 1) ** 2, id="same, even kernel"),
        pytest.param(nn.Conv2d(2, 4, 3, padding="valid"), (2, 4, 4), 4 * 2 * 9 * 4, id="valid, no batch"),
        pytest.param(nn.Conv1d(2, 4, 3, padding=1), (1, 2, 5), 4 * 2 * (3 * 5 - 2), id="one axis"),
        pytest.param(nn.Conv3d(1, 2, 3, padding=1), (1, 1, 3, 3, 3), 2 * (3 * 3 - 2) ** 3, id="three axes"),
    ],
)
def test_by_hand(layer, shape, expected):
    """Each axis of n outputs has k·n taps, less those in the padding."""
    assert count(layer, torch.full(shape, 2.0)).macs == expected


def test_a_relu_network_by_hand():
    """Of four units 1, −1, 1 and −1 two are left by the ReLU."""
    first, second = nn.Linear(2, 4, bias=False), nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [2.0, 1.0], [0.0, 1.0]]))  # 1, −1, 1, −1
        second.weight.fill_(1.0)
        second.weight[0] = 0
    found = count(nn.Sequential(first, nn.ReLU(), second), torch.tensor([[1.0, -1.0]]))
    # 5 weights of the first are not zero, as both inputs are; 2 units times 2 rows of the second
    assert (found.dense, found.macs) == (8 + 12, 5 + 4)
    assert found.by_path == {"0": (8, 5), "2": (12, 4)}
    assert [(row.macs, row.accumulates) for row in found.rows] == [(5, 0), (4, 4)]  # both fire with 1: a spike
    assert found.energy == pytest.approx(5 * 4.6 + 4 * 0.9)


def test_an_lstm_counts_in_full_and_says_so():
    found = count(nn.LSTM(3, 4), torch.zeros(2, 1, 3))
    assert found.dense == found.macs == found.in_full == 2 * 4 * 4 * (3 + 4)
    assert "≤224" in str(found)


def test_attention_layers_in_eval_mode_are_looked_into():
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.rand(1, 5, 8) + 1
    found = count(layer, x, x, x)
    assert (found.macs, found.in_full) == (4 * 5 * 8 * 8 + 2 * 5 * 5 * 8, 0)
    assert torch.backends.mha.get_fastpath_enabled()


SPARSE = {
    # each of the outputs takes K products if zeros are stored, too; Z·N of them are counted, and in full
    "a matrix": (lambda a, x: a @ x, (8, 24), (24, 3), 8 * 3 * 24, 3),
    "a vector": (lambda a, x: a @ x, (8, 24), (24,), 8 * 24, 1),
    "from the right": (lambda a, x: x @ a, (8, 24), (5, 8), 5 * 24 * 8, 5),
    "an addend": (lambda a, x: torch.addmm(torch.ones(8, 3), a, x), (8, 24), (24, 3), 8 * 3 * 24, 3),
    "a mean": (lambda a, x: torch.sparse.mm(a, x, "mean"), (8, 24), (24, 3), 8 * 3 * 24, 3),
}


@pytest.mark.filterwarnings("ignore:Sparse")  # torch's, of a beta state
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.parametrize("name", SPARSE)
def test_the_dense_count_of_a_sparse_product(name, layout):
    run, shape, other, dense, columns = SPARSE[name]
    matrix = torch.zeros(shape)
    matrix[0, :5], matrix[3, 7] = 1, 2  # six are stored
    if name == "a mean" and layout is torch.sparse_coo:
        layout = torch.sparse_csr  # the one that torch has
    found = count(Do(run), matrix.to_sparse(layout=layout), torch.ones(other))
    assert (found.dense, found.macs, found.in_full) == (dense, 6 * columns, 6 * columns)
    assert found.by_path == {"": (dense, 6 * columns)}
    assert found.density == 6 * columns / dense


@pytest.mark.filterwarnings("ignore:Sparse")
def test_the_dense_count_of_a_sampled_product():
    places = torch.eye(8, 24).to_sparse_csr()
    found = count(Do(torch.sparse.sampled_addmm), places, torch.ones(8, 5), torch.ones(5, 24))
    assert (found.dense, found.macs) == (8 * 24 * 5, 8 * 5)


class Spiking(nn.Module):
    """Leaky integrate-and-fire neurons over time: V ← V/2 + I; a spike where V ≥ 1, and V back to 0."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)

    def forward(self, x):
        voltage = torch.zeros(1, 3)
        result = torch.zeros(1, 2)
        for current in x:
            voltage = voltage / 2 + self.first(current[None])
            spikes = (voltage >= 1).float()
            voltage = voltage * (1 - spikes)
            result = result + self.second(spikes)
        return result


def test_synaptic_operations_by_hand():
    model = Spiking()
    with torch.no_grad():
        model.first.weight.copy_(torch.tensor([[1.0, 0.0], [0.6, 0.0], [0.0, 0.3]]))
        model.second.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]]))
    x = torch.tensor([[1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [1.0, 0.5]])
    # currents 1, 0.6, 0.15: neuron 1 fires each step; neuron 2 at 0.6, 0.9, 1.05 in the third; neuron 3 never
    fired = 4 * 2 + 1 * 2  # two synapses each
    analog = 4 * 3  # of six weights three are not zero; both inputs are not, and 0.5 is no spike
    found = count(model, x)
    assert (found.dense, found.macs, found.accumulates) == (4 * (6 + 6), analog + fired, fired)
    assert found.energy == pytest.approx(4.6 * analog + 0.9 * fired)
    assert found.dense_energy == pytest.approx(4.6 * 48)
    assert found.by_path == {"first": (24, analog), "second": (24, fired)}
    data = json.loads(found.to_json())
    assert data["energy_pj"] == pytest.approx(64.2)
    assert [row["path"] for row in data["rows"]] == ["first", "second"]
    assert (data["schema"], data["command"]) == (SCHEMA, "effective_macs")
    assert [line.split()[-1] for line in str(found).splitlines() if line.startswith("total")] == ["64.2"]


def test_a_binary_weight_is_no_spike():
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    found = count(layer, torch.tensor([[2.0, 0.0, 3.0]]))
    assert (found.macs, found.accumulates) == (4, 0)


def test_a_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU())
    before = {name: t.clone() for name, t in model.state_dict().items()}
    count(model, torch.rand(3, 4))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_values_that_are_drawn_are_told():
    assert "drawn" in cnncost.effective_macs(nn.Linear(4, 2), (1, 4), activations=True).run_on
