"""Random small networks drawn by hypothesis: a list of steps, each applied to earlier feature maps."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

CHANNELS = 4
LARGEST, SMALLEST = 26, 1


class Call:
    """A function with bound arguments and a readable repr."""

    def __init__(self, function, **options) -> None:
        self.function, self.options = function, options

    def __call__(self, *maps):
        return self.function(*maps, **self.options)

    def __repr__(self) -> str:
        return f"{self.function.__name__} {self.options}"


class Step(nn.Module):
    """One step as a module, so that its output belongs to a layer."""

    def __init__(self, name: str, function, sources: tuple[int, ...]) -> None:
        super().__init__()
        self.name = name
        self.function = function
        self.sources = sources

    def forward(self, *maps):
        return self.function(*maps)

    def extra_repr(self) -> str:
        return f"{self.name} of {self.sources} {self.function if isinstance(self.function, Call) else ''}"


class Dag(nn.Module):
    """Steps in sequence; map 0 is the input."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x):
        maps = [x]
        for step in self.steps:
            maps.append(step(*(maps[i] for i in step.sources)))
        return maps[-1]


class Convolution(nn.Module):
    def __init__(self, transposed=False, **settings) -> None:
        super().__init__()
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        self.conv = kind(CHANNELS, CHANNELS, **settings)

    def forward(self, x):
        return self.conv(x)


class Excite(nn.Module):
    """Squeeze and excite (Hu et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)))


class WindowAttention(nn.Module):
    """Attention within windows, by the views of Swin (Liu et al. 2021); shifted by a roll."""

    def __init__(self, size: int, shift: int, heads: int = 1) -> None:
        super().__init__()
        self.size, self.shift, self.heads = size, shift, heads
        self.qkv, self.out = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x):
        b, c, h, w = x.shape
        n = self.size
        x = F.pad(x, (0, -w % n, 0, -h % n)).permute(0, 2, 3, 1)
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        rows, columns = x.shape[1] // n, x.shape[2] // n
        x = x.view(b, rows, n, columns, n, c).transpose(2, 3).reshape(b * rows * columns, n * n, c)
        q, k, v = self.qkv(x).reshape(-1, n * n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(-1, n * n, c)
        x = self.out(x).view(b, rows, columns, n, n, c).transpose(2, 3).reshape(b, rows * n, columns * n, c)
        if self.shift:
            x = torch.roll(x, (self.shift, self.shift), (1, 2))
        return x.permute(0, 3, 1, 2)[:, :, :h, :w].contiguous()


class ChannelsLast(nn.Module):
    """Permute, layer norm, linear, permute back, as in ConvNeXt (Liu et al. 2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x):
        return self.fc(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class HalfConvolved(nn.Module):
    """Half of the channels bypass a convolution; optionally followed by a channel shuffle (Ma et al. 2018)."""

    def __init__(self, kernel: int, shuffled: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS // 2, CHANNELS // 2, kernel, padding=kernel // 2, groups=CHANNELS // 2)
        self.shuffled = shuffled

    def forward(self, x):
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, self.conv(right)[..., : left.shape[-2], : left.shape[-1]]], dim=1)
        if self.shuffled:
            b, c, h, w = x.shape
            x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        return x


class FirstHalf(nn.Module):
    def forward(self, x):
        half = x[:, : CHANNELS // 2]
        return torch.cat([half, half], 1)


def overlap(*maps):
    """Crop all maps to the size of the smallest."""
    h, w = min(m.shape[2] for m in maps), min(m.shape[3] for m in maps)
    return [m[:, :, :h, :w] for m in maps]


def pixel_views(x):
    """Pixel shuffle by views."""
    b, c, h, w = x.shape
    return x.view(b, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, c // 4, 2 * h, 2 * w)


def repeated(x):
    return x.repeat(1, CHANNELS // x.shape[1], 1, 1)


def _conv(draw, transposed=False):
    k = (draw(st.integers(1, 4)), draw(st.integers(1, 3)))
    s = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    d = (draw(st.integers(1, 2)), 1)
    p = tuple(draw(st.integers(0, max(0, (n - 1) * m))) for n, m in zip(k, d, strict=True))
    return Convolution(
        transposed, kernel_size=k, stride=s, dilation=d, padding=p, groups=draw(st.sampled_from([1, 2, 4]))
    )


def _pool(draw, kind):
    k = draw(st.integers(1, 3))
    options = {"dilation": draw(st.integers(1, 2))} if kind is nn.MaxPool2d else {}
    return kind(k, draw(st.integers(1, 3)), draw(st.integers(0, k // 2)), ceil_mode=draw(st.booleans()), **options)


def _resize(draw):
    mode = draw(st.sampled_from(["nearest", "nearest-exact", "bilinear", "bicubic"]))
    align = draw(st.booleans()) if mode in {"bilinear", "bicubic"} else None
    if draw(st.booleans()):
        scale = draw(st.sampled_from([0.5, 1.5, 2.0, (2.0, 0.75)]))
        return Call(F.interpolate, scale_factor=scale, mode=mode, align_corners=align)
    size = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    # torch 2.13 filters a map of width 1 by the wrong rows: rows 7, 0, 0 shrink to 4.375, 4.375
    smooth = size[1] > 1 and mode in {"bilinear", "bicubic"} and draw(st.booleans())
    return Call(F.interpolate, size=size, mode=mode, align_corners=align, antialias=smooth)


def _pad(draw):
    mode = draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    pad = draw(st.tuples(*[st.integers(0, 2)] * 4))
    return Call(F.pad, pad=pad, mode=mode)


def _fold(draw):
    k, s, p, d = (draw(st.integers(low, high)) for low, high in ((1, 3), (1, 2), (0, 1), (1, 2)))

    def function(x):
        blocks = F.unfold(x, k, d, p, s).relu()
        return F.fold(blocks, x.shape[2:], k, d, p, s)

    return function


def tiled(x, rows, columns):
    """Tile the map, and crop the middle."""
    return x.repeat(1, 1, rows, columns)[:, :, 1:-1]


def tile(x, columns):
    return torch.tile(x, (1, columns))


def blocks(x, size, step):
    """Maximum over windows of rows, cut by `unfold`."""
    return x.unfold(2, size, step).amax(-1)


def blocks_beside(x, size, step):
    """Windows along columns, concatenated."""
    return x.unfold(3, size, step).flatten(3)


def columns_of_blocks(x, kernel, stride):
    """im2col by `F.unfold`, the blocks viewed as a map again."""
    rows = (x.shape[2] - kernel) // stride + 1
    found = F.unfold(x, kernel, stride=stride)
    return found.view(1, CHANNELS, -1, rows, found.shape[2] // rows).amax(2)


def looked_up(x, weight):
    """Look up an embedding for each pixel; NaN pixels stay NaN."""
    ids = torch.zeros_like(x[:, 0], dtype=torch.int64)
    return F.embedding(ids, weight).permute(0, 3, 1, 2) * x.sum(1, keepdim=True)


def grouped_heads(q, k, heads):
    """Grouped-query attention: one query head per channel, fewer key heads."""
    (h, w), tokens = q.shape[2:], lambda x: x.flatten(2).unsqueeze(-1)
    k = tokens(k)[:, :heads]
    return F.scaled_dot_product_attention(tokens(q), k, k, enable_gqa=True).view(1, CHANNELS, h, w)


def turned(x):
    return x.mT


def cut_and_wrapped(x, before, after):
    """Circular padding, negative on one side; wrapping more rows than remain would read unset memory in torch."""
    after = min(after, x.shape[2] + min(before, 0))
    return F.pad(x, (-1, 2, before, after), mode="circular")


def picked(x, rows):
    return x[:, :, torch.tensor(rows) % x.shape[2]]


def picked_pairs(x, rows):
    """Index rows and columns together, which gives one axis."""
    index = torch.tensor(rows)
    return x[:, :, index % x.shape[2], (index + 1) % x.shape[3]].unsqueeze(2)


def gathered(x, rows):
    index = (torch.tensor(rows) % x.shape[3]).view(1, 1, 1, -1)
    return x.gather(3, index.expand(*x.shape[:3], -1))


def transformed(x, axis):
    return torch.fft.rfft(x, dim=axis).abs()


def over_rows(x):
    """A linear layer over rows, with one more row in the output."""
    n = x.shape[2]
    return F.linear(x.mT, torch.ones(n + 1, n) / n).mT


def gated(x, axis):
    """GLU: one half of an axis gates the other."""
    n = x.shape[axis] // 2 * 2
    return F.glu(x.narrow(axis, 0, n), axis)


def across(x, axis):
    return torch.linalg.cross(x.narrow(axis, 0, 3), x.narrow(axis, 0, 3) + 1, dim=axis)


def crop(x, top, right):
    return x[:, :, top:, : x.shape[3] - right]


def every(x, start, step):
    return x[:, :, start::step]


def one_row(x, index):
    return x[:, :, index % x.shape[2]].unsqueeze(2)


def mean_over(x, axis):
    return x.mean(axis, keepdim=True).expand_as(x)


def shuffled(x):
    return repeated(F.pixel_shuffle(x, 2))


def shuffled_by_views(x):
    return repeated(pixel_views(x))


def unshuffled(x):
    return F.pixel_unshuffle(x[:, :1, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2], 2)


def relu(x):
    return F.relu(x + 1)


def add(x, y):
    x, y = overlap(x, y)
    return x + y


def some_channels(x, y, start):
    return torch.cat(overlap(x, y), 1)[:, start : start + CHANNELS]


def rows_joined(x, y):
    width = min(x.shape[3], y.shape[3])
    return torch.cat([x[..., :width], y[..., :width]], 2)


def largest(x, y):
    return torch.stack(overlap(x, y), 1).amax(1)


def attended(x, y):
    return torch.einsum("bchw,bcij->bcij", x, y) * 0.1


AXES, ANY = st.integers(2, 3), st.integers(0, 3)
ROWS = st.lists(st.integers(0, 12), min_size=1, max_size=6)

STEPS = {
    "conv": _conv,
    "transposed conv": lambda draw: _conv(draw, transposed=True),
    "max pool": lambda draw: _pool(draw, nn.MaxPool2d),
    "avg pool": lambda draw: _pool(draw, nn.AvgPool2d),
    "adaptive pool": lambda draw: nn.AdaptiveAvgPool2d((draw(st.integers(1, 7)), draw(st.integers(1, 7)))),
    "resize": _resize,
    "pad": _pad,
    "crop": lambda draw: Call(crop, top=draw(ANY), right=draw(ANY)),
    "step": lambda draw: Call(every, start=draw(st.integers(0, 2)), step=draw(st.integers(1, 3))),
    "roll": lambda draw: Call(torch.roll, shifts=draw(st.integers(-4, 4)), dims=draw(AXES)),
    "flip": lambda draw: Call(torch.flip, dims=(draw(AXES),)),
    "rot90": lambda draw: Call(torch.rot90, k=draw(st.integers(-1, 4)), dims=(2, 3)),
    "transpose": lambda _: Call(torch.transpose, dim0=2, dim1=3),
    "shuffle": lambda _: shuffled,
    "shuffle by views": lambda _: shuffled_by_views,
    "unshuffle": lambda _: unshuffled,
    "excite": lambda _: Excite(),
    "windows": lambda draw: WindowAttention(draw(st.integers(1, 4)), draw(st.integers(0, 2)), draw(st.integers(1, 2))),
    "channels last": lambda _: ChannelsLast(),
    "half": lambda draw: HalfConvolved(draw(st.integers(1, 3)), draw(st.booleans())),
    "first half": lambda _: FirstHalf(),
    "group norm": lambda _: nn.GroupNorm(2, CHANNELS),
    "batch norm": lambda _: nn.BatchNorm2d(CHANNELS),
    "softmax": lambda draw: Call(torch.softmax, dim=draw(st.integers(1, 3))),
    "cumsum": lambda draw: Call(torch.cumsum, dim=draw(AXES)),
    "fold": _fold,
    "relu": lambda _: relu,
    "again": lambda draw: Call(torch.repeat_interleave, repeats=2, dim=draw(AXES)),
    "row": lambda draw: Call(one_row, index=draw(st.integers(0, 9))),
    "mean": lambda draw: Call(mean_over, axis=draw(AXES)),
    "repeat": lambda draw: Call(tiled, rows=draw(st.integers(1, 2)), columns=draw(st.integers(1, 2))),
    "tile": lambda draw: Call(tile, columns=draw(st.integers(1, 2))),
    "blocks": lambda draw: Call(blocks, size=draw(st.integers(1, 3)), step=draw(st.integers(1, 3))),
    "blocks beside": lambda draw: Call(blocks_beside, size=draw(st.integers(1, 3)), step=draw(st.integers(1, 3))),
    "columns": lambda draw: Call(columns_of_blocks, kernel=draw(st.integers(1, 3)), stride=draw(st.integers(1, 2))),
    "embedding": lambda _: Call(looked_up, weight=torch.ones(2, CHANNELS)),
    "mT": lambda _: turned,
    "cut and wrapped": lambda draw: Call(cut_and_wrapped, before=draw(st.integers(-2, 2)), after=draw(AXES)),
    "picked": lambda draw: Call(picked, rows=draw(ROWS)),
    "picked pairs": lambda draw: Call(picked_pairs, rows=draw(ROWS)),
    "gathered": lambda draw: Call(gathered, rows=draw(ROWS)),
    "Fourier": lambda draw: Call(transformed, axis=draw(AXES)),
    "linear over rows": lambda _: over_rows,
    "gate": lambda draw: Call(gated, axis=draw(AXES)),
    "cross": lambda draw: Call(across, axis=draw(AXES)),
    "instance norm": lambda _: nn.InstanceNorm2d(CHANNELS),
    "uneven pool": lambda draw: nn.AdaptiveMaxPool2d((draw(st.integers(2, 9)), draw(st.integers(2, 9)))),
    "add": lambda _: add,
    "cat channels": lambda draw: Call(some_channels, start=draw(st.integers(0, 4))),
    "cat rows": lambda _: rows_joined,
    "stack": lambda _: largest,
    "attend": lambda _: attended,
    "grouped heads": lambda draw: Call(grouped_heads, heads=draw(st.sampled_from([1, 2]))),
}
PAIRS = {"add", "cat channels", "cat rows", "stack", "attend", "grouped heads"}
MIXING = {
    "softmax", "cumsum", "group norm", "instance norm", "mean", "Fourier", "linear over rows", "picked", "picked pairs",
    "gathered", "flip", "roll", "rot90", "transpose", "mT", "attend", "grouped heads", "excite",
}  # fmt: skip
"""Steps that mix or permute an axis without a sliding window along it."""
LOCAL = {
    "conv", "transposed conv", "max pool", "avg pool", "crop", "transpose", "shuffle", "shuffle by views", "unshuffle",
    "channels last", "half", "first half", "relu", "add", "cat channels", "stack", "fold", "again", "batch norm",
}  # fmt: skip
"""Steps that, far from borders, behave as on an unbounded plane."""


@st.composite
def dags(draw, names=tuple(STEPS), most=6, first=()):
    """A random network and the shape of its input; the first step is one of `first`."""
    shape = (1, CHANNELS, draw(st.integers(3, 14)), draw(st.integers(3, 14)))
    torch.manual_seed(0)
    maps, steps = [torch.randn(shape)], []
    begin = [draw(st.sampled_from(sorted(first)))] if first else []
    for name in begin + draw(st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=most)):
        sources = tuple(draw(st.integers(0, len(maps) - 1)) for _ in range(1 + (name in PAIRS)))
        step = Step(name, STEPS[name](draw), sources if draw(st.booleans()) else (len(maps) - 1, *sources[1:]))
        try:
            with torch.no_grad():
                made = step.eval()(*(maps[i] for i in step.sources))
        except (RuntimeError, ValueError):  # the window is larger than the map
            continue
        if made.shape[1] != CHANNELS or not all(SMALLEST <= n <= LARGEST for n in made.shape[2:]):
            continue
        if not made.isfinite().all():  # a maximum over padding alone is -∞, and its norm NaN without poisoning
            continue
        maps.append(made)
        steps.append(step)
    return Dag(steps), shape
