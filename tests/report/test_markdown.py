import re
from dataclasses import replace

import pytest

from cnncost.render import markdown
from cnncost.report.document import document


def to_markdown(report, **how):
    return markdown.to_markdown(document(report, **how))


@pytest.mark.parametrize("by", ["layer", "module", "op"])
@pytest.mark.parametrize("name", ["lenet5", "odd", "resnet50"])
def test_every_row_has_as_many_cells_as_the_heading(name, by, report):
    lines = [line for line in to_markdown(report(name), by=by).splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert re.fullmatch(r"(\| (:--|--:) )+\|", lines[1])


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("# odd (Odd)", id="model"),
        pytest.param(
            "input 2×3×32×32 float32, batch size 2. "
            "MAC = one multiply-accumulate; FLOP: a MAC is two, plus bias, norm, activation.",
            id="inputs and convention",
        ),
        pytest.param("- biggest: twice (2 calls), 91 % of MACs", id="biggest"),
        pytest.param("**1 op without a rule, left out of the sums marked ≥, which are lower bounds", id="lower bounds"),
        pytest.param(r"- cnncost_test_report.mystery, 1×, first in the model itself", id="unknown op, escaped"),
    ],
)
def test_odd_says(line, report):
    """A line may go on, as that on lower bounds does if there is a column of ratios."""
    assert any(each.startswith(line) for each in to_markdown(report("odd")).splitlines())


def test_biggest_and_total_are_bold(report):
    bold = [line for line in to_markdown(report("lenet5")).splitlines() if line.startswith("| **")]
    assert [line.split(" | ")[0] for line in bold] == ["| **`c3`**", "| **total**"]


def test_depth_cuts_the_tree(report):
    text = to_markdown(report("resnet50"), by="module", depth=1)
    assert "`layer1`" in text
    assert "`layer1.0`" not in text


def test_names_can_neither_end_a_cell_nor_a_code_span(report):
    layers = (replace(report("lenet5").layers[0], path="a`b|c"),)
    assert r"| **``a`b\|c``** |" in to_markdown(replace(report("lenet5"), layers=layers))
