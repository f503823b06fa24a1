import pytest

from cnncost.errors import CnncostError
from cnncost.report.model import Report

CONV1_1 = """\
features.conv1_1 (Conv2d)
  aten.conv2d (kind conv)
    x 1×3×224×224 float32, weight 64×3×3×3, bias 64 → 1×64×224×224
    MACs  = N·K·P·(C/g)·R = 1·64·50176·3·9 = 86,704,128
    FLOPs = 2·MACs + bias N·K·P = 2·86704128 + 1·64·50176 = 176,619,520"""


def test_a_layer_is_told_with_its_numbers(report):
    assert report("vgg16").explain("features.conv1_1") == CONV1_1


@pytest.mark.parametrize(
    ("name", "path", "line"),
    [
        pytest.param("vgg16", "flatten", "    free: no floating-point operation", id="a free op"),
        pytest.param("odd", "", "    unknown: no rule for this kind; add one with", id="an op without a rule"),
        pytest.param("odd", "", "  together: ≥512 MACs, ≥33,844 FLOPs", id="a sum with an unknown part"),
        pytest.param("odd", "", "    x 2×16 float32, tied.weight 16×16 → 2×16", id="another module's weight"),
        pytest.param("odd", "twice", "  aten.conv2d (kind conv) 2×", id="an op that ran twice"),
        pytest.param("odd", "twice", "; 2× = 9,437,184", id="what both runs add up to"),
        pytest.param("odd", "twice#2", "twice (Conv2d), call 2 of 2", id="the second call"),
        pytest.param("odd", "never", "  never called", id="never called"),
        pytest.param(
            "odd", "tied", "never called itself; its parameters are read by aten.linear in the model", id="used"
        ),
        pytest.param("odd", "blocks", "0 … 3 ×4", id="what the modules in it add"),
        pytest.param("resnet50", "layer3", "  runs no op itself", id="a container"),
        pytest.param("resnet50", "layer1.0", "    FLOPs = add E = 802,816", id="a parent's own op"),
        pytest.param("resnet50", "layer1.0", "(own) ", id="and its row among the children"),
        pytest.param("resnet50", "layer3", "total     Sequential  7,098,368  1,387,266,048", id="the children's total"),
        pytest.param("lenet5", "c3", "view of weight 6×3×5×5, view of bias 6", id="a part of a weight"),
        pytest.param("lenet5", "output", "FLOPs = sum n − sum o = 840 − 10 = 830", id="a term that is taken off"),
    ],
)
def test_says(name, path, line, report):
    assert line in report(name).explain(path)


@pytest.mark.parametrize("name", ["lenet5", "odd", "resnet50", "vgg16"])
def test_every_module_can_be_explained_in_80_columns(name, report):
    for path, _, _ in report(name).tree:
        assert all(len(line) <= 80 or "no_narrow_terminal" in line for line in report(name).explain(path).split("\n"))


@pytest.mark.parametrize("name", ["(own)", "(the model itself)", "odd", "Odd"])
def test_the_model_by_the_names_that_it_has_in_tables(name, report):
    assert report("odd").explain(name) == report("odd").explain("")


def test_a_parents_own_share_by_its_name(report):
    assert report("resnet50").explain("layer1.0 (own)") == report("resnet50").explain("layer1.0")


def test_a_path_that_is_like_none_is_told_some_that_there_are(report):
    expected = (
        "'nope': the model has no module of this path; \"\" is the model itself, "
        "which contains c1, squash1, s2, squash2 and"
    )
    with pytest.raises(CnncostError, match=expected):
        report("lenet5").explain("nope")


def test_near_names_of_an_unknown_path(report):
    with pytest.raises(CnncostError, match=r"'features.conv9_1': .*did you mean features.conv5_1"):
        report("vgg16").explain("features.conv9_1")


def test_a_call_that_never_was(report):
    with pytest.raises(CnncostError, match="'twice#3'"):
        report("odd").explain("twice#3")


def test_a_report_from_a_file_has_no_formulas(report):
    with pytest.raises(CnncostError, match="was read from a file, which has no formulas; analyze the model itself"):
        Report.from_json(report("lenet5").to_json()).explain("c3")
