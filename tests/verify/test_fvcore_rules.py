"""fvcore's einsum: what numpy prints, derived by hand."""

import numpy as np
import pytest

from cnncost.verify.fvcore_rules import einsum


@pytest.mark.parametrize(
    ("equation", "shapes", "amount"),
    [
        pytest.param("ij,jk->ik", [(3, 5), (5, 7)], (2 * 105 + 1) // 2, id="summed: 2 per product"),
        pytest.param("ij,ij->ij", [(3, 5), (3, 5)], (15 + 1) // 2, id="not summed: 1 per product"),
        pytest.param("ij->j", [(3, 5)], (2 * 15 + 1) // 2, id="one operand, summed"),
        pytest.param("ij->ji", [(3, 5)], (15 + 1) // 2, id="one operand, transposed"),
        pytest.param("ij, jk", [(300, 50), (50, 70)], 2_100_000 // 2, id="2100001 printed as 2.100e+06"),
        pytest.param("ab,bc->ac", [(17, 23), (23, 93)], 72_730 // 2, id="72727 printed as 7.273e+04"),
        pytest.param("abc,abd->acd", [(17, 2, 23), (17, 2, 93)], 17 * 2 * 23 * 93, id="counted by fvcore itself"),
        pytest.param("q c b,q d b->q d c", [(2, 3, 5), (2, 7, 5)], 2 * 3 * 5 * 7, id="likewise, other letters"),
    ],
)
def test_an_einsum_of_up_to_two_operands(equation, shapes, amount):
    assert einsum(equation, shapes, recorded=0).amount == amount


def test_it_is_half_of_what_numpy_prints():
    shapes = [(2, 8, 13, 16), (2, 8, 17, 16)]
    text = np.einsum_path("bhid,bhjd->bhij", *map(np.zeros, shapes), optimize="optimal")[1]
    line = next(line for line in text.splitlines() if "Optimized FLOP" in line)
    assert einsum("bhid,bhjd->bhij", shapes, recorded=0).amount == float(line.split(":")[1]) // 2


def test_with_more_operands_or_dots_the_recorded_products_are_taken():
    assert einsum("ij,jk,kl->il", [(3, 5), (5, 7), (7, 11)], recorded=336).amount == 336
    assert einsum("...ij,jk->...ik", [(2, 3, 5), (5, 7)], recorded=210).amount == 210
