"""Estimated workspaces of CPU kernels: by rules derived by hand, and compared with the allocator's events."""

import random

import pytest
import torch
from torch import nn

import cnncost
from cnncost.devices.kernels import LANES, in_words, kernels
from cnncost.errors import InputError
from cnncost.graph import OpSpec, TensorType
from cnncost.ops.workspace import Kernels, workspace_of
from tests.oracles.allocations import peaks

ONE = Kernels(lanes=8, threads=1)
TWO = Kernels(lanes=8, threads=2)
WIDE = Kernels(lanes=16, threads=1)


def geometry(kernel, stride=1, padding=0, groups=1, transposed=False, dilation=1, **more):
    axes = len(kernel)
    return tuple(
        {
            "kernel": kernel, "stride": (stride,) * axes, "dilation": (dilation,) * axes,
            "padding": padding if isinstance(padding, str) else (padding,) * axes,
            "groups": groups, "transposed": transposed, "output_padding": (0,) * axes, "bias": False, **more,
        }.items()
    )  # fmt: skip


def forward(x, w, y, **how):
    given = tuple(TensorType(shape, "float32") for shape in (x, w))
    return OpSpec("conv", given, (TensorType(y, "float32"),), geometry(w[2:], **how))


def backward(x, w, y, **how):
    grad, *given = (TensorType(shape, "float32") for shape in (y, x, w))
    how = {"of_input": True, "of_weight": True} | how
    return OpSpec("conv_backward", (grad, *given), tuple(given), geometry(w[2:], **how))


@pytest.mark.parametrize(
    ("spec", "by", "expected"),
    [
        pytest.param(
            forward((2, 64, 16, 16), (64, 64, 3, 3), (2, 64, 16, 16), padding=1), ONE,
            4 * (2 * 64 * 256 + 64 * 64 * 9), id="copies of both operands, the result in blocks in the output's place",
        ),
        pytest.param(
            forward((2, 3, 64, 64), (64, 3, 7, 7), (2, 64, 32, 32), stride=2, padding=3), ONE,
            4 * 2 * 64 * 1024, id="few channels are read as they are: the result twice is more than weights and it",
        ),
        pytest.param(
            forward((2, 12, 16, 16), (20, 12, 3, 3), (2, 20, 16, 16), padding=1), ONE,
            4 * (2 * 16 * 256 + 24 * 16 * 9 + 2 * 24 * 256 - 2 * 20 * 256), id="channels are filled up to blocks of 8",
        ),
        pytest.param(
            forward((2, 12, 16, 16), (20, 12, 3, 3), (2, 20, 16, 16), padding=1), WIDE,
            4 * 2 * 32 * 256, id="to blocks of 16 with AVX-512, which reads 12 channels as they are: the result twice",
        ),
        pytest.param(
            forward((2, 64, 16, 16), (64, 1, 3, 3), (2, 64, 16, 16), padding=1, groups=64), ONE,
            4 * (2 * 64 * 256 + 64 * 9), id="depthwise",
        ),
        pytest.param(forward((2, 64, 16, 16), (64, 64, 1, 1), (2, 64, 16, 16)), ONE, 0, id="1x1 by one thread"),
        pytest.param(
            forward((2, 64, 16, 16), (64, 64, 1, 1), (2, 64, 16, 16)), TWO, 4 * (2 * 64 * 256 + 64 * 64),
            id="1x1 by two threads",
        ),
        pytest.param(
            forward((2, 48, 8, 8), (48, 12, 3, 3), (2, 48, 8, 8), padding=1, groups=4), ONE,
            4 * max(2 * 48 * 64, 12 * 9 * 64), id="groups of half blocks: columns, or the result twice",
        ),
        pytest.param(
            forward((1, 16, 16, 16), (8, 16, 3, 3), (1, 8, 16, 16), padding=1), ONE, 4 * 16 * 9 * 256,
            id="a small image: columns",
        ),
        pytest.param(
            backward((2, 64, 16, 16), (64, 64, 3, 3), (2, 64, 16, 16), padding=1), ONE,
            4 * (3 * 2 * 64 * 256 + 64 * 64 * 9) - 4 * (2 * 64 * 256 + 64 * 64 * 9),
            id="backward: the weights' gradient beside that of the input",
        ),
        pytest.param(
            backward((8, 64, 28, 28), (64, 64, 3, 3), (8, 64, 14, 14), padding=1, stride=2), ONE,
            4 * (3 * 8 * 64 * 784) - 4 * (8 * 64 * 784 + 64 * 64 * 9), id="with strides: the input's gradient thrice",
        ),
        pytest.param(
            backward((2, 3, 64, 64), (64, 3, 16, 16), (2, 64, 4, 4), stride=16), ONE,
            4 * (2 * 3 * 4096 + 64 * 768 + 4 * 64 * 768 + 768 * 16) - 4 * (2 * 3 * 4096 + 64 * 768),
            id="patches: columns, and four times the weights",
        ),
        pytest.param(
            forward((16, 16, 16), (8, 16, 3, 3), (8, 16, 16), padding=1), ONE, 4 * 16 * 9 * 256,
            id="an image without a batch axis: columns",
        ),
        pytest.param(
            forward((2, 12, 4, 8, 8), (12, 6, 3, 3, 3), (2, 12, 4, 8, 8), padding=1, groups=2), ONE,
            4 * max(6 * 27 * 64, 2 * 12 * 256), id="of a volume: columns of a slice, or the result twice",
        ),
        pytest.param(
            forward((2, 64, 16, 16), (64, 64, 7, 7), (2, 64, 16, 16), padding="same"), ONE,
            4 * (2 * 64 * 256 + 64 * 64 * 49), id="padding that keeps the size is half the kernel: in blocks up to 3",
        ),
        pytest.param(
            forward((1, 4, 32, 32), (8, 4, 3, 5), (1, 8, 30, 28)), ONE, 4 * 4 * 15 * 30 * 28,
            id="one image, small, and the kernel not wide along both sides: columns",
        ),
        pytest.param(
            forward((1, 4, 32, 32), (8, 4, 5, 5), (1, 8, 28, 28)), ONE, 4 * 8 * 784,
            id="with a wide kernel in blocks: the result twice",
        ),
        pytest.param(
            forward((2, 64, 16, 16), (64, 32, 3, 3), (2, 64, 16, 16), padding=1, groups=2), ONE,
            4 * (2 * 64 * 256 + 64 * 32 * 9), id="two groups of whole blocks: weights as they are",
        ),
        pytest.param(
            forward((2, 16, 16, 16), (8, 16, 3, 3), (2, 8, 16, 16), padding=1, layout="channels_last"), ONE,
            4 * 2 * 8 * 16 * 9 + 4120 + 4096, id="channels last: weights in order, and in one register of outputs",
        ),
        pytest.param(
            backward((2, 16, 16, 16), (16, 16, 3, 3), (2, 16, 12, 12), dilation=2, layout="channels_last"), ONE,
            4 * (16 * 16 * 9 + 16 * 9 * 144 + 4 * 16 * 16 * 9),
            id="channels last and taps apart: weights in order, columns, and four times the weights",
        ),
        pytest.param(
            backward(
                (2, 16, 16, 16), (16, 16, 3, 3), (2, 16, 12, 12), dilation=2, layout="channels_last", of_weight=False
            ),
            ONE, 4 * (2 * 16 * 16 * 9 + 16 * 9 * 144), id="of the input alone: weights in order twice, and columns",
        ),
        pytest.param(
            forward((2, 72, 8, 8), (72, 24, 3, 3), (2, 72, 8, 8), padding=1, groups=3), WIDE,
            4 * (2 * 72 * 64 + 72 * 24 * 9), id="AVX-512, groups of half blocks: copies of both operands, no columns",
        ),
        pytest.param(
            backward((2, 64, 2, 2), (64, 64, 3, 3), (2, 64, 2, 2), padding=1), WIDE,
            4 * (2 * 64 * 64 * 9 + 2 * 64 * 4) - 4 * (2 * 64 * 4 + 64 * 64 * 9),
            id="AVX-512, a kernel larger than the image: the weights' gradient in blocks, no columns",
        ),
        pytest.param(
            backward((2, 64, 2, 2), (64, 64, 3, 3), (2, 64, 2, 2), padding=1), ONE,
            4 * (5 * 64 * 64 * 9 + 64 * 9 * 4 + 2 * 64 * 4) - 4 * (2 * 64 * 4 + 64 * 64 * 9),
            id="AVX2, a kernel larger than the image: columns, and four times the weights",
        ),
        pytest.param(
            forward((2, 16, 4, 8, 8), (8, 16, 3, 1, 1), (2, 8, 4, 8, 8), padding=1), ONE, 4 * 2 * 16 * 3 * 4 * 8 * 8,
            id="a volume, and a kernel of 1 in the last two axes: torch's own, columns of all images",
        ),
        pytest.param(forward((0, 8, 8, 8), (8, 8, 3, 3), (0, 8, 6, 6)), ONE, 0, id="no image"),
        pytest.param(backward((0, 8, 8, 8), (8, 8, 3, 3), (0, 8, 6, 6)), ONE, 0, id="no image, backward"),
    ],
)  # fmt: skip
def test_by_hand(spec, by, expected):
    assert workspace_of(spec, by) == expected


@pytest.mark.parametrize("kind", ["pointwise", "no_such_op"])
def test_other_kinds_have_no_workspace(kind):
    spec = OpSpec(kind, (TensorType((2, 3), "float32"),), (TensorType((2, 3), "float32"),))
    assert workspace_of(spec, ONE) == 0


def settings(count):
    draw = random.Random(0)  # noqa: S311  # settings, no secrets
    for _ in range(count):
        channels, outs = draw.choice([3, 8, 16, 24, 40, 64]), draw.choice([8, 12, 16, 32, 64])
        kind = draw.choice(["dense", "dense", "groups", "depthwise", "transposed"])
        groups = {"groups": 2 if channels % 2 == 0 else 1, "depthwise": channels}.get(kind, 1)
        outs = channels if kind == "depthwise" else outs
        layer = nn.ConvTranspose2d if kind == "transposed" else nn.Conv2d
        side, stride = draw.choice([2, 3, 4, 5]), draw.choice([1, 1, 2])
        padding = draw.choice([0, side // 2]) if kind != "transposed" else 0
        module = layer(channels, outs, side, stride=stride, padding=padding, groups=groups)
        yield module, (draw.choice([1, 2, 4]), channels, draw.choice([8, 14, 16]), draw.choice([14, 16]))


class Scaled(nn.Module):
    """Scales the input by a parameter, so that the module behind computes its input's gradient."""

    def __init__(self, module, channels):
        super().__init__()
        self.module = module
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return self.module(x * self.scale)


HERE = {"AVX2": ONE, "AVX512": WIDE}.get(torch.backends.cpu.get_cpu_capability())


@pytest.mark.skipif(HERE is None, reason="measured with AVX2 and with AVX-512")
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_estimates_match_the_allocator(training):
    """Of 40 random convolutions, nine in ten (with AVX-512 eight) are within 2 % of the raw peak."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        errors = [_error(module, shape, training) for module, shape in settings(40)]
    finally:
        torch.set_num_threads(threads)
    assert sum(abs(error) <= 0.02 for error in errors) >= (36 if HERE is ONE else 32), errors


def _error(module, shape, training):
    model, x = Scaled(module, shape[1]), torch.randn(shape)
    before = sum(parameter.nbytes for parameter in model.parameters()) + x.nbytes

    def run(_):
        if not training:
            with torch.inference_mode():
                return model(x)
        out = model(x)
        loss = out.sum()
        loss.backward()
        return out, loss

    def clear():
        for parameter in model.parameters():
            parameter.grad = None

    found = peaks(run, clear).everything
    memory = cnncost.analyze(model, shape, training=training).memory
    return (memory.with_workspaces(HERE, training).nbytes - before) / found - 1


class Turned(nn.Module):
    """Tokens viewed as an image: channels last. With a batch of one, the batch stride decides the layout."""

    def __init__(self, one):
        super().__init__()
        self.conv = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.one = one

    def forward(self, x):
        x = torch.relu(x)
        tokens = x.as_strided((1, 256, 64), (64, 64, 1)) if self.one else x
        return self.conv(tokens.transpose(1, 2).unflatten(2, (16, 16)))


@pytest.mark.skipif(HERE is None, reason="measured with AVX2 and with AVX-512")
@pytest.mark.parametrize("one", [False, True], ids=["two images", "one, whose stride is that of a pixel"])
def test_workspaces_follow_torchs_memory_format(one):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model, shape = Turned(one), (1 if one else 2, 256, 64)
        x = torch.randn(shape)
        before = sum(parameter.nbytes for parameter in model.parameters()) + x.nbytes

        def run(_):
            with torch.inference_mode():
                return model(x)

        found = peaks(run, lambda: None).everything
    finally:
        torch.set_num_threads(threads)
    assert abs((cnncost.analyze(model, shape).memory.with_workspaces(HERE).nbytes - before) / found - 1) <= 0.02


def test_the_estimate_is_above_the_exact_peak():
    memory = cnncost.analyze("resnet18", (2, 3, 64, 64), training=True).memory
    assert memory.with_workspaces(ONE).nbytes > memory.inference_peak
    assert memory.with_workspaces(ONE, training=True).nbytes > memory.training_peak
    assert memory.with_workspaces(ONE).nbytes == memory.inference.timeline[memory.with_workspaces(ONE).node] + (
        memory.with_workspaces(ONE).workspace
    )


def test_a_stated_workspace_is_added():
    memory = cnncost.analyze("lenet5").memory
    assert memory.with_workspaces(1000).nbytes == memory.inference_peak + 1000


def test_no_estimate_without_a_recorded_step(tmp_path):
    report = cnncost.analyze("lenet5")
    with pytest.raises(cnncost.CnncostError, match="training=True"):
        report.memory.with_workspaces(training=True)
    with pytest.raises(cnncost.CnncostError, match="training_peak"):
        _ = report.memory.training_peak_with_workspaces


def test_kernels_of_this_machine(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert kernels().threads == 3
    assert kernels("avx512", 1) == Kernels(16, 1)
    assert in_words(Kernels(LANES["avx2"], 2)) == "oneDNN for AVX2, 2 threads"


@pytest.mark.parametrize("asked", ["avx2", -5, 1.5, True])
def test_invalid_kernels_are_refused(asked):
    memory = cnncost.analyze(nn.Linear(4, 2), (2, 4)).memory
    with pytest.raises(InputError, match=r"with_workspaces: expected cnncost\.devices\.kernels\.kernels") as error:
        memory.with_workspaces(asked)
    assert repr(asked) in str(error.value)
    for given in (0, 1 << 20, kernels("avx2", threads=2)):  # what the message advises
        assert memory.with_workspaces(given).nbytes >= memory.inference_peak


@pytest.mark.parametrize(("asked", "said"), [(("avx",), "'avx2' or 'avx512', got 'avx'"), (("avx2", -3), "got -3")])
def test_unknown_instruction_sets_and_thread_counts_are_refused(asked, said):
    with pytest.raises(InputError, match=f"kernels: expected .*{said}"):
        kernels(*asked)
