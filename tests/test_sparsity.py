"""Effective counts of pruned and sparse models, by hand."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

import cnncost
from cnncost.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")  # torch's, of a beta state


def test_a_dense_model_has_all():
    found = cnncost.effective_macs(nn.Linear(16, 32), (4, 16))
    assert (found.dense, found.macs, found.density) == (4 * 16 * 32, 4 * 16 * 32, 1.0)


def test_zeros_in_a_weight_are_skipped():
    layer = nn.Conv2d(3, 8, 3, padding=1)
    with torch.no_grad():
        layer.weight[:6] = 0  # 2 of 8 kernels are left
    found = cnncost.effective_macs(layer, (1, 3, 10, 10))
    assert (found.dense, found.macs) == (100 * 8 * 27, 100 * 2 * 27)


def test_pruned_weights_count_by_their_masks():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
    prune.l1_unstructured(model[0], "weight", amount=0.75)
    found = cnncost.effective_macs(model, (4, 16))
    assert found.macs == 4 * (16 * 32 // 4 + 32 * 8)
    assert found.by_path == {"0": (4 * 512, 4 * 128), "2": (4 * 256, 4 * 256)}
    assert cnncost.analyze(model, (4, 16)).totals.macs == 4 * (16 * 32 + 32 * 8)  # the report is dense


def test_a_sparse_layout_has_what_it_stores():
    layer = nn.Linear(16, 32, bias=False)
    dense = torch.zeros(32, 16)
    dense[:5, :3] = 1
    layer.weight = nn.Parameter(dense.to_sparse_csr())
    found = cnncost.effective_macs(layer, (4, 16))
    assert (found.dense, found.macs) == (4 * 16 * 32, 4 * 15)


def test_a_transposed_weight_is_known_as_well():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.eye(8))

        def forward(self, x):
            return x @ self.weight.T

    assert cnncost.effective_macs(Tied(), (2, 8)).macs == 2 * 8


def test_products_of_activations_count_in_full():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        layer.in_proj_weight.zero_()
        layer.out_proj.weight.zero_()
    found = cnncost.effective_macs(layer, ((1, 4, 8),) * 3)
    assert found.macs == 2 * 4 * 4 * 8  # scores and weighted values


def test_weights_without_values_are_refused():
    with torch.device("meta"):
        model = nn.Linear(4, 4)
    with pytest.raises(InputError, match="values of the weights"):
        cnncost.effective_macs(model, (1, 4))


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr", "to_sparse_csc"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_dense_count_of_a_sparse_product_is_that_of_all_elements(layout, bias):
    """Of 8·24 weights each seventh is stored: 28. In one layout seven of them are zeros nevertheless."""

    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            dense = torch.zeros(8 * 24)
            dense[::7] = 1
            weight = getattr(dense.view(8, 24), layout)()
            weight.values()[:7] = 0 if layout == "to_sparse_csr" else 1
            self.weight = nn.Parameter(weight, requires_grad=False)

        def forward(self, x):
            return torch.addmm(torch.ones(8, 3), self.weight, x) if bias else self.weight @ x

    found = cnncost.effective_macs(Product(), (24, 3))
    assert (found.dense, found.macs) == (8 * 24 * 3, (21 if layout == "to_sparse_csr" else 28) * 3)


class Do(nn.Module):
    """A function of weights `w` and `b`, which may be sparse."""

    def __init__(self, run, w, b=None):
        super().__init__()
        self.run, self.w = run, nn.Parameter(w, requires_grad=False)
        self.b = None if b is None else nn.Parameter(b, requires_grad=False)

    def forward(self, *inputs):
        return self.run(self, *inputs)


def seventh(*shape):
    """Each seventh element is 1, the first of them."""
    dense = torch.zeros(shape).flatten()
    dense[::7] = 1
    return dense.view(shape)


def half(*shape):
    """The upper half of the rows is 0."""
    dense = torch.ones(shape)
    dense[: shape[0] // 2] = 0
    return dense


SEVENTH = seventh(8, 24)  # 28 of 192
PAIRS = sum(
    bool(SEVENTH[i, k]) and bool(SEVENTH[j, k]) for i in range(8) for k in range(24) for j in range(8)
)  # products of two elements that are stored, of it and its transpose
PRODUCTS = {
    # model, inputs; MACs with all zeros, MACs left, and whether these are an upper bound
    "a sparse input, a dense weight": (
        lambda s: Do(lambda m, a: a @ m.w, torch.ones(24, 3)), lambda s: [s], 8 * 24 * 3, 28 * 3, False,
    ),
    "a sparse input, a weight with zeros": (
        lambda s: Do(lambda m, a: a @ m.w, half(24, 3)), lambda s: [s], 8 * 24 * 3, 28 * 3, True,
    ),
    "a sparse input, a weight of few": (
        lambda s: Do(lambda m, a: a @ m.w, seventh(24, 7) * half(24, 7)), lambda s: [s], 8 * 24 * 7, 8 * 12, True,
    ),
    "a sparse weight from the right": (
        lambda s: Do(lambda m, x: x @ m.w, s), lambda s: [torch.ones(5, 8)], 5 * 8 * 24, 5 * 28, False,
    ),
    "a sparse weight and a vector": (
        lambda s: Do(lambda m, x: m.w @ x, s), lambda s: [torch.ones(24)], 8 * 24, 28, False,
    ),
    "two sparse factors": (
        lambda s: Do(lambda m, a: a @ m.w, SEVENTH.t().contiguous().to_sparse(layout=s.layout)), lambda s: [s],
        8 * 24 * 8, PAIRS, False,
    ),
    "a sparse and a dense weight": (
        lambda s: Do(lambda m, x: m.w @ m.b, s, half(24, 3)), lambda s: [torch.ones(1)], 8 * 24 * 3, 28 * 3, True,
    ),
    "a sparse weight turned": (
        lambda s: Do(lambda m, x: m.w.t() @ x, s), lambda s: [torch.ones(8, 3)], 24 * 8 * 3, 28 * 3, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_sparse_and_dense_factors(name, layout):
    """As many as the sparse one stores; where a dense one has zeros, too, no more than either leaves, and marked."""
    model, inputs, dense, left, bound = PRODUCTS[name]
    matrix = SEVENTH.to_sparse(layout=layout)
    found = cnncost.effective_macs(model(matrix), inputs(matrix))
    assert (found.dense, found.macs, found.in_full) == (dense, left, left if bound else 0)
    assert ("≤" in str(found)) == bound


def test_zeros_that_are_stored_meet_others():
    """By its 28 − 7 elements the weight leaves 21·8 products at most; how many of them meet one isn't counted."""
    weight, other = SEVENTH.to_sparse_csr(), SEVENTH.t().contiguous().to_sparse_csr()
    weight.values()[:7] = 0
    found = cnncost.effective_macs(Do(lambda m, x: m.w @ x, weight), (other,))
    assert (found.macs, found.in_full) == (PAIRS, PAIRS)


def test_two_dense_weights_with_zeros():
    """Half of one's rows and half of the other's columns are left: their numbers don't say which of them meet."""
    model = Do(lambda m, x: m.b @ m.w, half(6, 5), torch.ones(4, 6) * half(6, 1)[:, 0])
    found = cnncost.effective_macs(model, (1,))
    assert (found.dense, found.macs, found.in_full) == (4 * 6 * 5, 4 * 6 * 5 // 2, 4 * 6 * 5 // 2)


ADDENDS = {
    "addmm": (lambda m, x: torch.addmm(m.b, x, m.w), (4, 6), (4, 8)),
    "a row of addends": (lambda m, x: torch.addmm(m.b, x, m.w), (1, 6), (4, 8)),
    "baddbmm": (lambda m, x: torch.baddbmm(m.b, x, m.w.expand(2, 8, 6)), (2, 4, 6), (2, 4, 8)),
}


@pytest.mark.parametrize(("run", "addend", "x"), ADDENDS.values(), ids=ADDENDS)
def test_an_addend_of_zeros_is_no_factor(run, addend, x):
    """A quarter of the weight's rows are not zero, none of the addend's elements."""
    weight = torch.zeros(8, 6)
    weight[:2] = 1
    found = cnncost.effective_macs(Do(run, weight if len(x) == 2 else torch.ones(8, 6), torch.zeros(addend)), (x,))
    rows = 4 if len(x) == 2 else 2 * 4
    assert (found.macs, found.in_full) == (rows * (2 if len(x) == 2 else 8) * 6, 0)


def test_a_convolution_of_a_known_image():
    """How often a pixel takes part depends on where it is: only the kernels' zeros are skipped, and it is marked."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("image", torch.zeros(1, 3, 10, 10))
            self.conv = nn.Conv2d(3, 8, 3, bias=False)

        def forward(self, x):
            return self.conv(self.image) * x

    model = Net()
    with torch.no_grad():
        model.conv.weight[:6] = 0
    found = cnncost.effective_macs(model, (1,))
    assert (found.dense, found.macs, found.in_full) == (64 * 8 * 27, 64 * 2 * 27, 64 * 2 * 27)


def with_zeros(layer):
    """Each weight with zeros in its upper half."""
    with torch.no_grad():
        for weight in layer.parameters():
            weight[: len(weight) // 2] = 0
    return layer


def seen(run, *weights):
    """A function of a weight with zeros in its upper half."""
    return Do(run, half(*weights))


IN_FULL = {
    # a model, its inputs, its multiply-accumulates, and those of products whose weights have zeros nobody counts
    "lstm": (nn.LSTM(4, 6), [(5, 3, 4)], 5 * 3 * 4 * 6 * (4 + 6), 5 * 3 * 4 * 6 * (4 + 6)),
    "gru": (nn.GRU(4, 6), [(5, 3, 4)], 5 * 3 * 3 * 6 * (4 + 6), 5 * 3 * 3 * 6 * (4 + 6)),
    "bilinear": (nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)], 2 * 5 * (3 * 4 + 4), 2 * 5 * (3 * 4 + 4)),
    "a part of a weight": (seen(lambda m, x: F.linear(x, m.w[3:7]), 8, 6), [(2, 6)], 2 * 4 * 6, 2 * 4 * 6),
    "a part of it, turned": (seen(lambda m, x: x @ m.w[3:7].t(), 8, 6), [(2, 6)], 2 * 4 * 6, 2 * 4 * 6),
    "a function of a weight": (seen(lambda m, x: F.linear(x, m.w * 2), 8, 6), [(2, 6)], 2 * 8 * 6, 2 * 8 * 6),
    "two weights, added": (seen(lambda m, x: F.linear(x, m.w + m.w), 8, 6), [(2, 6)], 2 * 8 * 6, 2 * 8 * 6),
}


@pytest.mark.parametrize(("model", "inputs", "macs", "bound"), IN_FULL.values(), ids=IN_FULL)
def test_what_counts_in_full_although_its_weights_have_zeros(model, inputs, macs, bound):
    whole = copy.deepcopy(model)
    with torch.no_grad():
        for weight in whole.parameters():
            weight.fill_(1.0)
    found = cnncost.effective_macs(whole, tuple(inputs))
    assert (found.dense, found.macs, found.in_full) == (macs, macs, 0)
    found = cnncost.effective_macs(with_zeros(model), tuple(inputs))
    assert (found.dense, found.macs, found.in_full) == (macs, macs, bound)
    assert "≤" in str(found)


def test_the_projections_of_an_attention_layer():
    """Three parts of one weight, each in full, an upper bound; the projection of the result by its zeros."""
    layer = with_zeros(nn.MultiheadAttention(8, 2, batch_first=True))
    found = cnncost.effective_macs(layer, ((1, 4, 8), (1, 5, 8), (1, 5, 8)))
    parts, scores, out = (4 + 5 + 5) * 8 * 8, 2 * 4 * 5 * 8, 4 * 8 * 8
    assert (found.dense, found.macs, found.in_full) == (parts + scores + out, parts + scores + out // 2, parts)


def test_an_activation_is_none_of_the_weights():
    """A result of a weight with zeros, a mask of scores: products that they go into count as they are."""
    weight = half(6, 6)
    found = cnncost.effective_macs(Do(lambda m, x: (x @ m.w) @ x.t(), weight), ((4, 6),))
    assert (found.dense, found.macs, found.in_full) == (4 * 6 * 6 + 4 * 6 * 4, 4 * 6 * 3 + 4 * 6 * 4, 0)
    scores = Do(lambda m, x: F.scaled_dot_product_attention(x, x, x, attn_mask=m.w[:4, :4]), weight)
    found = cnncost.effective_macs(scores, ((1, 4, 6),))
    assert (found.macs, found.in_full) == (2 * 4 * 4 * 6, 0)


def without_columns(*columns):
    weight = torch.ones(4, 4)
    weight[:, list(columns)] = 0
    return weight


class Uses(nn.Module):
    def __init__(self, weight, use):
        super().__init__()
        self.weight, self.use = nn.Parameter(weight), use

    def forward(self, x):
        return self.use(x, self.weight)


HALF = without_columns(1, 3)
MADE_OF_WEIGHTS = {
    "overlapping windows": (without_columns(1, 2, 3), lambda x, w: x @ w.as_strided((4, 4), (4, 0)), 16),
    "padded with ones": (torch.zeros(4, 4), lambda x, w: x @ F.pad(w, (0, 1), value=1.0), 4),
    "a diagonal that is filled": (torch.zeros(4, 4), lambda x, w: x @ w.clone().fill_diagonal_(1.0), 4),
    "both triangles": (torch.ones(4, 4).triu(), lambda x, w: F.linear(x, w.tril()), 4),
    "a triangle of a full weight": (torch.ones(4, 4), lambda x, w: F.linear(x, w.tril()), 10),
    "picked rows": (HALF, lambda x, w: x @ w[torch.arange(4)], 8),
    "normalized": (HALF, lambda x, w: x @ (w / w.norm()), 8),
    "copied into another": (HALF, lambda x, w: x @ torch.empty(4, 4).copy_(w), 8),
    "in an activation's place": (HALF, lambda x, w: F.linear(w, torch.ones(4, 4)), 32),
    "looked up": (HALF, lambda x, w: F.embedding(torch.arange(4), w).t() @ x.t(), 8),
}
"""A weight, what is done with it, and the products whose factors are both not zero, counted by hand."""


@pytest.mark.parametrize("name", MADE_OF_WEIGHTS)
def test_what_is_made_of_weights_is_counted_exactly_or_marked(name):
    weight, use, exact = MADE_OF_WEIGHTS[name]
    found = cnncost.effective_macs(Uses(weight, use), torch.ones(1, 4))
    assert found.macs >= exact
    assert found.in_full == found.macs


@pytest.mark.parametrize(
    "use",
    [lambda x, w: x @ w, lambda x, w: F.linear(x, w.t()), lambda x, w: x @ w.flip(0).contiguous(),
     lambda x, w: x @ w.reshape(2, 8).reshape(4, 4)],
)  # fmt: skip
def test_what_only_moves_a_weights_elements_is_exact(use):
    found = cnncost.effective_macs(Uses(HALF, use), torch.ones(1, 4))
    assert (found.dense, found.macs, found.in_full) == (16, 8, 0)


TAKEN = {
    "a module and an array": lambda path: (nn.Linear(4, 3), np.zeros((2, 4), np.float32)),
    "a path": lambda path: (path, "2x4"),
    "a specification": lambda path: (f"{path}:Net", np.zeros((2, 4), np.float32)),
    "an exported program": lambda path: (torch.export.export(nn.Linear(4, 3), (torch.zeros(2, 4),)), None),
}


@pytest.mark.parametrize("activations", [False, True])
@pytest.mark.parametrize("name", TAKEN)
def test_it_takes_what_analyze_takes(tmp_path, name, activations):
    (tmp_path / "net.py").write_text("import torch\nclass Net(torch.nn.Linear):\n    def __init__(self):\n"
                                     "        super().__init__(4, 3)\n")  # fmt: skip
    model, inputs = TAKEN[name](tmp_path / "net.py")
    found = cnncost.effective_macs(model, inputs, activations=activations)
    assert found.dense == 2 * 4 * 3
    assert "\n" not in repr(found)
    assert len(repr(found)) < 300


def test_a_method_is_refused():
    with pytest.raises(cnncost.CnncostError, match="give the model alone"):
        cnncost.effective_macs("lenet5#features", "1x1x32x32")


class Exponential(nn.Module):
    """A linear layer of 3·3, and an op without a rule in the model itself."""

    def __init__(self, recurrent=False):
        super().__init__()
        self.layer = nn.RNN(3, 3, bias=False) if recurrent else nn.Linear(3, 3, bias=False)
        nn.init.zeros_(self.layer.weight_hh_l0 if recurrent else self.layer.weight[0])
        self.recurrent = recurrent

    def forward(self, x):
        return torch.matrix_exp(self.layer(x)[0] if self.recurrent else self.layer(x))


@pytest.mark.parametrize("activations", [False, True], ids=["weights", "activations"])
def test_ops_without_a_rule_make_lower_bounds(activations):
    found = cnncost.effective_macs(Exponential(), torch.ones(3, 3), activations=activations)
    assert (found.dense, found.macs, found.in_full) == (27, 18, 0)
    assert [path for path, _ in found.unknown] == [""]
    assert repr(found).startswith("<Effective: >=18 of >=27 MACs")
    text = " ".join(str(found).split())
    assert "total ≥27 ≥18" in text
    assert "layer 27 18" in text
    assert "≥: at least, because products of ops without a rule are missing (aten." in text
    assert "≤:" not in text


def test_ops_without_a_rule_and_zeros_that_are_counted_make_no_bound():
    found = cnncost.effective_macs(Exponential(recurrent=True), torch.ones(3, 3))
    assert found.in_full == found.macs > 0
    assert repr(found).startswith("<Effective: ~")
    assert "~: can be larger or smaller" in str(found)
