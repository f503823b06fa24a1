"""The page in a notebook: a small frame in place of the table, where scripts run; and the table alone where not."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from torch import nn

import cnncost
from cnncost import units
from tests.samples import pairs, sample

HOST = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>a notebook</title>{head}
<style>body {{ background: {ground}; color: {ink}; margin: 8px; }} .view, .grid {{ display: none; }}
button {{ color: red; }} .soft {{ outline: 1px solid red; }}</style></head>
<body><main><h1>cells</h1>{cells}</main></body></html>"""
VS_CODE = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'
'unsafe-eval'; style-src 'unsafe-inline'; img-src https: http: data:; font-src https:; connect-src https:; child-src
https: data:;">"""
"""A policy like that of VS Code's notebooks: scripts of the page alone, and frames of no other place."""


def hosted(*shown, head="", dark=False):
    """A notebook's page with these values as outputs."""
    cells = "".join(f'<div class="output">{each._repr_html_()}</div>' for each in shown)
    ground, ink = ("#111", "#eee") if dark else ("#fff", "#111")
    return HOST.format(head=head, ground=ground, ink=ink, cells=cells)


def frames(page):
    """The frames, once they are drawn."""
    for each in page.locator("iframe").all():
        each.content_frame.locator("#page > *").first.wait_for()
    return [each.content_frame for each in page.locator("iframe").all()]


def plain_tables(page):
    return [each.is_visible() for each in page.locator(".output .cnncost").all()]


@pytest.fixture(scope="module")
def compared():
    return cnncost.compare(["lenet5", "lenet1", "alexnet"])


@pytest.mark.parametrize("head", sample([pytest.param(VS_CODE, id="VS Code"), pytest.param("", id="plain")], 1))
def test_all_numbers_are_the_reports(head, report, opened):
    found = report("resnet18")
    page = opened(hosted(found, head=head))
    (frame,) = frames(page)
    assert plain_tables(page) == [False]
    assert page.locator("iframe").bounding_box()["height"] == 480
    frame.get_by_role("button", name="Modules").click()
    frame.get_by_label("fold equal blocks").uncheck()
    frame.get_by_role("button", name="Open all").click()
    read = frame.locator("html").evaluate(
        """() => { const grid = document.querySelector('.grid'), found = {};
        for (let top = 0; top <= grid.scrollHeight; top += grid.clientHeight / 2) {
          grid.scrollTop = top; grid.dispatchEvent(new Event('scroll'));
          for (const row of grid.querySelectorAll('[data-row]')) if (!row.textContent.startsWith('(own)'))
            found[row.dataset.row] = ['params', 'macs', 'flops']
              .map(name => row.querySelector(`[data-column=${name}]`).textContent);
        } return found; }"""
    )
    wanted = [tuple(units.exact(n) for n in (row.params, row.macs, row.flops)) for row in found.modules]
    assert [tuple(read[key]) for key in sorted(read, key=int)] == wanted
    assert len(wanted) > 60


def test_one_view_at_a_time(report, opened):
    page = opened(hosted(report("lenet5")))
    (frame,) = frames(page)
    shown = {"Where it goes": {"icicle", "inspector"}, "Modules": {"table"}, "Memory": {"memory"},
             "Roofline": {"roofline"}, "Receptive field": {"reach"}}  # fmt: skip
    for name, views in shown.items():
        frame.get_by_role("button", name=name, exact=True).click()
        assert frame.get_by_role("button", pressed=True).all_inner_texts() == [name]
        assert {
            each.get_attribute("class").split()[1] for each in frame.locator(".view").all() if each.is_visible()
        } == views


def test_what_is_chosen_is_chosen_in_all(report, opened):
    page = opened(hosted(report("lenet5")))
    (frame,) = frames(page)
    frame.get_by_role("button", name="Modules").click()
    frame.locator(".grid [data-row]", has_text="f6").first.click()
    frame.get_by_role("button", name="Where it goes").click()
    assert frame.locator(".inspector .path").inner_text() == "f6"
    assert frame.locator(".inspector [data-column=params]").inner_text() == f"{report('lenet5').module('f6').params:,}"
    assert page.url.partition("#")[2] == ""


def test_full_screen_shows_all(report, opened):
    page = opened(hosted(report("lenet5")))
    (frame,) = frames(page)
    frame.get_by_role("button", name="Full screen").click()
    frame.locator("html:not(.small)").wait_for()
    assert all(each.is_visible() for each in frame.locator(".view").all())
    page.evaluate("document.exitFullscreen()")
    frame.locator("html.small").wait_for()


def test_differences_and_comparisons(compared, opened):
    """Each in a frame of its own; ids that stand in all of them are no matter."""
    diff = cnncost.diff("lenet1", "lenet5")
    page = opened(hosted(diff, compared))
    first, second = frames(page)
    assert plain_tables(page) == [False, False]
    for name in ("macs", "params", "flops"):
        old, new = (getattr(side.totals, name, None) or side.totals[name] for side in (diff.old, diff.new))
        cells = [first.locator(f"[data-total={name}_{side}]").inner_text() for side in ("old", "new", "change")]
        assert cells == [f"{old:,}", f"{new:,}", f"{new - old:+,}"]
    second.get_by_role("button", name="Models").click()
    for i, row in enumerate(compared):
        cell = second.locator(f".grid [data-row='{i}'] [data-column=macs]")
        assert cell.inner_text() == f"{row.macs:,}"


def test_styles_stay_on_their_side(report, opened):
    page = opened(
        hosted(report("lenet5")).replace("</main>", '<p class="soft" id="own">text</p><button>own</button></main>')
    )
    (frame,) = frames(page)
    assert page.locator("#own").evaluate("e => getComputedStyle(e).opacity") == "1"
    assert page.locator("button").evaluate("e => getComputedStyle(e).borderRadius") == "0px"
    assert frame.locator(".inspector").is_visible()
    assert frame.locator("button").first.evaluate("e => getComputedStyle(e).color") != "rgb(255, 0, 0)"


@pytest.mark.parametrize("dark", [False, True])
def test_colours_are_the_notebooks(dark, report, opened):
    """Not the system's, which is the other way round here; they follow when the notebook changes."""
    page = opened(hosted(report("lenet5"), dark=dark), color_scheme="light" if dark else "dark")
    (frame,) = frames(page)
    ground = frame.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    ink = frame.locator("body").evaluate("e => getComputedStyle(e).color")
    light = ("rgb(255, 255, 255)", "rgb(27, 31, 36)")
    night = ("rgb(17, 17, 17)", "rgb(230, 232, 235)")
    assert (ground, ink) == (night if dark else light)
    now = "background:#fff;color:#111" if dark else "background:#111;color:#eee"
    page.evaluate(f"document.body.setAttribute('style', '{now}')")
    frame.locator("html").evaluate("() => new Promise(done => setTimeout(done, 50))")
    assert frame.locator("body").evaluate("e => getComputedStyle(e).color") == (light if dark else night)[1]


@pytest.mark.parametrize(("name", "dark"), pairs(["lenet5", "blocks"], [False, True]))
def test_axe_finds_nothing(name, dark, report, opened):
    page = opened(hosted(report(name), dark=dark))
    frames(page)
    found = Axe().run(page.frames[1]).response["violations"]  # of a file, it may not ask across frames
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []


def shown_plainly(page, found):
    """The table, with a row of numbers of each module."""
    assert plain_tables(page) == [True]
    rows = page.locator(".output tbody tr").all_inner_texts()
    assert len(rows) >= len(found.modules) - 1
    for module in found.modules[1:]:
        assert any(module.path.rpartition(".")[2] in row and f"\t{module.macs:,}\t" in row for row in rows)
    if page.locator("iframe").count():
        assert page.locator("iframe").bounding_box()["height"] == 0


def test_without_scripts_it_is_the_table(report, opened):
    page = opened(hosted(report("resnet18")), java_script_enabled=False)
    shown_plainly(page, report("resnet18"))
    assert page.locator("iframe").bounding_box()["height"] == 0


def test_what_a_notebook_strips_leaves_the_table(report, opened):
    """Frames, styles and classes: as in notebooks that are not trusted, and on code hosts."""
    text = hosted(report("resnet18"))
    text = re.sub(r"<iframe.*?</iframe>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style>\n\.cnncost.*?</style>", "", text, flags=re.DOTALL)
    page = opened(text)
    shown_plainly(page, report("resnet18"))
    assert page.locator(".cnncost > .totals > div").first.inner_text() == "parameters 11.7 M 11,689,512"


def test_a_frame_that_may_not_reach_its_notebook_leaves_the_table(report, opened):
    page = opened("<!doctype html><title>a viewer</title><iframe sandbox='allow-scripts' srcdoc='"
                  + hosted(report("lenet5")).replace("&", "&amp;").replace("'", "&#39;") + "'></iframe>")  # fmt: skip
    inner = page.frames[1]
    inner.locator(".output").wait_for()
    page.wait_for_timeout(300)
    assert inner.locator(".output .cnncost").is_visible()
    assert inner.locator("iframe").bounding_box()["height"] == 0


def test_if_the_program_fails_the_table_is_shown(report, opened, monkeypatch):
    from cnncost.render import frame

    data = frame.in_script
    monkeypatch.setattr(frame, "in_script", lambda given: data({**given, "view": "nothing"}))
    page = opened(hosted(report("lenet5")))
    page.wait_for_timeout(500)
    shown_plainly(page, report("lenet5"))
    assert [text for text in opened.wrong if "no view nothing" in text]
    opened.wrong.clear()


@pytest.mark.parametrize(("name", "most"), [("lenet5", 90_000), ("resnet50", 180_000)])
def test_it_is_small(name, most, report):
    """Compressed, with all that it needs: a cell that is run alone draws itself."""
    assert len(report(name)._repr_html_()) < most


@pytest.mark.long
def test_a_large_model_has_a_table_alone_that_is_cut():
    """Blocks that differ from the next ones, so that none are folded."""
    kinds = (nn.ReLU, nn.Tanh)
    net = nn.Sequential(*(nn.Sequential(*(kinds[j % 2]() for j in range(96 + i % 12))) for i in range(100)))
    shown = cnncost.analyze(net, "1x2")._repr_html_()
    assert "<iframe" not in shown
    assert re.search(r"100 of 10,\d{3} rows are in this table", shown)
    assert len(shown) < 60_000


def test_a_page_that_takes_too_much_is_left_out(report, monkeypatch):
    from cnncost.render import frame

    monkeypatch.setattr(frame, "MOST", 1000)
    assert "<iframe" not in report("lenet5")._repr_html_()


def test_it_is_the_same_each_time(report):
    """A notebook that is executed again has no other output: nothing of the time or of addresses is in it."""
    assert report("lenet5")._repr_html_() == cnncost.analyze("lenet5")._repr_html_()


@pytest.mark.long
def test_nbconvert_makes_a_page_of_it(compared, report, opened):
    """As the command `jupyter nbconvert` does, which asks a network for scripts of its own: those are left out here."""
    nbformat, nbconvert = pytest.importorskip("nbformat"), pytest.importorskip("nbconvert")
    v4 = nbformat.v4
    data = [{"text/html": each._repr_html_(), "text/plain": repr(each)} for each in (report("lenet5"), compared)]
    outputs = [v4.new_output("execute_result", each, execution_count=1) for each in data]
    notebook = v4.new_notebook(cells=[v4.new_code_cell("shown", outputs=[output]) for output in outputs])
    text, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    text = re.sub(r"<script[^>]*src=[^>]*>\s*</script>", "", text)
    text = re.sub(r"<script>\s*\(function\(\) \{\s*function addWidgetsRenderer.*?</script>", "", text, flags=re.DOTALL)
    text = re.sub(r'<script type="module">.*?</script>', "", text, flags=re.DOTALL)
    page = opened(text)
    first, second = frames(page)
    assert first.locator(".inspector [data-column=params]").inner_text() == "60,000"
    assert second.locator("circle").count() == 3
    assert [each.is_visible() for each in page.locator(".jp-OutputArea-output > div > .cnncost").all()] == [
        False,
        False,
    ]
    still = opened(text, java_script_enabled=False)
    assert still.get_by_text("60,000").first.is_visible()
