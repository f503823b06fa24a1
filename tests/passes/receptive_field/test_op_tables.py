"""A sample of torch's own tables of ops and modules, between two convolutions, against poisoning.

`python tests/conformance/torch_fields.py` runs all of them.
"""

from __future__ import annotations

import logging

import pytest
import torch

from tests.conformance.torch_fields import judged, samples

torch.set_num_threads(1)

OPS = """
nn.functional.conv2d nn.functional.conv_transpose2d nn.functional.max_pool2d
nn.functional.avg_pool2d nn.functional.adaptive_avg_pool2d nn.functional.adaptive_max_pool1d
nn.functional.interpolate.nearest nn.functional.interpolate.bilinear nn.functional.pad.reflect
nn.functional.pad.circular nn.functional.pad.replicate nn.functional.unfold nn.functional.pixel_shuffle
nn.functional.pixel_unshuffle nn.functional.instance_norm nn.functional.group_norm nn.functional.layer_norm
nn.functional.batch_norm nn.functional.glu nn.functional.softmin nn.functional.local_response_norm
nn.functional.scaled_dot_product_attention
softmax cumsum diagonal unfold roll flip rot90 repeat_interleave cat
split movedim transpose expand var std_mean baddbmm einsum
linalg.cross fft.fft fft.irfft normal tril kthvalue diff cummax
""".split()
MODULES = """
nn.Conv2d nn.ConvTranspose1d nn.LPPool2d nn.AdaptiveAvgPool2d nn.ReflectionPad2d
nn.CircularPad2d nn.InstanceNorm2d nn.GroupNorm nn.LayerNorm nn.BatchNorm2d
nn.PReLU
""".split()
TABLES = [("float32", name) for name in OPS] + [("modules", name) for name in MODULES]


@pytest.mark.parametrize(("table", "name"), TABLES)
@pytest.mark.filterwarnings("ignore")
def test_units_around_an_op_match_poisoning(table, name):
    logging.disable()
    try:
        outcomes = {(sample.number, *judged(sample)) for sample in samples(table, 1, name) if sample.name == name}
    finally:
        logging.disable(logging.NOTSET)
    assert outcomes
    assert {outcome for _, outcome, _ in outcomes} <= {"right", "by definition"}, outcomes
