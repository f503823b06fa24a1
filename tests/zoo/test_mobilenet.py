from fractions import Fraction

import pytest
from torch import nn

import cnncost
from cnncost import zoo


def analyzed(size: int = 224, **options: object) -> cnncost.Report:
    return cnncost.analyze(zoo.build("mobilenet", **options), (1, 3, size, size))


@pytest.mark.parametrize(
    ("width", "macs", "params"),
    [
        pytest.param(1.0, 569, "4.2", id="1.0"),
        pytest.param(0.75, 325, "2.6", id="0.75"),
        pytest.param(0.5, 149, "1.3", id="0.5"),
        pytest.param(0.25, 41, "0.5", id="0.25"),
    ],
)
def test_width_multipliers_cost_what_table_6_prints(width, macs, params):
    totals = analyzed(width=width).totals
    assert (round(totals.macs / 1e6), f"{totals.params / 1e6:.1f}") == (macs, params)


@pytest.mark.parametrize(
    ("size", "macs"),
    [
        pytest.param(224, 569, id="224"),
        pytest.param(192, 418, id="192"),
        pytest.param(160, 290, id="160"),
        pytest.param(128, 186, id="128"),
    ],
)
def test_resolutions_cost_what_table_7_prints(size, macs):
    totals = analyzed(size).totals
    assert totals.params == 4_231_976
    assert macs - 0.5 < totals.macs / 1e6 < macs + 1  # in millions, rounded, or cut off at 160


def test_shares_by_type_of_layer_are_those_of_table_2():
    """Of MACs, and of weights: batch norm and the bias are not in the paper's."""
    report = analyzed()
    layers = {row.path: row for row in report.layers if row.macs}
    weights = {name.removesuffix(".weight"): p.numel() for name, p in zoo.build("mobilenet").named_parameters()}
    of_weights = sum(weights[path] for path in layers)

    def shares(part: str) -> tuple[str, str]:
        paths = [path for path in layers if part in path]
        macs = Fraction(sum(layers[path].macs for path in paths), report.totals.macs)
        return f"{100 * float(macs):.2f}", f"{100 * sum(weights[path] for path in paths) / of_weights:.2f}"

    assert shares("pointwise") == ("94.86", "74.59")
    assert shares("depthwise") == ("3.06", "1.06")
    assert shares("fc") == ("0.18", "24.33")


def test_its_receptive_field_is_the_published_one():
    """Araujo, Norris, Sim 2019, Computing Receptive Fields of Convolutional Neural Networks: 315, and stride 32."""
    field = analyzed().receptive_field("features")
    assert (field.size, field.jump) == ((315, 315), (32, 32))


def test_a_depthwise_convolution_has_a_group_for_each_channel():
    convolutions = [m for m in zoo.build("mobilenet").features.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 27  # 28 layers with the linear one, section 3.2
    assert [m.groups for m in convolutions[1::2]] == [32, 64, 128, 128, 256, 256, *[512] * 6, 1024]
    assert {m.groups for m in convolutions[::2]} == {1}
