"""Networks of the zoo and from papers, compared with poisoning their input."""

from __future__ import annotations

import pytest
import torch

import cnncost
from cnncost import zoo
from tests.oracles.nan_probe import Probe
from tests.passes.receptive_field import networks
from tests.samples import sample

torch.set_num_threads(1)

UNITS = [
    # network, layer, rows of the layer to check
    ("lenet5", "c1", (0, 13, 27)),
    ("lenet5", "s4", (0, 2, 4)),
    ("lenet5", "c5", (0,)),
    ("lenet1", "h4", (0, 1, 3)),
    ("conv6_pool", "pool1", (0, 7, 13)),
    ("alexnet", "features.conv5", (0, 6, 12)),
    ("alexnet", "features.pool5", (0, 5)),
    ("alexnet_two_gpu", "features.pool5", (0, 5)),
    ("vgg11", "features.pool5", (0, 3, 6)),
    ("vgg16", "features.conv4_3", (0, 14, 27)),
    ("resnet18", "layer1", (0, 28, 55)),
    ("resnet18", "layer3.1", (0, 7, 13)),
    ("resnet18", "layer4", (0, 3, 6)),
    ("resnet50", "layer3.0.conv2", (0, 7)),
]
COLUMNS = {"alexnet": 67, "alexnet_two_gpu": 67}  # 11x11 in steps of 4, and three poolings by 3x3


@pytest.mark.parametrize(("name", "layer", "rows"), sample(UNITS, 7), ids=str)
def test_rows_of_the_zoo(name, layer, rows):
    """Only rows are poisoned, and images are as narrow as all poolings allow, to keep it fast."""
    report = cnncost.analyze(name)
    *_, channels, height, width = zoo.entry(name).input_shape
    torch.manual_seed(0)
    model = zoo.build(name)
    probe = Probe(model, layer, [torch.randn(1, channels, height, min(width, COLUMNS.get(name, 32)))])
    middle = report.receptive_fields.units(_call(report, layer))[3] // 2
    for row in rows:
        box = report.receptive_field(layer, unit=(row, middle)).box
        assert probe.hull(2, {2: row}) == box[0], row


def _call(report, layer):
    graph = report.graph
    return next(i for i in range(len(graph.calls)) if graph.call_path(i) == layer)


@pytest.mark.parametrize(
    ("build", "layer", "rows"),
    [
        (networks.mobilenet_v2, "", (0, 3, 6)),
        (networks.densenet121, "35", (0, 7, 13)),
        (networks.Swin, "windows", (0, 20, 55)),
        (networks.Swin, "shifted", (0, 20, 55)),
        (networks.Swin, "", (0, 13, 27)),
    ],
)
def test_rows_of_other_networks(build, layer, rows):
    torch.manual_seed(0)
    model = build()
    report = cnncost.analyze(model, (1, 3, 224, 56))
    probe = Probe(model, layer, [torch.randn(1, 3, 224, 56)])
    for row in rows:
        assert probe.hull(2, {2: row}) == report.receptive_field(layer, unit=(row, 0)).box[0], row
