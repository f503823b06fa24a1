import pytest

from cnncost.graph import OpSpec, TensorType
from cnncost.ops import cost, flops, macs
from cnncost.ops.quantized import int8_macs
from cnncost.report.formula import formulas

SPEC = OpSpec("any", (TensorType((2,), "float32"),), (TensorType((2,), "float32"),))

CASES = [
    pytest.param(
        [macs("M", 2, "I", 3)],
        1,
        ["MACs  = M·I = 2·3 = 6", "FLOPs = 2·MACs = 2·6 = 12"],
        id="multiply-accumulates alone",
    ),
    pytest.param(
        [macs("M", 2, "I", 3), flops("bias", 1, "M", 2)],
        1,
        ["MACs  = M·I = 2·3 = 6", "FLOPs = 2·MACs + bias M = 2·6 + 2 = 14"],
        id="a bias",
    ),
    pytest.param([flops("softmax", 5, "n", 7)], 1, ["FLOPs = softmax 5·n = 5·7 = 35"], id="several operations an item"),
    pytest.param([flops("relu", 1, "E", 7)], 1, ["FLOPs = relu E = 7"], id="a number is not told twice"),
    pytest.param(
        [macs("C/g", 4, label="a"), macs("L+S", 5, label="b")],
        1,
        ["MACs  = a (C/g) + b (L+S) = 4 + 5 = 9", "FLOPs = 2·MACs = 2·9 = 18"],
        id="several products have names, quotients and sums brackets",
    ),
    pytest.param(
        [flops("sum", 1, "n", 8), flops("sum", -1, "o", 2)], 1, ["FLOPs = sum n − sum o = 8 − 2 = 6"], id="a difference"
    ),
    pytest.param(
        [flops("relu", 1, "E", 1000)], 3, ["FLOPs = relu E = 1,000; 3× = 3,000"], id="an op that ran three times"
    ),
    pytest.param([int8_macs("M", 2, "I", 3)], 4, ["MACs  = M·I = 2·3 = 6; 4× = 24", "FLOPs = 0"], id="of integers"),
    pytest.param(
        [int8_macs("M", 2, "I", 3), flops("requantize", 2, "M", 2)],
        1,
        ["MACs  = M·I = 2·3 = 6", "FLOPs = requantize 2·M = 2·2 = 4"],
        id="of integers, whose sums are rescaled",
    ),
    pytest.param(
        [macs("a", 5), int8_macs("b", 7), flops("bias", 1, "c", 3)],
        1,
        [
            "MACs  = multiply-accumulate a + int8 multiply-accumulate b = 5 + 7 = 12",
            "FLOPs = multiply-accumulate 2·a + bias c = 2·5 + 3 = 13",
        ],
        id="of floats and integers",
    ),
]


@pytest.mark.parametrize(("terms", "times", "lines"), CASES)
def test_formulas(terms, times, lines):
    assert list(formulas(cost(SPEC, *terms), times)) == lines


def test_long_equations_take_a_line_a_side():
    terms = [flops(f"operation number {i}", 1, "n", 10**9) for i in range(3)]
    assert list(formulas(cost(SPEC, *terms))) == [
        "FLOPs = operation number 0 n + operation number 1 n + operation number 2 n",
        "      = 1000000000 + 1000000000 + 1000000000",
        "      = 3,000,000,000",
    ]
