"""Parameters and buffers of hand-made graphs: each counted once, under the first module that holds it."""

import pytest

from cnncost.graph import Graph, Owned, Scope, Storage, TensorType, Value
from cnncost.passes.parameters import OwnedCount, Parameters, parameters


def graph(types, *scopes):
    """Values of these types, and modules as (parameters, buffers): each a value index, or (index, trainable)."""
    values = tuple(Value(i, kind, i, "parameter") for i, kind in enumerate(types))
    storages = tuple(Storage(i, kind.nbytes, None, None) for i, kind in enumerate(types))

    def owned(items):
        pairs = [item if isinstance(item, tuple) else (item, True) for item in items]
        return tuple(Owned(f"p{value}", value, trains) for value, trains in pairs)

    tree = tuple(Scope(f"s{i}", "Module", owned(params), owned(buffers)) for i, (params, buffers) in enumerate(scopes))
    return Graph(values, (), tree, (), storages, (), ())


A, B, C = TensorType((4, 3), "float32"), TensorType((5,), "float16"), TensorType((), "int64")

DRAWN = [
    pytest.param(
        graph((A,)), Parameters(0, 0, 0, 0, 0, {}, {}), id="no modules"
    ),
    pytest.param(
        graph((A,), ((), ())), Parameters(0, 0, 0, 0, 0, {}, {}), id="a module that holds nothing"
    ),
    pytest.param(
        graph((A, B), ((0, 1), ())),
        # 12 numbers of 4 bytes and 5 of 2
        Parameters(17, 17, 0, 58, 0, {"float32": 12, "float16": 5}, {0: OwnedCount(17, 17, 0)}),
        id="two dtypes",
    ),
    pytest.param(
        graph((A, A), (((0, True), (1, False)), ())),
        Parameters(24, 12, 0, 96, 0, {"float32": 24}, {0: OwnedCount(24, 12, 0)}),
        id="one of two equal ones is frozen",
    ),
    pytest.param(
        graph((A, A), ((0,), ()), ((1,), ())),
        Parameters(24, 24, 0, 96, 0, {"float32": 24}, {0: OwnedCount(12, 12), 1: OwnedCount(12, 12)}),
        id="equal types are two parameters",
    ),
    pytest.param(
        graph((A, B), ((0,), ()), ((0, 1), ()), ((1, 0), ())),
        Parameters(17, 17, 0, 58, 0, {"float32": 12, "float16": 5},
                   {0: OwnedCount(12, 12), 1: OwnedCount(5, 5), 2: OwnedCount(0, 0)}),
        id="tied ones count where they are first",
    ),
    pytest.param(
        graph((A,), ((0, 0), ())),
        Parameters(12, 12, 0, 48, 0, {"float32": 12}, {0: OwnedCount(12, 12)}),
        id="one under two names of a module",
    ),
    pytest.param(
        graph((A, C), ((0,), (1,)), ((), (1,))),
        # an integer of 8 bytes, which the second module holds too
        Parameters(12, 12, 1, 48, 8, {"float32": 12}, {0: OwnedCount(12, 12, 1), 1: OwnedCount(0, 0, 0)}),
        id="a buffer that two modules hold",
    ),
    pytest.param(
        graph((A,), ((0,), ()), ((), (0,))),
        Parameters(12, 12, 0, 48, 0, {"float32": 12}, {0: OwnedCount(12, 12), 1: OwnedCount(0, 0, 0)}),
        id="a parameter that another module holds as a buffer",
    ),
    pytest.param(
        graph((TensorType((0, 7), "float32"),), ((0,), ())),
        Parameters(0, 0, 0, 0, 0, {"float32": 0}, {0: OwnedCount(0, 0, 0)}),
        id="an empty parameter",
    ),
    pytest.param(
        graph((TensorType((1 << 35, 1 << 35), "float64"),), ((0,), ())),
        Parameters(1 << 70, 1 << 70, 0, 1 << 73, 0, {"float64": 1 << 70}, {0: OwnedCount(1 << 70, 1 << 70)}),
        id="more than 64 bits count",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("drawn", "expected"), DRAWN)
def test_parameters(drawn, expected):
    assert parameters(drawn) == expected
