"""The reference networks: all by torch's counter, those with a cheap forward by fvcore, too."""

import warnings

import pytest
import torch
from fvcore.nn import FlopCountAnalysis

from cnncost import zoo
from cnncost.verify import verify


@pytest.mark.parametrize("name", zoo.names())
def test_every_difference_from_torchs_counter_is_explained(name):
    found = verify(name, with_fvcore=False)
    (torchs,) = found.peers
    assert torchs.total == 2 * found.macs
    assert torchs.unexplained == ()
    assert found.explained


@pytest.mark.parametrize("name", ["lenet1", "lenet5", "lenet5_modern", "conv6_16", "resnet18"])
def test_every_difference_from_fvcore_is_explained(name):
    found = verify(name)
    assert found.peers[0].total is not None
    assert found.peers[0].unexplained == ()
    assert found.explained


def test_resnet18_differs_by_its_norms_and_its_pooling():
    fvcore = verify("resnet18").peers[0]
    # outputs of the stem, then of each stage's four norms and of the three shortcuts, 2 FLOPs each
    normed = 64 * 112**2 + 4 * 64 * 56**2 + 5 * 128 * 28**2 + 5 * 256 * 14**2 + 5 * 512 * 7**2
    assert {row.op: row.difference for row in fvcore.explanations if row.difference} == {
        "norm": 2 * normed,
        "adaptive_pool": 512 * 7**2,
    }


def test_fvcores_number_does_not_depend_on_the_weights_being_zeros():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(zoo.build("resnet18").eval(), torch.zeros(1, 3, 224, 224))
        analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
        assert verify("resnet18").peers[0].total == analysis.total()
