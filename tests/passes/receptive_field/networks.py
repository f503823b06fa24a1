"""Published networks that are not in the zoo, as small as their geometry allows: few channels, no classifier."""

from __future__ import annotations

import torch
from torch import nn


def conv(k, stride=1, groups=1, padding=None, c=4, out=None):
    return nn.Conv2d(c, out or c, k, stride, k // 2 if padding is None else padding, groups=groups)


class Inverted(nn.Module):
    """1×1, depthwise 3×3, 1×1 (Sandler et al. 2018)."""

    def __init__(self, stride, residual):
        super().__init__()
        self.block = nn.Sequential(conv(1), nn.ReLU6(), conv(3, stride, groups=4), nn.ReLU6(), conv(1))
        self.residual = residual

    def forward(self, x):
        return x + self.block(x) if self.residual else self.block(x)


def mobilenet_v2():
    """Table 2 of the paper: t, c, n, s; a stem of stride 2, and the last 1×1 convolution."""
    layers = [conv(3, 2, c=3, out=4), nn.ReLU6()]
    for n, s in ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)):
        layers += [Inverted(s if i == 0 else 1, residual=i > 0) for i in range(n)]
    return nn.Sequential(*layers, conv(1))


class Dense(nn.Module):
    """1×1, 3×3, concatenated with all earlier maps (Huang et al. 2017)."""

    def __init__(self, c):
        super().__init__()
        self.block = nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), conv(1, c=c, out=4), conv(3, out=2))

    def forward(self, x):
        return torch.cat([x, self.block(x)], 1)


def densenet121():
    """Blocks of 6, 12, 24, 16; each transition is a 1×1 convolution and 2×2 average pooling."""
    layers, c = [conv(7, 2, c=3, out=4), nn.MaxPool2d(3, 2, 1)], 4
    for i, n in enumerate((6, 12, 24, 16)):
        if i:
            layers += [conv(1, c=c, out=4), nn.AvgPool2d(2)]
            c = 4
        layers += [Dense(c + 2 * j) for j in range(n)]
        c += 2 * n
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """1×1, 3×3 with the stride, 1×1, as in torchvision, unlike the paper (He et al. 2016)."""

    def __init__(self, stride, first):
        super().__init__()
        self.block = nn.Sequential(conv(1), conv(3, stride), conv(1))
        self.short = conv(1, stride, padding=0) if first else nn.Identity()

    def forward(self, x):
        return torch.relu(self.block(x) + self.short(x))


def resnet50():
    """Blocks of 3, 4, 6, 3."""
    layers = [conv(7, 2, c=3, out=4), nn.MaxPool2d(3, 2, 1)]
    for n, s in ((3, 1), (4, 2), (6, 2), (3, 2)):
        layers.append(nn.Sequential(*(Bottleneck(s if i == 0 else 1, i == 0) for i in range(n))))
    return nn.Sequential(*layers)


class Swin(nn.Module):
    """4×4 patches, attention in windows of 7, then in windows shifted by 3, patch merging (Liu et al. 2021)."""

    def __init__(self):
        super().__init__()
        from tests.passes.receptive_field.dags import WindowAttention

        self.patches = nn.Conv2d(3, 4, 4, 4)
        self.windows, self.shifted = WindowAttention(7, 0), WindowAttention(7, 3)
        self.merge = nn.Linear(16, 4)

    def forward(self, x):
        x = self.patches(x)
        x = x + self.windows(x)
        x = (x + self.shifted(x)).permute(0, 2, 3, 1)
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.merge(x).permute(0, 3, 1, 2)


class UNet(nn.Module):
    """Down twice, up twice, without padding; skip connections are cropped as in the paper (Ronneberger et al. 2015)."""

    def __init__(self, up):
        super().__init__()
        self.d1, self.d2, self.bottom = (nn.Sequential(conv(3, padding=0), conv(3, padding=0)) for _ in range(3))
        self.up1, self.up2 = up(), up()
        self.u1, self.u2 = (nn.Sequential(conv(3, padding=0, c=8, out=4), conv(3, padding=0)) for _ in range(2))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(self.pool(a))
        c = self.bottom(self.pool(b))
        x = self.u1(self.joined(b, self.up1(c)))
        return self.u2(self.joined(a, self.up2(x)))

    def joined(self, skip, x):
        cut = [(n - m) // 2 for n, m in zip(skip.shape[2:], x.shape[2:], strict=True)]
        return torch.cat([skip[:, :, cut[0] : cut[0] + x.shape[2], cut[1] : cut[1] + x.shape[3]], x], 1)
