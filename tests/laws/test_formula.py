"""Laws of whole models: what they say must be what a direct analysis says, and no more."""

from fractions import Fraction
from random import Random

import networks_of_laws as nets
import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import CnncostError, InputError
from tests.samples import sample

torch.set_num_threads(1)
LIBRARY = torch.library.Library("cnncost_test_laws", "DEF")
LIBRARY.define("mystery(Tensor x) -> Tensor")
LIBRARY.impl("mystery", torch.empty_like, "Meta")


@pytest.mark.long
def test_resnet50():
    laws = cnncost.formula("resnet50", vary=("batch", "height", "width"), training=False)
    macs, params = laws["macs"], laws["params"]

    assert str(macs) == "B·(76,848·H·W + 2,048,000)"
    assert macs.lattice["height"].startswith("multiples of 32 from 32 to ")
    assert macs(batch=1, height=224, width=224) == 76_848 * 224 * 224 + 2048 * 1000
    assert str(params) == "25,557,032"
    assert len(macs.checked) >= 14
    assert laws["macs"].everywhere(batch=2, height=225, width=97) == direct("resnet50", "2x3x225x97").totals.macs


def direct(model, inputs, **how):
    return cnncost.analyze(model, inputs, **how)


ZOO = [
    pytest.param("lenet5", "batch", id="LeNet-5, which takes one image size"),
    pytest.param("resnet18", "batch,height,width", id="ResNet-18"),
    pytest.param("alexnet", "batch", id="AlexNet, which takes one image size"),
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "vary"), sample(ZOO, 1))
def test_the_zoo_at_random_sizes(name, vary):
    laws = cnncost.formula(name, vary=vary)
    random = Random(name)  # noqa: S311
    _, channels, high, wide = map(int, cnncost.zoo.entry(name).input.split("x"))
    for _ in range(5):
        sizes = {
            n: random.randrange(span.low, min(span.high, 12 * span.step + span.low) + 1, span.step)
            for n, span in zip(laws["macs"].names, laws["macs"].domain, strict=True)
        }  # fmt: skip
        report = direct(
            name, (sizes["batch"], channels, sizes.get("height", high), sizes.get("width", wide)),
            training=sizes["batch"] > 1,
        )  # fmt: skip
        memory, total = report.memory.figures, report.totals
        expected = {
            "macs": total.macs, "flops": total.flops, "bytes": total.bytes_read + total.bytes_written,
            "params": total.params, "inference_peak": memory.inference_peak, "training_peak": memory.training_peak,
            "activations": memory.activations,
        }  # fmt: skip
        for quantity, value in expected.items():
            law = laws[quantity]
            inside = law.known and all(span.has(sizes[n]) for n, span in zip(law.names, law.domain, strict=True))
            if value is not None and inside:
                assert law(**sizes) == value, (quantity, sizes)
        assert laws["macs"](**sizes) == total.macs


@pytest.fixture(scope="module")
def residual():
    return cnncost.formula("resnet18", vary="batch,size", training=False)


@pytest.mark.parametrize("quantity", ["macs", "flops", "bytes", "params"])
def test_a_total_is_the_sum_of_its_layers(residual, quantity):
    laws, law = residual, residual[quantity]

    for term in law.terms:
        assert sum(term.layers.values(), Fraction(0)) == term.coefficient
    at = (3, 64)
    assert sum(each.at(at) for each in laws.layers[quantity].values()) == law.at(at)
    assert not laws.irregular


def test_terms_name_the_layers_that_make_them(residual):
    (image, classes) = residual["macs"].terms

    assert image.powers == {"B": 1, "N": 2}
    assert image.layers["conv1"] == Fraction(7 * 7 * 3 * 64, 4)  # a quarter of the positions
    assert (classes.powers, classes.layers) == ({"B": 1}, {"fc": 512 * 1000})


@pytest.fixture(scope="module")
def doubled():
    return cnncost.formula(nets.Doubled(), "1x3x16x16", "batch,height,width", training=False)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        pytest.param(
            {"batch": 1, "height": 33, "width": 32}, "holds for height = multiples of 2", id="off the lattice"
        ),
        pytest.param({"batch": 0, "height": 32, "width": 32}, "holds from batch = 1 on", id="too small"),
        pytest.param({"batch": 1, "height": 10**9, "width": 32}, "was checked up to height = ", id="too large"),
        pytest.param({"batch": 1, "height": 32}, "expected a size for width, too", id="a size too few"),
        pytest.param({"batch": 1, "heigth": 32, "width": 32}, "did you mean height", id="a name misspelt"),
        pytest.param({"batch": 1.5, "height": 32, "width": 32}, "expected a whole number, got 1.5", id="no number"),
        pytest.param({"batch": True, "height": 32, "width": 32}, "expected a whole number, got True", id="a truth"),
    ],
)
def test_outside_of_where_it_holds(doubled, sizes, said):
    with pytest.raises(InputError, match=said):
        doubled["bytes"](**sizes)


def test_symbols_are_names_too():
    law = cnncost.formula(nn.Linear(3, 2), "1x3", "batch", training=False)["macs"]

    assert law(B=5) == law(batch=5) == 5 * 3 * 2


def test_control_flow_that_changes_with_the_size():
    law = cnncost.formula(nets.Wider(), "1x1x80x16", "height", training=False)["macs"]
    (span,) = law.domain

    assert (span.low, str(law)) == (64, "864·H")  # 16·(9·2 + 9·2·2)
    assert "second no longer follows its law" in span.below
    with pytest.raises(InputError, match=r"holds from height = 64 on, got 63: below, at H = 63, second"):
        law(height=63)


def test_control_flow_that_changes_above():
    law = cnncost.formula(nets.Wider(), "1x1x20x16", "height", training=False)["macs"]
    (span,) = law.domain

    assert (span.high, str(law)) == (63, "288·H")
    assert "second" in span.above


def test_no_lattice():
    with pytest.raises(InputError, match="no lattice of sizes from 32 on was found"):
        cnncost.formula(nets.Parity(), "1x32x4", "sequence", training=False)


@pytest.mark.parametrize(
    ("network", "inputs", "vary"),
    [
        pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), "1x3x4x4", "height", id="an image of one size"),
        pytest.param(nn.Linear(8, 2), "1x8", "0.1", id="features"),
    ],
)
def test_sizes_that_are_fixed(network, inputs, vary):
    with pytest.raises(InputError, match=rf"vary {vary}: forward runs at . alone; it fails at"):
        cnncost.formula(network, inputs, vary, training=False)


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        pytest.param("batch,height", "; leave height out and vary batch; height and width", id="beside a batch"),
        pytest.param("height", "; height can't be varied; height and width of squares vary", id="alone"),
        pytest.param("batch,size", "; leave size out and vary batch$", id="a square"),
        pytest.param("batch,0.1", "; leave 0.1 out and vary batch$", id="an axis"),
    ],
)
def test_what_to_vary_in_place_of_a_fixed_size(vary, said):
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    with pytest.raises(InputError, match=said):
        cnncost.formula(network, "1x3x4x4", vary, training=False)
    assert cnncost.formula(network, "1x3x4x4", "batch", training=False)["macs"](batch=3) == 3 * 48 * 2


@pytest.mark.parametrize("vary", ["batch", "height", "0.1"])
def test_nothing_to_vary(vary):
    with pytest.raises(InputError, match="give inputs, such as 1x3x224x224"):
        cnncost.formula(nn.Conv2d(3, 2, 1), vary=vary, training=False)


def test_reprs_are_one_line():
    laws = cnncost.formula(nn.Linear(3, 2), "1x3", "batch", training=False)

    assert repr(laws) == "<Laws of Linear by batch: macs=6·B, params=8>"  # 3·2 and 3·2 + 2
    for quantity, law in laws.items():
        assert repr(law).startswith(f"<Law {quantity} = {law} for B from 1 to 65,536, checked at ")
        assert "\n" not in repr(law)
        assert len(repr(law)) < 120


@pytest.mark.parametrize("training", [False, True])
def test_peaks_are_those_of_direct_analyses(training):
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3, padding=1))
    laws = cnncost.formula(network, "1x3x16x16", "batch,height,width", training=training)
    law = laws["training_peak" if training else "inference_peak"]
    for batch, height, width in [(1, 16, 16), (1, 2, 2), (3, 2, 40), (64, 128, 96), (1000, 4, 2)]:
        memory = direct(network, (batch, 3, height, width), training=training).memory
        assert law(batch=batch, height=height, width=width) == (
            memory.training_peak if training else memory.inference_peak
        )


def test_pieces_of_a_peak():
    """The weights' gradients outweigh one example; the maps outweigh them in a large batch."""
    network = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 4))
    law = cnncost.formula(network, "1x100", "batch")["training_peak"]
    along = law.along("batch")

    assert len(along) > 1
    assert [low for low, _, _ in along[1:]] == [high + 1 for _, high, _ in along[:-1]]
    for low, high, piece in along:
        for batch in {low, high}:
            assert piece.at((batch,)) == direct(network, (batch, 100), training=True).memory.training_peak


def test_lower_bounds_are_marked():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, x):
            return torch.ops.cnncost_test_laws.mystery(self.conv(x))

    laws = cnncost.formula(Net(), "1x1x8x8", "height", training=False)

    assert str(laws["macs"]) == "≥ 144·H"
    assert "mystery" in laws["macs"].bound
    assert not laws["params"].bound
    with pytest.raises(InputError, match="lower bound"):
        laws.solve("macs <= 1M")


def test_runs_on_values_are_marked():
    laws = cnncost.formula(nets.Gated(), "1x4", "batch", trace="real", training=False)

    assert str(laws["macs"]) == "32·B"
    assert laws["macs"].domain[0].high == 8  # values take memory: it is not run on a batch of 65,536
    assert any("each point is a run on" in note for note in laws.notes)


def test_without_a_training_step():
    laws = cnncost.formula(nn.ReLU(), "1x4", "batch")

    assert "no training step" in str(laws["training_peak"])
    assert str(laws["flops"]) == "4·B"
    assert set(cnncost.formula(nn.ReLU(), "1x4", "batch", training=False)) == {
        "macs", "flops", "bytes", "params", "inference_peak"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "said"),
    [
        pytest.param(cnncost.record(nn.Linear(3, 2), "1x3"), "a Graph is of one run", id="a Graph"),
        pytest.param("no_such_net", "no network of this name", id="an unknown name"),
    ],
)
def test_models_that_have_no_law(model, said):
    with pytest.raises(CnncostError, match=said):
        cnncost.formula(model, "1x3", "batch")


def test_the_model_is_left_alone():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    law = cnncost.formula(network, "4x3", "batch")["macs"]

    assert law.domain[0].low == 2  # batch norm needs two values a channel
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("vary", ["side+size=8..64", "size+side=8..64", "size+side=28,56,84", "side+size=20..40"])
def test_a_keyword_and_an_axis_together_begin_at_the_axis_own_size(vary):
    """784-10 on 28×28 images: what is analyzed at 28 is built for 28, too."""
    laws = cnncost.formula("fc10", vary=vary, training=False)
    assert (laws["params"](N=28), laws["macs"](N=28)) == (10 * 28 * 28 + 10, 10 * 28 * 28)


def test_a_quantity_misspelt():
    laws = cnncost.formula(nn.Linear(3, 2), "1x3", "batch", training=False)

    with pytest.raises(InputError, match="did you mean macs"):
        laws["mac"]
    assert "mac" not in laws
