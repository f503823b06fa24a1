"""The table of modules: what it shows is what the Report has, however it is folded, sorted and searched."""

import csv
import io

import pytest

EXACT = ("params", "macs", "flops")


def number(text):
    return int(text.lstrip("≥").replace(",", ""))


def whole(page):
    """Everything open, nothing folded."""
    if page.get_by_label("fold equal blocks").count():
        page.get_by_label("fold equal blocks").uncheck()
    page.get_by_role("button", name="Open all").click()


def names(rows, page):
    return [row["name"] for row in rows(page)]


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "blocks"])
def test_every_number_is_the_reports(name, report, opened, rows):
    page = opened(report.html(name))
    whole(page)
    shown = {row["name"]: row["cells"] for row in rows(page)}
    for module in report(name).modules:
        cells = shown[module.path or report(name).model]
        assert [number(cells[column]) for column in EXACT] == [module.params, module.macs, module.flops]
        assert all(cells[column].startswith("≥") == module.unknown for column in ("macs", "flops", "bytes_read"))


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "blocks"])
def test_rows_below_a_module_add_up_to_it(name, report, opened, rows):
    """Its modules and its own share."""
    page = opened(report.html(name))
    for fold in (True, False):
        if not fold:
            whole(page)
        page.get_by_role("button", name="Open all").click()
        found = rows(page)
        for i, row in enumerate(found):
            below = []
            for each in found[i + 1 :]:
                if each["level"] <= row["level"]:
                    break
                if each["level"] == row["level"] + 1:
                    below.append(each)
            if below:
                for column in EXACT:
                    assert sum(number(each["cells"][column]) for each in below) == number(row["cells"][column])


def test_equal_blocks_are_one_row_with_their_sum(report, opened, rows):
    page = opened(report.html("blocks"))
    page.get_by_role("button", name="Open all").click()
    folded = next(row for row in rows(page) if "×4" in row["cells"]["module"])
    assert number(folded["cells"]["params"]) == 4 * report("blocks").module("blocks.1").params


def test_a_heading_sorts_siblings_and_comes_back(report, opened, rows):
    page = opened(report.html("lenet5"))
    order = names(rows, page)
    head = page.locator("[role=columnheader][data-column=params]")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    params = [number(row["cells"]["params"]) for row in rows(page)[1:]]
    assert params == sorted(params, reverse=True)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").click()
    assert (head.get_attribute("aria-sort"), names(rows, page)) == ("none", order)


def test_layers_only_are_one_list(report, opened, rows):
    page = opened(report.html("resnet50"))
    whole(page)
    page.get_by_label("layers only").check()
    page.locator("[role=columnheader][data-column=macs] button").click()
    found = rows(page)
    assert {row["level"] for row in found} == {1}
    macs = [number(row["cells"]["macs"]) for row in found]
    assert (macs, sum(macs)) == (sorted(macs, reverse=True), report("resnet50").totals.macs)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        pytest.param("downsample", lambda module: "downsample" in module.path, id="a part of the path"),
        pytest.param("class:maxpool", lambda module: module.class_name == "MaxPool2d", id="a class"),
        pytest.param(
            "params>2M conv", lambda m: m.params > 2e6 and "conv" in f"{m.path} {m.class_name}".lower(), id="a limit"
        ),
        pytest.param("macs<=1000 fc", lambda module: False, id="nothing"),
    ],
)
def test_search_keeps_what_matches_and_what_is_above(query, wanted, report, opened, rows):
    page = opened(report.html("resnet50"))
    whole(page)
    page.get_by_label("Search").fill(query)
    matching = {module.path for module in report("resnet50").modules if wanted(module)}
    kept = {path[:i] for path in matching for i in [*(i for i, c in enumerate(path) if c == "."), len(path)]}
    assert {name for name in names(rows, page) if name != "resnet50"} == kept


def test_keys_move_open_and_close(report, opened):
    page = opened(report.html("resnet50"))
    grid = page.get_by_role("treegrid")
    grid.focus()
    page.keyboard.press("End")
    assert page.locator("[aria-selected=true] .name").get_attribute("title") == "fc"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert page.locator("[data-row]").count() == 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageUp")
    assert page.locator("[aria-selected=true] .name").get_attribute("title") == "conv1"
    assert grid.get_attribute("aria-activedescendant") == page.locator("[role=row][aria-selected=true]").get_attribute(
        "id"
    )


def test_columns_can_be_left_out(report, opened):
    page = opened(report.html("lenet5"))
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("params", exact=True).uncheck()
    assert page.locator("[role=columnheader][data-column=params]").count() == 0
    page.get_by_label("params", exact=True).check()
    assert page.locator("[role=columnheader][data-column=params]").count() == 1


def copied(page, form):
    page.get_by_role("button", name=form, exact=True).click()
    page.get_by_text("rows copied").wait_for()
    return page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "blocks"])
def test_csv_is_exact(name, report, opened):
    page = opened(report.html(name), permissions=["clipboard-read", "clipboard-write"])
    whole(page)
    found = [row for row in csv.DictReader(io.StringIO(copied(page, "CSV"))) if not row["share_of"]]
    names = ("params", "macs", "flops", "bytes_read", "bytes_written")
    assert [(row["path"], *(int(row[n]) for n in names), row["unknown"]) for row in found] == [
        (m.path, *(getattr(m, n) for n in names), str(m.unknown)) for m in report(name).modules
    ]


def test_markdown_has_a_cell_for_each_column(report, opened):
    page = opened(report.html("lenet5"), permissions=["clipboard-read", "clipboard-write"])
    head, rule, *lines = copied(page, "Markdown").splitlines()
    assert len(lines) == len(report("lenet5").modules)
    assert {line.count("|") for line in (head, rule, *lines)} == {head.count("|")}
    assert "| f6 | Linear |" in "\n".join(lines)


def test_latex_has_a_line_for_each_row(report, opened):
    page = opened(report.html("lenet5"), permissions=["clipboard-read", "clipboard-write"])
    text = copied(page, "LaTeX")
    assert text.count(r"\\") == len(report("lenet5").modules) + 1
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    assert r"1$\times$10" in text


def test_rows_that_stand_for_several_say_so_wherever_they_are(report, opened, rows):
    """In one list and in copies, too, where the block that they are in is not above them."""
    page = opened(report.html("blocks"), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("layers only").check()
    conv = report("blocks").module("blocks.1.0")
    row = next(row for row in rows(page) if row["name"] == "blocks.1.0 … blocks.4.0")
    assert (row["cells"]["module"], number(row["cells"]["params"])) == ("blocks.1.0 … blocks.4.0 ×4", 4 * conv.params)
    line = next(row for row in csv.DictReader(io.StringIO(copied(page, "CSV"))) if row["path"].startswith("blocks.1.0"))
    assert (line["modules"], int(line["macs"])) == ("4", 4 * conv.macs)


def test_a_search_finds_each_of_several(report, opened, rows):
    page = opened(report.html("blocks"))
    page.get_by_label("Search").fill("blocks.3.0")
    assert "blocks.1.0 … blocks.4.0" in names(rows, page)


def test_a_time_that_leaves_ops_out_is_a_lower_bound(report, opened, rows):
    """An op without a rule has no time on any device."""
    page = opened(report.html("blocks"))
    page.get_by_role("button", name="Open all").click()
    times = {row["name"]: row["cells"]["seconds"] for row in rows(page)}
    assert {name for name, time in times.items() if time.startswith("≥")} == {"net", "(own)"}
    page.get_by_text("Predicted time on every device").click()
    assert all(time.startswith("≥") for time in page.locator(".on-devices td.n").all_inner_texts())
    assert "≥" in page.locator(".roofline p").inner_text()


def test_a_list_that_gets_shorter_is_shown_from_where_it_ends(report, opened):
    """In the same frame: it was scrolled further down than it is long now."""
    page = opened(report.html("resnet50"))
    whole(page)
    shown = page.evaluate(
        """() => {
          const grid = document.querySelector('.grid'), search = document.querySelector('#search');
          grid.scrollTop = 1e6;
          grid.dispatchEvent(new Event('scroll'));
          search.value = 'maxpool';
          search.dispatchEvent(new Event('input'));
          return document.querySelectorAll('[data-row]').length;
        }"""
    )
    assert shown == 2
