"""An image that shrinks to one row or column between two ops: size, jump and start by the usual arithmetic.

Dumoulin & Visin 2016: a kernel k with dilation d sees (k-1)·d + 1; a transposed one of stride 1 adds k-1 before.
Repeating a row r times divides the jump by r. None of it depends on how many rows there are, or on channel groups.
"""

from fractions import Fraction

import pytest
import torch
from torch import nn

import cnncost


class Shrunk(nn.Module):
    """Rows: 3 seen by a dilated kernel of 2, then 4 by a transposed kernel of 2; or each row twice."""

    def __init__(self, axis, groups):
        super().__init__()
        kernel, dilation = [1, 1], [1, 1]
        kernel[axis], dilation[axis] = 2, 2
        self.axis = axis
        self.first = nn.Conv2d(4, 4, tuple(kernel), dilation=tuple(dilation), groups=groups)
        self.second = nn.ConvTranspose2d(4, 4, tuple(kernel), groups=groups)
        self.twice = nn.Identity()

    def forward(self, x):
        y = self.first(x)
        return self.second(y), self.twice(y.repeat_interleave(2, 2 + self.axis))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("axis", "sizes"),
    [(0, (3, 3)), (0, (3, 1)), (0, (9, 5)), (1, (3, 3)), (1, (1, 3)), (1, (5, 9))],
)
def test_one_row_between_two_ops(axis, sizes, groups):
    report = cnncost.analyze(Shrunk(axis, groups), torch.empty(1, 4, *sizes, device="meta"))
    found = {path: report.receptive_field(path) for path in ("first", "second", "twice")}
    along = {path: (field.size[axis], field.jump[axis], field.start[axis]) for path, field in found.items()}
    assert along == {"first": (3, 1, 0), "second": (4, 1, -1), "twice": (3, Fraction(1, 2), 0)}
    across = {
        path: (field.size[1 - axis], field.jump[1 - axis], field.start[1 - axis]) for path, field in found.items()
    }
    assert across == dict.fromkeys(found, (1, 1, 0))
