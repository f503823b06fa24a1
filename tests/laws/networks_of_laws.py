"""Small networks whose costs follow from their geometry by hand."""

from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """One head over S vectors of D, written out."""

    def __init__(self, width=16):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x):
        scores = self.q(x) @ self.k(x).transpose(-1, -2)
        return scores.softmax(-1) @ self.v(x)


class Cells(nn.Module):
    """A recurrent cell in a loop over the sequence."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.RNNCell(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        return self.head(state)


class Words(nn.Module):
    """Tokens to vectors, and back to scores of all words."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 12), nn.Linear(12, 50)

    def forward(self, ids):
        return self.head(self.embedding(ids))


class Doubled(nn.Module):
    """A feature map of half the size, made as large as the image again."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        return self.up(F.interpolate(self.down(x), scale_factor=2.0))


class Wider(nn.Module):
    """Runs a further layer on images of 64 rows or more."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        x = self.first(x)
        return self.second(x) if x.shape[2] >= 64 else x


class Gated(nn.Module):
    """Runs its second layer if the values say so."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.first(x)
        return self.second(x) if (x * x).sum().item() >= 0 else x


class Patches(nn.Module):
    """Patches of 14×14 as tokens, and attention over them."""

    def __init__(self):
        super().__init__()
        self.patch, self.attention = nn.Conv2d(3, 16, 14, 14), Attention(16)

    def forward(self, x):
        return self.attention(self.patch(x).flatten(2).transpose(1, 2))


class Parity(nn.Module):
    """Costs that no lattice of small step makes a polynomial: a layer for each bit of the size."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(x.shape[1].bit_count()):
            x = self.layer(x)
        return x


def scaled(width=16):
    """Two convolutions and a classifier, of any width."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip
