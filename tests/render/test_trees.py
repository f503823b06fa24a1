"""Tables whose rows have levels, and columns with bars, in every format."""

import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnncost.render.document import Bar, Cell, Column, Document, Narrowing, Row, Table
from cnncost.render.formats import FORMATS, rendered
from cnncost.render.html import to_html
from cnncost.render.text import to_text

TREES = st.recursive(st.just([]), lambda below: st.lists(below, max_size=4), max_leaves=12)
SHARE = Column("share", "share of all", "share", bar=Bar(4, 20, "% of all"))


def levels(tree, level=0):
    """The levels of a tree of lists, parents first."""
    return [each for child in tree for each in (level, *levels(child, level + 1))]


def drawn(tree, before="", first=True):
    """The same as `tree` of coreutils draws it, except that the first level has no lines."""
    for i, child in enumerate(tree):
        last = i == len(tree) - 1
        yield before + ("" if first else "└─ " if last else "├─ ")
        yield from drawn(child, "" if first else before + ("   " if last else "│  "), False)


def document(found, total=True):
    rows = [Row((f"n{i}", i), level=level) for i, level in enumerate(found)]
    end = [Row(("sum", 7), "total")] if total else []
    return Document("t", "t", parts=(Table((Column("n", "n", "name"), Column("v", "v", "count")), (*rows, *end)),))


@settings(deadline=None, max_examples=60)
@given(tree=TREES, total=st.booleans())
def test_lines_are_those_of_the_tree(tree, total):
    lines = to_text(document(levels(tree), total), 200).splitlines()[4:]
    names = [re.split(r"n\d", line)[0] for line in lines if not line.startswith(("─", "sum"))]
    assert names == list(drawn(tree))


@settings(deadline=None, max_examples=60)
@given(tree=TREES)
def test_html_is_nested_as_the_tree(tree):
    """Names, and where an element with rows below it begins and ends, in the order of the tree."""

    def nested(tree, names):
        for child in tree:
            name = next(names)
            yield from ["<details", name, *nested(child, names), "</details"] if child else [name]

    page = to_html(document(levels(tree)))
    found = re.findall(r"</?details|(?<=>)n\d+(?=<)", page)
    assert found == list(nested(tree, iter([f"n{i}" for i in range(len(levels(tree)))])))


@pytest.mark.parametrize(("opened", "count"), [(0, 0), (1, 0), (2, 1), (3, 3), (9, 3)])
def test_html_is_open_down_to_a_level(opened, count):
    """Of a > (b > (c), d > (e)): a is open if 2 levels are shown, b and d if 3."""
    rows = tuple(Row((name,), level=level) for name, level in zip("abcde", (0, 1, 2, 1, 2), strict=True))
    table = Table((Column("n", "n", "name"),), rows, open=opened)
    assert to_html(Document("t", parts=(table,))).count("<details open>") == count


@pytest.mark.parametrize(
    ("width", "longest", "heading"),
    [
        pytest.param(80, 20, "share of all", id="the widest"),
        pytest.param(30, 16, "share of all", id="30 - 6 - 2 - 5 - 1"),
        pytest.param(20, 6, "share of all", id="6 that are left, as much as the heading"),
        pytest.param(19, 5, "% of all", id="5 that are left"),
        pytest.param(18, 4, "% of all", id="the least"),
        pytest.param(17, 0, "", id="no room"),
    ],
)
def test_bars_take_the_room_that_is_left(width, longest, heading):
    """Names take 6, percents 5, gaps 2 and 1."""
    rows = (Row(("abcdef", Fraction(1, 4))), Row(("b", Fraction(3, 4))), Row(("sum", Fraction(1)), "total"))
    table = Table((Column("n", "n"), SHARE), rows, narrowing=(Narrowing(("share",)),))
    lines = to_text(Document("t", parts=(table,), least=1), width).splitlines()
    assert lines[3].count("█") == longest
    assert lines[-1].count("█") == 0
    assert lines[0].split(maxsplit=1)[1:] == ([heading] if heading else [])
    assert max(map(len, lines)) <= width


def test_a_step_sets_widths_for_itself_alone():
    """Text is cut in the step that allows it, and whole again once the next step has made room."""
    columns = (Column("a", "a"), Column("b", "b"), Column("v", "v", "count"))
    rows = (Row(("x" * 10, "y" * 10, 1_000_000)),)
    steps = (Narrowing(least=(("a", 5),)), Narrowing(("b",)))
    table = Document("t", parts=(Table(columns, rows, narrowing=steps),), least=1)
    assert "x" * 10 + "  " + "y" * 10 in to_text(table, 33)
    assert "xx…xxx  yyyyyyyyyy" in to_text(table, 29)
    assert "xxxxxxxxxx  1,000,000" in to_text(table, 27)


@pytest.mark.parametrize("form", FORMATS.names)
def test_every_format_has_the_rows_of_a_tree(form):
    table = Table((Column("n", "n", "name"), Column("v", "v", "count")), tuple(
        Row((Cell(f"name{level}"), 1000 + level), level=level) for level in range(3)
    ), name="rows")  # fmt: skip
    text = rendered(Document("t", "t", parts=(table,)), form).replace(",", "").replace("{}", "")
    for level in range(3):
        assert re.search(rf"name{level}\D*{1000 + level}", text)
