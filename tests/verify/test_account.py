"""Predicted counts are added up by row and by the peer's op, and what is left over is named."""

from cnncost.graph import Node, OpSpec, TensorType
from cnncost.verify.account import Account, Expected, Whole

X = TensorType((2, 3), "float32")


def node(kind, name):
    return Node(OpSpec(kind, (X,), (X,)), (0,), (1,), 0, name)


CONV, NORM, FREE = node("conv", "aten.conv"), node("norm", "aten.norm"), node("layout", "aten.view")
RULES = {"conv": Expected("conv", 10, "one"), "norm": Expected("norm", 4, "four"), "layout": Expected("", 0)}
OURS = {"conv": 10, "norm": 0, "layout": 0}


def account(*nodes):
    made = Account(lambda n: RULES[n.spec.kind], lambda n: OURS[n.spec.kind])
    made.add(nodes)
    return made


def test_ops_of_one_kind_and_rule_are_one_row_and_those_that_count_nothing_are_none():
    assert account(CONV, FREE, NORM, CONV).explanations() == (
        ("conv", 2, 20, 20, "one"),
        ("norm", 1, 0, 4, "four"),
    )


def test_all_is_explained_when_each_of_the_peers_ops_has_its_predicted_count():
    assert account(CONV, NORM).unexplained({"conv": 10, "norm": 4}) == ()


def test_a_difference_in_any_of_its_ops_is_unexplained():
    assert account(CONV, NORM).unexplained({"conv": 11, "norm": 4}) == (("conv", 1),)


def test_differences_that_cancel_out_are_unexplained_all_the_same():
    assert account(CONV, NORM).unexplained({"conv": 14}) == (("conv", 4), ("norm", -4))


def test_an_op_of_the_peers_that_nothing_predicts_is_unexplained():
    assert account(CONV).unexplained({"conv": 10, "custom": 7}) == (("custom", 7),)


def test_an_op_that_the_peer_sees_whole_takes_the_place_of_its_nodes():
    made = account(CONV, CONV, NORM)
    made.add_whole(Whole("aten::block", (CONV, NORM), Expected("", 0, "no formula")))
    assert made.explanations() == (("aten::block", 1, 10, 0, "no formula"), ("conv", 1, 10, 10, "one"))
    assert made.unexplained({"conv": 10}) == ()


def test_nodes_of_which_only_the_sum_is_predicted_are_a_row():
    made = account(CONV)
    made.add_as([CONV, CONV], Expected("conv", 5, "half of one"))
    assert made.explanations() == (("conv", 2, 20, 5, "half of one"), ("conv", 1, 10, 10, "one"))
    assert made.unexplained({"conv": 15}) == ()
