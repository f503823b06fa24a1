from __future__ import annotations

import re

import pytest

from cnncost import ops
from cnncost.graph import OpSpec, TensorType
from cnncost.ops import registry

F32 = TensorType((2, 3), "float32")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """Undo a test's registrations afterwards."""
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))
    monkeypatch.setattr(registry, "_COSTS", {})


def _spec(kind, **attrs):
    return OpSpec(kind, (F32, F32), (F32,), tuple(attrs.items()))


def test_a_cost_is_the_sum_of_its_terms():
    cost = ops.cost(_spec("x"), ops.macs("N", 2, "K", 5), ops.flops("bias", 1, "K", 5), ops.flops("scaling", 3, "N", 2))
    assert cost.macs == 2 * 5
    assert cost.flops == 2 * (2 * 5) + 5 + 3 * 2
    assert [t.items for t in cost.terms] == [10, 5, 2]
    assert (cost.read, cost.written) == (2 * 24, 24)


def test_a_cost_without_terms_is_zero_and_a_term_without_factors_one():
    assert (ops.cost(_spec("x")).macs, ops.cost(_spec("x")).flops) == (0, 0)
    assert ops.flops("once", 7).items == 1
    assert ops.cost(_spec("x"), ops.flops("once", 7)).flops == 7


def test_a_rule_may_state_bytes():
    cost = ops.cost(_spec("x"), read=0, written=5)
    assert (cost.read, cost.written) == (0, 5)


def test_counts_are_exact_however_large():
    cost = ops.cost(_spec("x"), ops.macs("A", 10**12, "B", 10**12))
    assert cost.macs == 10**24
    assert cost.flops == 2 * 10**24


@pytest.mark.parametrize("pair", [("N", 2.0), ("N", True), (3, "N"), ("N", None)])
def test_a_factor_is_a_name_and_a_whole_number(pair):
    with pytest.raises(TypeError, match=re.escape(f"got {pair[0]!r}, {pair[1]!r}")):
        ops.macs(*pair)


def test_names_and_numbers_come_in_pairs():
    with pytest.raises(TypeError, match="alternating names and ints"):
        ops.macs("N", 2, "K")


def test_a_rule_is_found_by_its_kind():
    @ops.rule("my_lib::my_op")
    def my_op(spec):
        """N·D multiply-accumulates."""
        n, d = spec.inputs[0].shape
        return ops.cost(spec, ops.macs("N", n, "D", d))

    assert ops.cost_of(_spec("my_lib::my_op")).macs == 6
    assert "my_lib::my_op" in ops.kinds()
    assert ops.rule_doc("my_lib::my_op") == "N·D multiply-accumulates."


def test_a_kind_without_a_rule_has_no_cost():
    assert ops.cost_of(_spec("my_lib::nothing")) is None
    assert ops.rule_doc("my_lib::nothing") == ""


def test_a_kind_has_one_rule():
    with pytest.raises(ValueError, match=r"'conv'.*replace=True"):
        ops.rule("conv")(ops.cost)
    ops.rule("softmax", replace=True)(lambda spec: ops.cost(spec, ops.macs("N", 42)))
    assert ops.cost_of(OpSpec("softmax", (F32,), (F32,), (("axis", 0), ("fn", "softmax")))).macs == 42


def test_replacing_a_rule_discards_cached_costs():
    ops.rule("my_lib::my_op")(lambda spec: ops.cost(spec, ops.macs("N", 1)))
    assert ops.cost_of(_spec("my_lib::my_op")).macs == 1
    ops.rule("my_lib::my_op", replace=True)(lambda spec: ops.cost(spec, ops.macs("N", 2)))
    assert ops.cost_of(_spec("my_lib::my_op")).macs == 2


def test_a_kind_is_a_name():
    with pytest.raises(TypeError, match="expected an op kind"):
        ops.rule(3)


def test_a_cost_is_computed_once_per_spec():
    asked = []
    ops.rule("my_lib::my_op")(lambda spec: asked.append(spec) or ops.cost(spec))
    first, second = ops.cost_of(_spec("my_lib::my_op", a=1)), ops.cost_of(_spec("my_lib::my_op", a=1))
    assert first is second
    ops.cost_of(_spec("my_lib::my_op", a=2))
    ops.cost_of(_spec("my_lib::my_op", a=True))  # equal to 1 in Python, but another attribute
    assert len(asked) == 3


def test_every_rule_states_its_algebra():
    ours = [kind for kind in ops.kinds() if "::" not in kind]  # others are registered by tests
    assert len(ours) > 20
    assert [kind for kind in ours if not ops.rule_doc(kind)] == []


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "attrs", "macs", "flops"),
    [
        pytest.param(
            "conv", [(2, 3, 5, 5), (4, 3, 3, 3)], (2, 4, 3, 3),
            {"kernel": (3, 3), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1,
             "transposed": False, "output_padding": (0, 0), "bias": False},
            2 * 4 * 9 * 27, 2 * 2 * 4 * 9 * 27, id="a convolution drawn by hand",
        ),
        pytest.param(
            "matmul", [(3, 4), (4, 5)], (3, 5), {"batch": 1, "m": 3, "k": 4, "n": 5, "bias": False}, 60, 120,
            id="a product drawn by hand",
        ),
        pytest.param("pointwise", [(3, 4)], (3, 4), {"fn": "sigmoid"}, 0, 4 * 12, id="a function drawn by hand"),
        pytest.param("reduce", [(3, 4)], (3,), {"fn": "sum"}, 0, 12 - 3, id="a sum drawn by hand"),
    ],
)  # fmt: skip
def test_rules_need_no_framework(kind, inputs, output, attrs, macs, flops):
    types = [TensorType(shape, "float32") for shape in (*inputs, output)]
    cost = ops.cost_of(OpSpec(kind, tuple(types[:-1]), (types[-1],), tuple(attrs.items())))
    assert (cost.macs, cost.flops) == (macs, flops)


@pytest.mark.parametrize(("kind", "attrs"), [("pointwise", {"fn": "unheard"}), ("reduce", {"fn": "unheard"})])
def test_unknown_functions_have_no_cost(kind, attrs):
    assert ops.cost_of(_spec(kind, **attrs)) is None


def test_the_old_name_of_a_label_works_with_a_warning():
    with pytest.warns(DeprecationWarning, match="label"):
        old = ops.macs("N", 2, what="scores")
    assert old == ops.macs("N", 2, label="scores") == ops.Term("scores", (("N", 2),), 2, True)


def test_terms_of_a_librarys_op_on_integers_stay_as_its_rule_gives_them():
    tokens = TensorType((2, 5), "int64")
    stated = registry.cost(
        OpSpec("mylib::decode", (tokens,), (tokens,), ()), registry.macs("N", 5), registry.flops("softmax", 5, "N", 3)
    )
    assert (stated.macs, stated.flops) == (5, 2 * 5 + 5 * 3)
    own = registry.cost(
        OpSpec("matmul", (tokens,), (tokens,), ()), registry.macs("N", 5), registry.flops("bias", 1, "N", 3)
    )
    assert (own.macs, own.flops) == (5, 0)
