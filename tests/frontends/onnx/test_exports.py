"""Exported files, compared with the torch front end's Graph of the same module."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost.ops.check import verify_graph

pytestmark = pytest.mark.filterwarnings("ignore")


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.Hardswish(), nn.SiLU()
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = nn.functional.max_pool2d(x + self.blocks(x), 3, 2, 1)
        return self.head(x.mean((2, 3)))


class Upsampling(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(8, 12, 3, 2, 1, 1, groups=4)
        self.line = nn.ConvTranspose1d(12, 6, 4, 2, 1)

    def forward(self, x):
        return self.line(nn.functional.interpolate(self.up(x), scale_factor=2).flatten(2))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, 2, bidirectional=True, batch_first=True)
        self.gru, self.rnn = nn.GRU(32, 12), nn.RNN(12, 5)

    def forward(self, x):
        return self.rnn(self.gru(self.lstm(x)[0])[0])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Embedding(50, 16), nn.Parameter(torch.randn(1, 6, 16))
        self.qkv, self.out, self.norm = nn.Linear(16, 48), nn.Linear(16, 16), nn.LayerNorm(16)

    def forward(self, ids):
        x = self.embed(ids) + self.place
        q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        scores = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1)
        return x + self.out((scores @ v).transpose(1, 2).flatten(2))


NETWORKS = {
    Residual: torch.zeros(2, 3, 17, 16), Upsampling: torch.zeros(2, 8, 5, 6), Recurrent: torch.zeros(3, 7, 8),
    Attention: torch.zeros(3, 6, dtype=torch.int64),
}  # fmt: skip


def made(network):
    torch.manual_seed(0)
    module = network().eval()
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            for tensor in (each.weight, each.bias, each.running_mean):
                nn.init.normal_(tensor)
    return module


def exported(module, x, path, **how):
    torch.onnx.export(module, (x,), path, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, **how)
    return str(path)


@pytest.mark.parametrize("network", NETWORKS)
def test_parameters_macs_and_flops_are_those_of_the_module(tmp_path, network):
    module, x = made(network), NETWORKS[network]
    report = cnncost.analyze(exported(module, x, tmp_path / "m.onnx", do_constant_folding=False))
    verify_graph(report.graph)
    own = cnncost.analyze(module, x)
    assert (report.totals.params, report.totals.macs) == (own.totals.params, own.totals.macs)
    assert report.unknown == {}
    if network is not Attention:  # whose softmax scale, and norm, the exporter writes as ops of their own
        assert report.totals.flops == own.totals.flops


def test_rows_and_receptive_fields_are_those_of_the_module(tmp_path):
    module, x = made(Residual), NETWORKS[Residual]
    report = cnncost.analyze(exported(module, x, tmp_path / "m.onnx", do_constant_folding=False))
    own = cnncost.analyze(module, x)
    for path in ("stem", "norm", "blocks.0", "blocks.2", "head"):
        theirs, ours = ({row.path: row for row in r.layers}[path] for r in (own, report))
        assert (ours.params, ours.buffers, ours.macs, ours.output_shape) == (
            theirs.params, min(theirs.buffers, 16), theirs.macs, theirs.output_shape
        )  # fmt: skip  # torch counts the batches that a norm has seen, too, which no file has
    for path in ("stem", "blocks.0"):
        assert report.receptive_field(path) == own.receptive_field(path)


def test_a_folded_norm_leaves_a_bias_in_the_convolution(tmp_path):
    """As the exporter does by default: 8 scales and 8 shifts become 8 biases."""
    module, x = made(Residual), NETWORKS[Residual]
    torch.onnx.export(module, (x,), tmp_path / "m.onnx", dynamo=False)
    report, own = cnncost.analyze(str(tmp_path / "m.onnx")), cnncost.analyze(module, x)
    assert report.totals.params == own.totals.params - 8
    assert report.totals.macs == own.totals.macs


def test_open_axes_of_the_exporter(tmp_path):
    module, x = made(Residual), NETWORKS[Residual]
    path = exported(module, x, tmp_path / "m.onnx", input_names=["images"], do_constant_folding=False,
                    dynamic_axes={"images": {0: "batch", 2: "height"}})  # fmt: skip
    report = cnncost.analyze(path, model_args={"batch": 3, "height": 33})
    assert report.totals.macs == cnncost.analyze(module, (3, 3, 33, 16)).totals.macs


def test_memory_by_last_use(tmp_path):
    """A line of three: input 4·6·4 bytes; at the peak one tensor is read and another is written."""
    module = nn.Sequential(nn.ReLU(), nn.Sigmoid(), nn.Tanh())
    report = cnncost.analyze(exported(module, torch.zeros(4, 6), tmp_path / "m.onnx"))
    assert report.memory.inference_peak == 3 * 4 * 6 * 4
