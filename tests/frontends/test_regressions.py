"""Bugs that were found, one row each."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost import record
from cnncost.cli import main
from cnncost.frontends.torch import memo


class Function(nn.Module):
    """A module whose forward is a given function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x, i: x[:, i], id="an index after a whole axis"),
        pytest.param(lambda x, i: x[i], id="an index in front"),
        pytest.param(lambda x, i: x[..., i], id="an index after all other axes"),
    ],
)
def test_an_index_is_an_input_of_its_op_wherever_it_stands(function):
    graph = record(Function(function), ((3, 4), "2:int64"))
    assert graph.nodes[-1].spec.kind == "gather"
    assert graph.nodes[-1].inputs == (0, 1)


def test_an_index_after_a_whole_axis_lives_no_longer_than_it_is_needed():
    graph = record(Function(lambda x, i: x[:, i + 1] * 2), ((3, 4), "2:int64"))
    shifted = next(n for n in graph.nodes if n.name == "aten.add.Tensor").outputs[0]
    assert graph.storages[graph.values[shifted].storage].died is not None


def test_the_memo_does_not_grow_with_what_it_knows():
    model = Function(lambda x, i: x[:, i])
    record(model, ((3, 4), "2:int64"))
    size = len(memo.current())
    for _ in range(5):
        record(model, ((3, 4), "2:int64"))
    assert len(memo.current()) == size


def test_a_known_mask_picks_after_a_whole_axis():
    graph = record(Function(lambda x: x[:, torch.tensor([True, False, True, True])]), (2, 4))
    assert graph.values[graph.outputs[0]].shape == (2, 3)


def test_a_mask_of_activations_is_refused_after_a_whole_axis_too():
    with pytest.raises(cnncost.CnncostError, match="reads the values"):
        record(Function(lambda x: x[:, x[0] > 0]), (2, 4))


@pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
@pytest.mark.parametrize(
    ("shapes", "macs"),
    [
        # scores 8·5·6·4 for the queries' 8 heads, broadcast over the keys' axis of 2; values likewise for each of 2·8
        pytest.param([(8, 5, 4), (2, 1, 6, 4), (2, 1, 6, 4)], 2 * 8 * 5 * 6 * 4 * 2, id="keys with an axis more"),
        pytest.param(
            [(8, 5, 4), (8, 6, 4), (2, 8, 6, 4)], 8 * 5 * 6 * 4 + 2 * 8 * 5 * 6 * 4, id="values with an axis more"
        ),
        pytest.param([(2, 8, 5, 4), (2, 8, 6, 4), (2, 8, 6, 3)], 16 * 5 * 6 * (4 + 3), id="values of another width"),
    ],
)
def test_attention_whose_leading_axes_broadcast(shapes, macs, grad):
    graph = record(Function(F.scaled_dot_product_attention), tuple(shapes), grad=grad)
    assert cnncost.analyze(graph).totals.macs == macs


def test_an_encoder_with_padding_costs_the_same_in_both_modes():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2)
    inputs = {"src": (3, 5, 16), "src_key_padding_mask": torch.zeros(3, 5, dtype=torch.bool)}
    # a layer: projections 4·16², feed-forward 2·16·32 for each of 3·5 tokens; scores and values 2·5·16 a token
    by_hand = 2 * 15 * (4 * 256 + 2 * 512 + 2 * 5 * 16)
    assert [cnncost.analyze(encoder.train(train), inputs).totals.macs for train in (True, False)] == [by_hand] * 2


@pytest.mark.parametrize(
    ("function", "flops"),
    [
        pytest.param(
            lambda x: torch.relu(torch.empty_like(x).bernoulli_(0.5).mul_(x)), 8, id="a mask multiplied in place"
        ),
        pytest.param(lambda x: torch.relu(torch.empty_like(x).bernoulli_(0.5).copy_(x)), 8, id="a mask copied over"),
        pytest.param(lambda x: x * torch.empty_like(x).bernoulli_(0.5).fill_(2.0), 8, id="a mask filled"),
        pytest.param(lambda x: torch.bernoulli(torch.sigmoid(x)) * 3 + 1, 4 * 8 + 2 * 8, id="a stochastic unit"),
        pytest.param(lambda x: x * torch.empty_like(x).bernoulli_(0.5).div_(0.5), 0, id="stochastic depth"),
    ],
)
def test_only_what_regularises_is_free(function, flops):
    assert cnncost.analyze(Function(function), (2, 4)).totals.flops == flops


def test_a_named_model_may_have_one_value_a_channel(capsys):
    """Batch norm in train mode refuses it."""
    with pytest.raises(SystemExit) as ended:
        main(["summarize", "resnet18", "--input", "1x3x16x16"])
    assert ended.value.code == 0
    assert "11,689,512" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param(lambda spec: 1 / 0, "failed on inputs 2x4: ZeroDivisionError", id="a rule that raises"),
        pytest.param(lambda spec: 42, "expected a Cost or None, got int", id="a rule that returns a number"),
        pytest.param(
            lambda spec: cnncost.cost(spec, cnncost.flops("x", 1.5, "N", 2)), "whole number", id="half a FLOP"
        ),
    ],
)
def test_a_rule_that_goes_wrong_is_named(made, words):
    kind = "cnncost_test_regressions::op"
    cnncost.rule(kind, replace=True)(made)
    node_spec = cnncost.OpSpec(kind, (record(nn.ReLU(), (2, 4)).nodes[0].spec.inputs), ())
    from cnncost.ops import cost_of

    with pytest.raises(cnncost.CnncostError, match=words):
        cost_of(node_spec)


def test_a_kind_with_a_dot_is_refused_with_the_right_one():
    with pytest.raises(ValueError, match="my_lib::my_op"):
        cnncost.rule("my_lib.my_op")


def test_a_tensor_beyond_all_memory_is_an_error_of_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["summarize", "lenet5", "--input", "10000000000x3x1000000x1000000"])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_help_shows_its_examples_line_by_line(capsys):
    with pytest.raises(SystemExit):
        main(["summarize", "--help"])
    out = capsys.readouterr().out
    assert "\\b" not in out
    assert "\n    cnncost summarize resnet50 --depth 2\n" in out


def test_a_forward_that_samples_from_a_distribution_is_analyzed():
    """As every variational autoencoder does; the distribution's own check of its arguments reads their values."""
    checks = torch.distributions.Distribution._validate_args
    model = Function(lambda mean, scale: torch.distributions.Normal(mean, scale.exp()).rsample() @ torch.ones(4, 3))
    assert cnncost.analyze(model, ((2, 4), (2, 4))).totals.macs == 2 * 4 * 3
    assert torch.distributions.Distribution._validate_args is checks


def test_layers_that_forward_makes_are_recorded_the_same_each_time():
    """Their parameters are wrapped while the bare tensors die, whose identities the next ones may take over."""

    def forward(x):
        made = [nn.Conv2d(3, 3, 1, device=x.device) for _ in range(3)]
        return sum(layer(x) for layer in made)

    graphs = [record(Function(forward), (1, 3, 4, 4)) for _ in range(20)]
    assert all(graph == graphs[0] for graph in graphs)
