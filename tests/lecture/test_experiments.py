"""Experiments, compared with results derived by hand or true by definition."""

from fractions import Fraction

import pytest

from cnncost.lecture.experiments import run

IMAGE = ["11100", "01110", "00111", "00110", "01100"]
FILTER = ["101", "010", "101"]


def by_hand(row, column):
    return sum(int(IMAGE[row + r][column + c]) * int(FILTER[r][c]) for r in range(3) for c in range(3))


def test_the_worked_map_by_loops():
    rows = [" ".join(str(by_hand(row, column)) for column in range(3)) for row in range(3)]
    assert rows == ["4 3 4", "2 4 3", "2 3 4"]
    assert run("worked_map").value == " / ".join(rows)


@pytest.mark.parametrize("row", [1, 2, 3])
@pytest.mark.parametrize("column", [1, 2, 3])
def test_each_step_sums_nine_products(row, column):
    step = run("worked_step", row, column)
    products = [tuple(map(int, product.split("·"))) for product in step.work.split(" + ")]
    assert len(products) == 9
    assert sum(pixel * weight for pixel, weight in products) == step.value == by_hand(row - 1, column - 1)


def test_the_input_and_the_filter_are_the_slides():
    assert run("worked_input").value == " / ".join(" ".join(row) for row in IMAGE)
    assert run("worked_filter").value == " / ".join(" ".join(row) for row in FILTER)


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("worked_input_size", (), (5, 5)),
        ("worked_filter_size", (), (3, 3)),
        ("worked_size", (), (3, 3)),
        ("worked_pixels", (), 25),
        ("worked_last_pixel", (), 13),
        ("conv_side", (28, 3, 1, 0), 26),
        ("conv_side", (28, 3, 1, 1), 28),
        ("conv_side", (28, 5, 2, 2), 14),
        ("padded_side", (28, 1), 30),
        ("conv_params", (16, 5, 6), 16 * 6 * 25 + 16),
        ("linear_params", (300, 784), 300 * 784 + 300),
        ("neuron_macs", (3,), 9),
        ("weights_per_pair", (2, 3), 18),
        ("weights_per_pair", (1, 5), 25),
        ("larger_images", (), "n"),
        ("largest_factor", (0,), Fraction(1, 4)),
        ("largest_factor", (1,), 1),
        ("product", (25, 20), "10^-12"),  # 20 times log10 of a quarter is -12.04
        ("product", (200, 20), "10^6"),  # 2 to the 20th is 1,048,576
    ],
)
def test_values(name, arguments, value):
    assert run(name, *arguments).value == value


@pytest.mark.parametrize(
    "name",
    [
        "linear_formula", "biases_are_few", "channels_are_summed", "pool_picks_maxima", "memory_follows_parameters",
        "dropout_is_free", "back_projection", "small_factors_vanish", "large_factors_explode",
    ],
)  # fmt: skip
def test_statements_that_hold(name):
    assert run(name).value is True


def test_the_slides_convolution_formula_does_not_hold():
    assert run("conv_formula").value is False


def test_gradients_fade_with_sigmoids_and_not_with_relus():
    sigmoids, relus = ([run("gradient_left", function, depth).value for depth in (5, 10, 20)] for function in (0, 1))
    assert [int(text.removeprefix("10^")) for text in sigmoids] == [-3, -6, -12]
    assert relus == ["10^0"] * 3
    assert all(run("fades_faster", depth).value for depth in (5, 10, 20))


def test_experiments_do_not_change_the_users_random_state():
    import torch

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    for name in ("channels_are_summed", "pool_picks_maxima"):
        run(name)
    run("gradient_left", 0, 5)
    assert torch.equal(torch.rand(1), expected)
