"""Networks that tests and benchmarks need and the zoo has not, written from their papers."""

import torch
from torch import nn


def _conv_norm_act(channels_in, channels_out, kernel, stride=1, groups=1, act=True):
    layers = [
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    ]
    return nn.Sequential(*layers, nn.ReLU6(inplace=True)) if act else nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    def __init__(self, channels_in, channels_out, stride, expand):
        super().__init__()
        wide = channels_in * expand
        self.adds = stride == 1 and channels_in == channels_out
        self.conv = nn.Sequential(
            *([_conv_norm_act(channels_in, wide, 1)] if expand != 1 else []),
            _conv_norm_act(wide, wide, 3, stride, groups=wide),
            _conv_norm_act(wide, channels_out, 1, act=False),
        )

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """Sandler et al. 2018, table 2."""

    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, classes=1000):
        super().__init__()
        layers, width = [_conv_norm_act(3, 32, 3, 2)], 32
        for expand, channels, repeats, stride in self.STAGES:
            for i in range(repeats):
                layers.append(InvertedResidual(width, channels, stride if i == 0 else 1, expand))
                width = channels
        self.features = nn.Sequential(*layers, _conv_norm_act(width, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, channels, growth):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth), nn.ReLU(inplace=True), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, features):
        return self.body(torch.cat(features, 1))


class DenseNet121(nn.Module):
    """Huang et al. 2017, table 1, growth 32."""

    def __init__(self, classes=1000, growth=32, blocks=(6, 12, 24, 16)):
        super().__init__()
        width = 2 * growth
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for i, count in enumerate(blocks):
            self.blocks.append(nn.ModuleList(DenseLayer(width + j * growth, growth) for j in range(count)))
            width += count * growth
            if i + 1 < len(blocks):
                self.transitions.append(
                    nn.Sequential(
                        nn.BatchNorm2d(width),
                        nn.ReLU(inplace=True),
                        nn.Conv2d(width, width // 2, 1, bias=False),
                        nn.AvgPool2d(2),
                    )  # fmt: skip
                )
                width //= 2
        self.norm = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x):
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            features = [x]
            for layer in block:
                features.append(layer(features))
            x = torch.cat(features, 1)
            if i < len(self.transitions):
                x = self.transitions[i](x)
        return self.classifier(torch.relu(self.norm(x)).mean((2, 3)))


class LSTM(nn.Module):
    """A classifier of sequences."""

    def __init__(self, inputs=64, hidden=256, layers=2, classes=10, **how):
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, layers, batch_first=True, **how)
        self.head = nn.Linear(how.get("proj_size", hidden), classes)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class CellLSTM(nn.Module):
    """The same by single steps, as those write it who change the cell."""

    def __init__(self, inputs=64, hidden=256, classes=10):
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(inputs, hidden), nn.LSTMCell(hidden, hidden)])
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        states = [None] * len(self.cells)
        for step in x.unbind(1):
            below = step
            for i, cell in enumerate(self.cells):
                states[i] = cell(below, states[i])
                below = states[i][0]
        return self.head(below)
