"""Effective counts of pruned and sparse models, by hand."""

import pytest
import torch
from torch import nn
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
    with pytest.raises(InputError, match="weights with values"):
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
