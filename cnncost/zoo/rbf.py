"""LeNet-5's output layer: squared distances to stylised digits, and the two loss functions defined on them.

Ref: LeCun et al. 1998, section II.B (equation 7, figure 3) and II.C (equations 8 and 9).
"""

import torch
from torch import Tensor, nn

__all__ = ["DIGITS", "BitmapRBF", "map_loss", "mle_loss"]

# Ten digits of 7x12 pixels, side by side. The paper's figure 3 shows such bitmaps for the printable
# ASCII set; these are redrawn at the same size, with ink only on the stylised character.
DIGITS = """
..###.. ...#... .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.##.##. ..##... ##...## ##...## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .###... .....## .....## ..#.##. ##..... ##..... .....## ##...## ##...##
##...## ...#... .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...#... ....##. .....## ##..##. ######. ##..... ....##. .##.##. ##...##
##...## ...#... ...##.. ..####. ##..##. .....## ######. ...##.. ..###.. .######
##...## ...#... ..##... .....## ####### .....## ##...## ...##.. .##.##. .....##
##...## ...#... .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...#... ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...#... ##..... .....## ....##. .....## ##...## ..##... ##...## ....##.
.##.##. ..###.. ##...## ##...## ....##. ##...## ##...## ..##... ##...## ...##..
..###.. .#####. ####### .#####. ....##. .#####. .#####. ..##... .#####. .###...
"""


def bitmap_codes(drawing: str = DIGITS) -> list[list[float]]:
    """Return one code per character: its pixels row by row, +1 for ink and -1 for background."""
    rows = [line.split() for line in drawing.strip().splitlines()]
    return [[1.0 if pixel == "#" else -1.0 for pixel in "".join(lines)] for lines in zip(*rows, strict=True)]


class BitmapRBF(nn.Module):
    """y_i = sum over j of (x_j - w_ij)^2: one unit per class, whose code is fixed (a buffer), not learned.

    The unit with the *smallest* output indicates the class of an image.

    Shapes: x (N, 84); codes (10, 84); y (N, 10).
    Ref: LeCun et al. 1998, equation 7.
    """

    codes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(bitmap_codes()))

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(1) - self.codes).square().sum(dim=-1)

    def extra_repr(self) -> str:
        classes, pixels = self.codes.shape
        return f"classes={classes}, pixels={pixels}"


def mle_loss(penalties: Tensor, labels: Tensor) -> Tensor:
    """Equation 8: the mean output of the correct class's unit. penalties (N, 10), labels (N) -> scalar."""
    return penalties.gather(1, labels.unsqueeze(1)).mean()


def map_loss(penalties: Tensor, labels: Tensor, *, rejection: float = 1.0) -> Tensor:
    """Equation 9: equation 8, plus a term that increases the outputs of the wrong classes' units.

    `rejection` is the paper's j > 0: a class that is already farther away than j changes the loss little.
    penalties (N, 10), labels (N) -> scalar.
    """
    constant = torch.full_like(penalties[:, :1], -rejection)
    competitive = torch.cat([constant, -penalties], dim=1).logsumexp(dim=1).mean()
    return mle_loss(penalties, labels) + competitive
