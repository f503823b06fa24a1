"""The page of a sweep: the same views as of a comparison, however many rows there are."""

import csv
import io
import json
from collections import defaultdict
from math import log

import pytest
from axe_playwright_python.sync_playwright import Axe

from cnncost import units
from cnncost.render.html import to_html
from cnncost.sweeps.api import run
from cnncost.sweeps.page import page as document
from cnncost.sweeps.page import page_data
from cnncost.sweeps.read import from_data
from tests.samples import sample

NETWORKS = ["lenet1", "lenet5", "alexnet"]
ACCURACY = "model,top1,top1_error,year\nlenet1,98.3,1.7,1989\nlenet5,99.05,0.95,1998\n"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.csv"
    path.write_text(ACCURACY)
    grid = {"batch": [1, 8], "device": ["h100"], "columns": ["params", "macs", "inference_peak", "receptive_field"]}
    return run(from_data(NETWORKS, grid), jobs=1, join=path)


@pytest.fixture
def page(swept, opened):
    return opened(to_html(document(swept)), permissions=["clipboard-read", "clipboard-write"])


def large(count, swept):
    """The same table with so many rows, each with figures of its own; one is an error."""
    names = swept.names
    rows = []
    for i in range(count):
        row = dict(zip(names, swept.rows[i % len(swept.rows)], strict=True))
        row |= {"model": f"net{i}", "params": 1000 + 7919 * i % 99991, "macs": 10**6 + 104729 * i % 9999991}
        if i == 5:
            row = dict.fromkeys(names) | {"model": "net5", "batch": 1, "error": "no such model"}
        rows.append(tuple(row[name] for name in names))
    return swept._replace(rows=rows)


def test_every_number_is_the_tables(page, swept):
    page.get_by_role("button", name="CSV", exact=True).click()
    page.get_by_text("rows copied").wait_for()
    found = [*csv.DictReader(io.StringIO(page.evaluate("navigator.clipboard.readText()")))]
    assert len(found) == len(swept.rows) == 6
    for shown, record in zip(found, swept.records(), strict=True):
        assert shown["model"] == f"{record['model']} batch={record['batch']}"
        assert [int(shown[name]) for name in ("params", "macs", "inference_peak")] == [
            record[name] for name in ("params", "macs", "inference_peak")
        ]
        assert float(shown["seconds_h100"]) == record["seconds_h100"]
        assert shown["top1"] == ("" if record["top1"] is None else str(record["top1"]))
        assert shown["receptive_field"] == (record["receptive_field"] or "")


def test_what_cells_show_is_as_everywhere(page, swept):
    for i, record in enumerate(swept.records()):
        cells = {name: page.locator(f".grid [data-row='{i}'] [data-column='{name}']").inner_text()
                 for name in ("macs", "inference_peak", "seconds_h100")}  # fmt: skip
        assert cells == {"macs": units.exact(record["macs"]), "inference_peak": units.data(record["inference_peak"]),
                         "seconds_h100": units.si(record["seconds_h100"], "s")}  # fmt: skip


def test_fronts_are_those_of_each_batch_by_brute_force(swept):
    data = page_data(swept)
    better = {axis["name"]: axis["better"] for axis in data["axes"]}
    assert better == {"batch": "", "params": "less", "macs": "less", "inference_peak": "less", "seconds_h100": "less",
                      "top1": "more", "top1_error": "less", "year": ""}  # fmt: skip
    records = [*swept.records()]
    assert data["fronts"]
    for pair, fronts in data["fronts"].items():
        a, b = pair.split(" ")
        groups = defaultdict(dict)
        for i, record in enumerate(records):
            if record[a] is not None and record[b] is not None:
                sign = [-1 if better[name] == "more" else 1 for name in (a, b)]
                groups[record["batch"]][i] = (sign[0] * record[a], sign[1] * record[b])
        wanted = [
            [i for i, (x, y) in of.items()
             if not any(u <= x and v <= y and (u, v) != (x, y) for u, v in of.values())]
            for of in groups.values()
        ]  # fmt: skip
        assert fronts == wanted


def test_each_batch_has_a_line(page):
    page.get_by_label("Across").select_option("macs")
    page.get_by_label("Up").select_option("top1")
    assert page.locator("polyline.front").count() == 2
    assert "of each batch size" in page.locator(".scatter [role=status]").inner_text()
    assert "2 without a value have no dot" in page.locator(".scatter [role=status]").inner_text()
    assert page.locator("circle").count() == 4


def test_it_is_linked_and_searched(page, swept):
    page.locator("circle[data-row='2']").click()
    assert page.locator("[aria-selected=true] .name").inner_text().startswith("lenet5 batch=1")
    page.get_by_label("Search").fill("batch=8 params>10k")
    wanted = [r for r in swept.records() if r["batch"] == 8 and r["params"] > 10_000]
    assert page.locator(".grid-body [data-row]").count() == len(wanted)


def test_a_row_that_failed_has_its_error(swept, opened):
    page = opened(to_html(document(large(8, swept))))
    row = page.locator(".grid [data-row='5']")
    assert row.locator("[data-column=error]").inner_text() == "no such model"
    assert row.locator("[data-column=macs]").inner_text() == ""
    assert page.get_by_text("1 row failed: their column error says why").is_visible()


@pytest.mark.parametrize(
    ("columns", "axes"),
    [
        ("flops,macs", ("macs", "flops")),
        ("flops,params", ("params", "flops")),
        ("flops", ("flops", "batch")),
        ("macs,params", ("macs", "params")),
        ("accuracy,macs", ("macs", "batch")),
    ],
)
def test_two_different_figures_are_drawn_first(columns, axes):
    """Of MACs, accuracy and parameters those that the table has; then results, and last what the grid varies."""
    data = page_data(run(from_data(["lenet5", "lenet1"], {"batch": [1, 2], "columns": columns.split(",")}), jobs=1))
    assert (data["x"], data["y"]) == axes


def test_lower_bounds_are_marked(swept, opened):
    at = swept.names.index("lower_bound")
    rows = [(*row[:at], "macs inference_peak", *row[at + 1 :]) if i == 1 else row for i, row in enumerate(swept.rows)]
    page = opened(to_html(document(swept._replace(rows=rows))))
    for name, marked in {"macs": True, "inference_peak": True, "params": False}.items():
        for i in range(3):
            text = page.locator(f".grid [data-row='{i}'] [data-column={name}]").inner_text()
            assert text.startswith("≥") == (marked and i == 1)


@pytest.mark.long
def test_many_rows(swept, opened):
    """20,000: each dot of a front is drawn, others where they can be seen, and a stretch keeps what is in it."""
    many = large(20_000, swept)
    page = opened(to_html(document(many)))
    page.get_by_text("lines of").wait_for()
    best = {i for front in page_data(many)["fronts"]["params macs"] for i in front}
    page.get_by_label("Across").select_option("params")
    page.get_by_label("Up").select_option("macs")
    drawn = {int(i) for i in page.evaluate("[...document.querySelectorAll('circle')].map(c => c.dataset.row)")}
    assert best <= drawn
    assert 400 < len(drawn) < 1_200
    told = page.locator(".scatter [role=status]").inner_text()
    assert f"{19_999 - len(drawn):,} dots lie at others" in told
    lines = page.locator(".parallel path.model").count()
    assert f"lines of {lines:,} are drawn" in page.locator(".parallel [role=status]").inner_text()
    assert 250 < lines <= 500
    page.locator(".parallel").scroll_into_view_if_needed()
    box = page.locator("[data-axis=macs] .handle").bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"], steps=3)
    page.mouse.up()
    said = page.locator(".parallel [role=status]").inner_text()
    kept = int(said.split()[0].replace(",", ""))
    macs = [row["macs"] for row in many.records() if row["macs"] is not None]
    low, high = min(macs) / 1.15, max(macs) * 1.15
    assert kept == pytest.approx(sum(log(n / low) < 0.5 * log(high / low) for n in macs), rel=0.02)
    assert f"{kept:,} of 20,000 kept" in said


def test_without_scripts_the_table_is_cut(swept, opened):
    page = opened(to_html(document(large(2_100, swept))), java_script_enabled=False)
    assert page.get_by_text("2,000 of 2,100 rows are in this table").is_visible()
    assert page.locator("tbody tr").count() == 2_000


@pytest.mark.parametrize("scheme", sample(["dark", "light"], 1))
def test_axe_finds_nothing(scheme, swept, opened):
    page = opened(to_html(document(swept)), color_scheme=scheme)
    page.get_by_role("treegrid").wait_for()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []


@pytest.mark.parametrize("kind", ["sweep", "model"])
def test_no_image_is_without_a_name_before_charts_are_drawn(kind, swept, report, opened):
    """As long as a busy machine has not drawn them, which here never does."""
    text = to_html(document(swept)) if kind == "sweep" else report.html("lenet5 training")
    assert text.count("<head>") == 1
    page = opened(text.replace("<head>", "<head><script>window.requestAnimationFrame = () => 0</script>"), drawn=False)
    page.get_by_role("treegrid").wait_for()
    assert page.locator("svg").count() > 0
    assert page.locator("[role=img]:not([aria-label])").count() == 0


def test_the_command_and_the_function_write_it(tmp_path, monkeypatch):
    import cnncost
    from tests.cli.calls import exit_code

    monkeypatch.chdir(tmp_path)
    assert exit_code("sweep", "lenet1", "lenet5", "--batch", "1,2", "-o", "a.html") == 0
    cnncost.sweep(["lenet1", "lenet5"], {"batch": [1, 2]}, output="b.html")
    texts = [(tmp_path / name).read_text() for name in ("a.html", "b.html")]
    assert texts[0] == texts[1]
    data = json.loads(texts[0].split('id="data">')[1].split("</script>")[0])
    assert data["view"] == "compare"
    assert data["rows"]["name"] == [f"{name} batch={n}" for name in ("lenet1", "lenet5") for n in (1, 2)]
