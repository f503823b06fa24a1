import math

import pytest
import torch

from cnncost.zoo.rbf import DIGITS, BitmapRBF, bitmap_codes, map_loss, mle_loss


def test_codes_are_ten_digits_of_7x12_black_or_white_pixels():
    codes = torch.tensor(bitmap_codes())
    assert codes.shape == (10, 7 * 12)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}


def test_codes_follow_the_drawing():
    rows = DIGITS.split()
    first_column_of_the_four = [row[0] for row in rows[4::10]]
    code = torch.tensor(bitmap_codes()[4]).view(12, 7)
    assert ["#" if pixel > 0 else "." for pixel in code[:, 0]] == first_column_of_the_four


def test_no_two_digits_are_near():
    codes = torch.tensor(bitmap_codes())
    differing = (codes[:, None] != codes[None]).sum(dim=-1) + 84 * torch.eye(10, dtype=torch.int64)
    assert differing.min() >= 16


def test_output_is_the_squared_distance_to_each_code():
    layer, x = BitmapRBF(), torch.randn(3, 84)
    expected = torch.tensor([[sum((a - b) ** 2 for a, b in zip(v, w, strict=True)) for w in layer.codes] for v in x])
    assert torch.allclose(layer(x), expected, rtol=1e-4)


def test_a_code_is_its_own_digit():
    layer = BitmapRBF()
    assert layer(layer.codes).argmin(dim=1).tolist() == list(range(10))
    assert torch.equal(layer(layer.codes).diagonal(), torch.zeros(10))


def test_codes_are_kept_but_not_trained():
    layer = BitmapRBF()
    assert list(layer.parameters()) == []
    assert list(layer.state_dict()) == ["codes"]


PENALTIES = [[3.0, 1.0, 7.0], [2.0, 5.0, 0.5]]
LABELS = [1, 0]


def test_mle_loss_is_equation_8():
    assert mle_loss(torch.tensor(PENALTIES), torch.tensor(LABELS)).item() == pytest.approx((1.0 + 2.0) / 2)


@pytest.mark.parametrize("j", [pytest.param(0.5, id="j small"), pytest.param(4.0, id="j large")])
def test_map_loss_is_equation_9(j):
    rows = [
        row[label] + math.log(math.exp(-j) + sum(math.exp(-y) for y in row))
        for row, label in zip(PENALTIES, LABELS, strict=True)
    ]
    loss = map_loss(torch.tensor(PENALTIES), torch.tensor(LABELS), rejection=j)
    assert loss.item() == pytest.approx(sum(rows) / 2, rel=1e-5)


def test_map_loss_survives_penalties_that_underflow():
    penalties = torch.full((1, 10), 400.0)
    assert map_loss(penalties, torch.tensor([3]), rejection=1.0).item() == pytest.approx(400.0 - 1.0)
