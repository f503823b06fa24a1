import pytest

from cnncost.render.layout import (
    Cell,
    TableColumn,
    bar,
    guide,
    needed,
    plain,
    printable,
    shorten,
    table,
    text_width,
    to_ascii,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("conv1", 5, id="ASCII"),
        pytest.param("1×3 …", 5, id="signs of the layout take one place"),
        pytest.param("線形", 4, id="wide characters take two"),
        pytest.param("é", 1, id="combining marks take none"),
    ],
)
def test_places(text, number):
    assert text_width(text) == number


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        pytest.param("features.conv1_1", 16, "features.conv1_1", id="what fits stays"),
        pytest.param("features.conv1_1", 11, "featu…nv1_1", id="the middle makes way"),
        pytest.param("線線線線線", 6, "線…線", id="half a wide character is none"),
        pytest.param("conv", 2, "co", id="too narrow for a sign"),
        pytest.param("conv", 0, "", id="no place at all"),
    ],
)
def test_shorten(text, width, shown):
    assert shorten(text, width) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        pytest.param(0, 100, "", id="nothing"),
        pytest.param(100, 100, "████", id="all"),
        pytest.param(50, 100, "██", id="half"),
        pytest.param(53, 100, "██▏", id="eighths of a place"),
        pytest.param(1, 10**9, "▏", id="what is something is seen"),
        pytest.param(5, 0, "", id="of nothing"),
    ],
)
def test_bar_of_four_places(part, whole, shown):
    assert bar(part, whole, 4) == shown


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        pytest.param((False,), "", id="the first level stands at the margin"),
        pytest.param((False, False), "├─ ", id="a child with siblings after it"),
        pytest.param((False, True), "└─ ", id="the last child"),
        pytest.param((True, False, True), "│  └─ ", id="a line past those that go on"),
        pytest.param((True, True, False), "   ├─ ", id="none past those that ended"),
    ],
)
def test_guide(last, shown):
    assert guide(last) == shown


def test_control_characters_are_shown_and_not_obeyed():
    assert printable("a\n\x1b[31mb") == r"a\n\x1b[31mb"


def test_ascii_says_the_same():
    assert to_ascii("├─ 1×3 ≥5 → N·K … é") == "|- 1x3 >=5 -> N*K ~ ?"


NAMES = TableColumn("name", [Cell("conv"), Cell("a_long_name", tail=" (note)"), Cell("total")], least=13)
NUMBERS = TableColumn("MACs", [Cell("1"), Cell("23"), Cell("24")], right=True)


def shown(width):
    return [plain(line) for line in table([NAMES, NUMBERS], width, rules=[2])]


def test_table_is_as_wide_as_it_needs():
    assert shown(80) == [
        "name                MACs",
        "────────────────────────",
        "conv                   1",
        "a_long_name (note)    23",
        "────────────────────────",
        "total                 24",
    ]


def test_narrow_table_shortens_the_name_and_not_the_note():
    assert needed([NAMES, NUMBERS]) == 19
    assert shown(19) == [
        "name           MACs",
        "───────────────────",
        "conv              1",
        "a_…ame (note)    23",
        "───────────────────",
        "total            24",
    ]


def test_where_a_note_leaves_no_place_it_gives_way_too():
    field = TableColumn("", [Cell("0", lead="│  └─ ", tail=" (not called)")], least=4)
    assert plain(table([field], 12)[2]) == "│  └─…alled)"


def test_what_is_left_goes_to_each_alike():
    fields = [
        TableColumn("a", [Cell("x" * 20)], least=4),
        TableColumn("b", [Cell("y" * 9)], least=4),
        TableColumn("c", [Cell("z" * 20)]),
    ]
    assert plain(table(fields, 40)[2]) == "xxx…xxxx  yyy…yyyy  " + "z" * 20


def test_a_text_goes_on_below_and_its_row_stays_together():
    fields = (TableColumn("a", [Cell("1"), Cell("22")], right=True),
              TableColumn("what", [Cell("one two three"), Cell("four")], least=6, wrap=True))  # fmt: skip
    assert [plain(line) for line in table(fields, 12, below={0: [[("  a remark", "note")]]})] == [
        " a  what", "────────────", " 1  one two", "    three", "  a remark", "22  four",
    ]  # fmt: skip
