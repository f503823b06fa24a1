"""Figures that other tools publish or test, each derived again here, with the differences in convention."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F


def _lenet_like():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(576, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def _lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10), nn.Softmax(1),
    )  # fmt: skip


def _three_net():
    return nn.Sequential(nn.Conv2d(2, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3), nn.Linear(3, 1))


def _scores(q, k):
    return torch.einsum("bhqd,bhkd->bhqk", q, k)


@pytest.mark.parametrize(
    ("model", "inputs", "published", "derived"),
    [
        pytest.param(
            _three_net(), [(4, 2, 10, 10)], 4000 + 60 + 12, 4 * 5 * 100 * 2 + 4 * 5 * 3 + 4 * 3 * 1,
            id="fvcore's test net: convolution, two linear layers",
        ),
        pytest.param(
            nn.ConvTranspose2d(32, 1, 3), [(1, 32, 1, 1)], 288, 32 * 1 * 1 * 9, id="fvcore: one place spread over 3·3"
        ),
        pytest.param(
            _lenet_like(), [(1, 1, 32, 32)], 274_656,
            6 * 30 * 30 * 9 + 16 * 13 * 13 * 6 * 9 + 576 * 120 + 120 * 84 + 84 * 10,
            id="fvcore's guide: 48,600 + 146,016 + 69,120 + 10,080 + 840",
        ),
        pytest.param(
            nn.Sequential(nn.Conv2d(3, 10, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1000, 10)), [(1, 3, 10, 10)], 13_000,
            10 * 100 * 3 + 1000 * 10, id="fvcore's docstring: 3,000 + 10,000",
        ),
        pytest.param(nn.LSTM(16, 32), [(5, 1, 16)], 30_720, 5 * 4 * 32 * (16 + 32), id="torchprofile: an LSTM"),
        pytest.param(
            nn.LSTM(32, 64, 2, bidirectional=True), [(10, 1, 32)], 1_474_560, 10 * 2 * 4 * 64 * (32 + 64 + 128 + 64),
            id="torchprofile: an LSTM of two layers both ways",
        ),
        pytest.param(
            nn.Conv2d(3, 16, 3, padding=1), [(1, 3, 8, 8)], 27_648, 16 * 64 * 3 * 9, id="torchprofile: a convolution"
        ),
        pytest.param(
            nn.Conv2d(16, 16, 3, padding=1, groups=16), [(1, 16, 8, 8)], 9_216, 16 * 64 * 1 * 9,
            id="torchprofile: depthwise",
        ),
        pytest.param(
            _scores, [(1, 8, 16, 64), (1, 8, 16, 64)], 131_072, 8 * 16 * 16 * 64, id="torchprofile: scores by einsum"
        ),
        pytest.param(
            nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), [(2, 4, 8, 8)], 49_152, 2 * 4 * 64 * 6 * 16,
            id="DeepSpeed: transposed",
        ),
        pytest.param(
            nn.ConvTranspose2d(4, 4, 3, groups=4), [(2, 4, 8, 8)], 4_608, 2 * 4 * 64 * 1 * 9,
            id="DeepSpeed: transposed, depthwise",
        ),
        pytest.param(
            nn.ConvTranspose2d(6, 6, 2, stride=2, groups=3), [(2, 6, 8, 8)], 6_144, 2 * 6 * 64 * 2 * 4,
            id="DeepSpeed: transposed, three groups",
        ),
        pytest.param(
            _lenet5(), [(1024, 1, 32, 32)], 426_516_480,
            1024 * (6 * 784 * 25 + 16 * 100 * 150 + 120 * 400 + 120 * 84 + 84 * 10),
            id="DeepSpeed: LeNet-5 on 1024 images",
        ),
        pytest.param(
            nn.ConvTranspose2d(3, 1, 2, stride=2), [(1, 3, 2, 2)], 48, 3 * 4 * 1 * 4, id="ptflops: 48 products, not 208"
        ),
        pytest.param(
            lambda x, w: F.conv2d(x, w, padding=1), [(2, 3, 6, 6), (6, 3, 4, 4)], 28_800 // 2, 2 * 6 * 5 * 5 * 3 * 16,
            id="torch: a convolution of 28,800 FLOPs",
        ),
        pytest.param(torch.mm, [(4, 5), (5, 6)], 240 // 2, 4 * 5 * 6, id="torch: a product of 240 FLOPs"),
        pytest.param(
            nn.Sequential(*[nn.Conv2d(64, 64, 3, padding=1, bias=False, device="meta") for _ in range(4)]),
            [(1, 64, 56, 56)], 924_844_032 // 2, 4 * 64 * 56 * 56 * 64 * 9,
            id="torch: the first layer of a ResNet-18",
        ),
        pytest.param(nn.Conv2d(3, 10, 3), [(1, 3, 10, 10)], 17_280, 10 * 64 * 3 * 9, id="mmengine: a convolution"),
    ],
)  # fmt: skip
def test_macs(counted, model, inputs, published, derived):
    assert derived == published
    assert counted(model, *inputs)[0] == published


@pytest.mark.parametrize(
    ("layer", "x", "published", "products", "biases"),
    [
        pytest.param(nn.Conv2d(3, 2, 3), (1, 3, 224, 224), 2_759_904, 2 * 222**2 * 27, 2 * 222**2, id="convolution"),
        pytest.param(
            nn.ConvTranspose2d(3, 2, 3, stride=2), (1, 3, 224, 224), 3_112_706, 3 * 224**2 * 2 * 9, 2 * 449**2,
            id="transposed",
        ),
        pytest.param(nn.Linear(3, 2), (1, 3), 8, 6, 2, id="linear"),
    ],
)  # fmt: skip
def test_ptflops_counts_a_bias_as_a_mac(counted, layer, x, published, products, biases):
    """Its figures are our MACs plus the bias additions."""
    assert products + biases == published
    assert counted(layer, x) == (products, 2 * products + biases)


class _Tagger(nn.Module):
    """Embedding of 20 words, two LSTM layers, decoder."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 300)
        self.encoder = nn.LSTM(300, 512, num_layers=2, batch_first=True)
        self.decoder = nn.Linear(512, 20)

    def forward(self, x):
        return self.decoder(self.encoder(self.embedding(x))[0])


def test_torchinfo_counts_the_biases_of_an_lstm(analyze):
    """3,784,580 parameters and 377.86 M: its figure counts each parameter except the embedding's once per step."""
    with torch.device("meta"):
        totals = analyze(_Tagger(), "1x100:int64").totals
    assert totals.params == 20 * 300 + 4 * 512 * (300 + 512 + 2) + 4 * 512 * (512 + 512 + 2) + 512 * 20 + 20
    assert totals.params == 3_784_580
    assert totals.macs == 100 * (4 * 512 * (300 + 512 + 512 + 512) + 512 * 20)
    biases = 100 * (2 * 4 * 512 * 2 + 20)
    assert round((totals.macs + biases) / 1e6, 2) == 377.86


def test_parameters_of_published_layers(analyze):
    assert analyze(nn.Conv2d(3, 10, 3), (1, 3, 10, 10)).totals.params == 280  # mmengine
    assert analyze(_lenet5(), (1, 1, 32, 32)).totals.params == 61_706  # DeepSpeed


def test_flops_of_lenet5_are_within_what_deepspeed_allows(counted):
    """866,076,672, to 5 % as in its own test: counts of activations and pools are a convention."""
    _, flops = counted(_lenet5(), (1024, 1, 32, 32))
    assert flops == pytest.approx(866_076_672, rel=0.05)


def test_an_adaptive_pool_of_fvcores_net(analyze):
    """It counts the averaged elements, as we do: 4·5·10·10."""
    report = analyze(_three_net(), (4, 2, 10, 10))
    assert report.layer("1").flops == 2000


def test_a_shared_layer_runs_three_times_and_has_its_parameters_once(analyze):
    """DeepSpeed: 60 K FLOPs; the biases are 300 more."""

    class Parent(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x)

    shared = nn.Linear(100, 100)
    totals = analyze(nn.Sequential(*[Parent(shared) for _ in range(3)]), (1, 100)).totals
    assert (totals.macs, totals.flops) == (30_000, 60_000 + 300)
    assert totals.params == 100 * 100 + 100


def test_a_vision_transformer_with_its_attention(analyze):
    """ViT-B/16: published as 17.57 G, and as 16.86 G by a tool that misses attention's products."""
    with torch.device("meta"):
        layer = nn.TransformerEncoderLayer(768, 12, 3072, activation="gelu", batch_first=True, norm_first=True)
        encoder = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False).eval()
        patches, head = nn.Conv2d(3, 768, 16, 16), nn.Linear(768, 1000)
    parts = [
        analyze(patches, (1, 3, 224, 224)).totals.macs,
        analyze(encoder, (1, 197, 768)).totals.macs,
        analyze(head, (1, 768)).totals.macs,
    ]
    attention = 12 * 2 * 197**2 * 768
    assert parts == [196 * 768 * 768, 12 * (4 * 197 * 768**2 + 2 * 197 * 768 * 3072) + attention, 768 * 1000]
    assert sum(parts) == pytest.approx(17.57e9, rel=1e-3)
    assert sum(parts) - attention == pytest.approx(16.86e9, rel=1e-3)
