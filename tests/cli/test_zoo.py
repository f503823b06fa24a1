import subprocess

import pytest

from cnncost import zoo
from cnncost.cli import main
from cnncost.cli.zoo import _short
from cnncost.render.layout import text_width


@pytest.fixture
def run(capsys, monkeypatch):
    """Run `cnncost zoo …` in a terminal of a width: exit status, stdout, stderr."""

    def call(*arguments, width=80):
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit) as exited:
            main(["zoo", *arguments])
        return (exited.value.code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("width", [60, 80, 130])
def test_list_has_every_network_and_fits(width, run):
    code, out, err = run(width=width)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    first = next(i for i, line in enumerate(lines) if line.startswith("─")) + 1
    assert [line.split()[0] for line in lines[first : lines.index("", first)]] == list(zoo.names())
    assert max(map(text_width, lines)) <= width


def test_wide_list_has_titles_and_exact_numbers(run):
    _, out, _ = run(width=130)
    row = next(line for line in out.splitlines() if line.startswith("lenet5 "))
    assert row.split() == ["lenet5", "LeNet-5", "1×1×32×32", "60,000", "325,680", "LeCun", "et", "al.", "1998"]


def test_narrow_list_has_short_numbers(run):
    _, out, _ = run(width=80)
    row = next(line for line in out.splitlines() if line.startswith("resnet50"))
    assert row.split() == ["resnet50", "1×3×224×224", "25.6", "M", "3.86", "G", "He", "et", "al.", "2015"]


@pytest.mark.parametrize("name", ["lenet5", "alexnet_two_gpu", "vgg16", "resnet50", "conv6_valid", "fc10"])
def test_a_network_is_told_with_all_its_figures(name, run):
    code, out, _ = run(name, width=120)
    figures = zoo.entry(name).published
    assert code == 0
    assert sum(line.startswith(("✓", "≈", "✗")) for line in out.splitlines()) == len(figures)
    assert f"{len(figures)} of {len(figures)} figures agree" in out
    assert max(map(text_width, out.splitlines())) <= 120


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("lenet5: LeNet-5, input 1×1×32×32", id="title and input"),
        pytest.param("paper: LeCun, Bottou, Bengio, Haffner 1998, Gradient-Based Learning", id="paper"),
        pytest.param("  - the RBF codes are ten digits of 7x12 pixels drawn anew", id="deviations"),
        pytest.param("as analyzed: 60,000 parameters, 325,680 MACs", id="totals"),
        pytest.param("✓  trainable params  network     60,000   60,000", id="a figure of the network"),
        pytest.param("✓  connections       c3         151,600  151,600", id="a figure of a layer"),
        pytest.param("  MACs, 325,680: without the 840 squared differences of the RBF", id="a remark"),
    ],
)
def test_lenet5(line, run):
    _, out, _ = run("lenet5", width=120)
    assert any(each.startswith(line) for each in out.splitlines())


def test_within_a_tolerance_is_not_exact(run):
    _, out, _ = run("resnet50", width=100)
    assert "≈  MACs      network  3,800,000,000  3,857,973,248" in out
    assert "  MACs, 3,800,000,000 ± 1.6 %: truncated to two digits: 3.86" in out


def test_a_figure_that_differs_is_marked(run, monkeypatch):
    monkeypatch.setattr("cnncost.zoo.Figure.agrees", lambda self, found: self.quantity != "macs")
    _, out, _ = run("fc10", width=100)
    assert sum(line.startswith("✗  MACs") for line in out.splitlines()) == 1
    assert "1 of 2 figures agrees" in out


def test_no_deviations(run):
    assert "deviations from it: none\n" in run("resnet50")[1]


def test_unknown_network_has_near_names(run):
    code, out, err = run("lenet6")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "did you mean lenet5" in err


@pytest.mark.parametrize(
    ("paper", "short"),
    [
        pytest.param("LeCun, Bottou, Bengio 1998, Gradient-Based", "LeCun et al. 1998", id="many authors"),
        pytest.param("Simonyan, Zisserman 2015, Very Deep", "Simonyan, Zisserman 2015", id="two authors"),
        pytest.param("after LeCun, Bottou, Bengio 1998, G", "LeCun et al. 1998", id="after a paper"),
        pytest.param("MN909 lecture, slide 46", "MN909 lecture, slide 46", id="no paper"),
    ],
)
def test_short(paper, short):
    assert _short(paper) == short


def test_ascii_where_stdout_has_no_more(python):
    code = "from cnncost.cli import main; main(['zoo', 'resnet34'])"
    environment = {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*python, "-c", code], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
