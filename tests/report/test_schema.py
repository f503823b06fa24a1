"""A statistic is a pass and a line, a derived column a line: added to a copy of the package, looked for everywhere."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnncost.report.columns import with_own_figures
from cnncost.report.schema import derived, statistic, statistics
from tests.report.signs import explained, shown

PACKAGE = Path(__file__).resolve().parents[2] / "cnncost"
FURTHER = '''
"""How many ops each call runs itself."""

from collections import Counter

from cnncost.graph import Graph


def runs(graph: Graph) -> dict[int, int]:
    """By the call's index."""
    return dict(Counter(node.call for node in graph.nodes))
'''
HELD = '''
"""Bytes of the parameters that each module holds."""

from cnncost.graph import Graph
from cnncost.owners import holdings


def held(graph: Graph) -> dict[int, int]:
    """By the scope's index."""
    return {each.scope: sum(graph.values[p.value].type.nbytes for p in each.parameters) for each in holdings(graph)}
'''
DEPTHS = '''
"""How deep each module is in the tree, plus one: containers that are never called have it, too."""

from cnncost.graph import Graph


def depths(graph: Graph) -> dict[int, int]:
    """By the scope's index."""
    return {i: scope.path.count(".") + 1 for i, scope in enumerate(graph.scopes) if scope.path}
'''
STATISTIC = """    runs: int = statistic("runs", "ops that ran", given_by=runs)
    held: int = statistic("held", "bytes of parameters", "bytes", given_by_scope=held)
    depths: int = statistic("depths", "how deep the modules are", given_by_scope=depths)
"""
IMPORTS = "".join(f"from cnncost.passes.{name} import {name}\n" for name in ("runs", "held", "depths"))
DERIVED = '''
    @derived("FLOP/B", "FLOPs for each byte that is moved", "ratio", after="bytes_written")
    def intensity(self) -> float | None:
        """None where nothing is moved."""
        moved = self.bytes_read + self.bytes_written
        return self.flops / moved if moved else None
'''
BEHIND_INHERITED = '''
    @derived("FLOP/param", "FLOPs for each parameter", "ratio", after="flops", bounded=True)
    def flops_per_param(self) -> float | None:
        """None without parameters."""
        return self.flops / self.params if self.params else None

    @derived("runs/FLOP", "ops that ran for each FLOP", "ratio", after="flops")
    def runs_per_flop(self) -> float | None:
        """None without FLOPs."""
        return self.runs / self.flops if self.flops else None

    @derived("idle", "FLOPs and MACs for each byte", "ratio", after="intensity")
    def idle(self) -> float | None:
        """None where the other is; reads what is marked only through another derived number."""
        return None if self.intensity is None else 2 * self.intensity

    @derived("kept", "share of what is allocated that is kept", "ratio", after="saved")
    def kept(self) -> float | None:
        """None where nothing is allocated."""
        return self.saved / self.allocated if self.allocated else None
'''
SHARE = '''
    @derived("trains", "share of the parameters that training changes", "share", after="trainable_params")
    def trainable_share(self) -> Fraction | None:
        """None without parameters."""
        return Fraction(self.trainable_params, self.params) if self.params else None

    @derived("masked", "share of MACs that attention's masks leave out", "share", after="macs_unmasked")
    def mask_share(self) -> Fraction | None:
        """None without multiply-accumulates."""
        if self.macs_unmasked is None or not self.macs:
            return None
        return 1 - Fraction(self.macs_unmasked, self.macs)
'''
PROGRAM = """
import json, sys
import torch
from torch import nn
import cnncost
from cnncost.budget.quantities import QUANTITIES
from cnncost.render import csv, html, latex, markdown
from cnncost.report import document, outline
from cnncost.report.model import Report
from cnncost.report.ranking import Ranking
from cnncost.sweeps.figures import FIGURES, LOOSE, LOWER

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 8)
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(4)))

    def forward(self, x):
        return self.blocks(self.head(x)) + x * 2  # two ops of its own

report = cnncost.analyze(Net(), (2, 8))
again = Report.from_json(report.to_json())
half = Net()
half.blocks.requires_grad_(False)
half = cnncost.analyze(half, (2, 8))

class Lone(nn.Module):
    def forward(self, x):
        return torch.matrix_exp(x)

class Unknown(Net):
    def __init__(self):
        super().__init__()
        self.lone = Lone()

    def forward(self, x):
        return super().forward(self.lone(x.T @ x)[:2])

unknown = cnncost.analyze(Unknown(), (2, 8))

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.read = nn.Linear(8, 8)  # by its weight alone
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.tied = nn.Linear(8, 8, bias=False)
        self.tied.weight = self.read.weight
        self.unused = nn.Linear(8, 4)
        self.listed = nn.ParameterList([torch.zeros(3), torch.zeros(5)])
        self.attention = nn.MultiheadAttention(8, 2)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        x = nn.functional.linear(x, self.read.weight)
        for block in self.blocks:
            x = block(block(x))
        return self.norm(self.tied(x)) + self.attention(x, x, x)[0]

odd = cnncost.analyze(Odd(), (2, 8))

class Attends(Net):
    def __init__(self, unknown_mask, unknown_op):
        super().__init__()
        self.unknown_mask, self.unknown_op = unknown_mask, unknown_op

    def forward(self, x):
        q = super().forward(x)[None, None]
        mask = q[0, 0, :, :2] > 0 if self.unknown_mask else torch.ones(2, 2, dtype=torch.bool).tril()
        y = nn.functional.scaled_dot_product_attention(q, q, q, mask)
        return torch.matrix_exp(y @ y.mT) if self.unknown_op else y

class Fails(Net):
    def forward(self, x):
        self.head(x)
        raise ValueError("on purpose")

def failed():
    try:
        return cnncost.analyze(Fails(), (2, 8))
    except cnncost.CnncostError as error:
        return error.partial

signed = {
    "nothing": report, "op": unknown, "failed": failed(),
    **{f"mask {'un' * a}known, op {'un' * b}known": cnncost.analyze(Attends(a, b), (2, 8)).with_masks()
       for a in (False, True) for b in (False, True)}}

older = json.loads(report.to_json())  # as of a version that had no pass of runs
for row in (older["totals"], *older["layers"]):
    del row["runs"]
older = Report.from_json(json.dumps(older))

def refused(call):
    try:
        return call()
    except cnncost.CnncostError as error:
        return str(error)

def sorted_text(name, width):
    return document.to_text(report, by="layer", width=width, requested=Ranking(name))

json.dump({
    "totals": report.totals.runs, "modules": [(m.path, m.runs, m.intensity) for m in report.modules],
    "items": [(i.name, i.row.runs, i.row.intensity) for i in outline.outline(report)],
    "csv": {by: csv.to_csv(document.document(report, by)) for by in ("module", "layer", "op")},
    "json": json.loads(report.to_json()), "again": again == report and str(again) == str(report),
    "text": {by: document.to_text(report, by=by, width=240) for by in ("module", "layer", "op")},
    "narrow": max(map(len, document.to_text(report, width=40).splitlines())),
    "markdown": {by: markdown.to_markdown(document.document(report, by)) for by in ("module", "layer", "op")},
    "latex": {by: latex.to_latex(document.document(report, by)) for by in ("module", "layer", "op")},
    "html": report.to_html(), "pandas": report.to_pandas()["runs"].sum().item(),
    "log": report.log_dict("")["runs"],
    "sweep": [FIGURES[name].read(report) for name in ("runs", "intensity", "trainable_share")],
    "bounds": sorted(LOWER & {"runs", "intensity"}), "half": FIGURES["trainable_share"].read(half),
    "unknown": {
        form: {by: show(document.document(unknown, by)) for by in ("module", "layer", "op")}
        for form, show in (("markdown", markdown.to_markdown), ("latex", latex.to_latex))},
    "unknown page": unknown.to_html(),
    "signs": {
        name: [(by, form, text) for by in ("module", "layer", "op") for form, text in (
            ("markdown", markdown.to_markdown(document.document(each, by))),
            ("latex", latex.to_latex(document.document(each, by))),
            ("html", html.to_html(document.document(each, by))),
            *(("text", document.to_text(each, by=by, width=width)) for width in (40, 60, 80, 100, 120, 240)))]
        for name, each in signed.items()},
    "older": {
        "texts": [
            *[show(document.document(older, by)) for by in ("module", "layer")
              for show in (csv.to_csv, markdown.to_markdown, latex.to_latex)],
            *[document.to_text(older, by=by, width=240) for by in ("module", "layer")],
            older.to_json(), str(older), str(older.log_dict("")), str(older.to_pandas().columns)],
        "page": older.to_html(),
        "values": [older.totals.runs, *{each.runs for each in older.modules}, older.totals.intensity],
        "again": Report.from_json(older.to_json()) == older,
        "refused": [
            refused(lambda: document.to_text(older, by="layer", requested=Ranking("runs"))),
            refused(lambda: QUANTITIES["runs_per_flop"].read(older, older.modules[0], "<="))],
    },
    "loose": [sorted(LOOSE), *[QUANTITIES[name].grows for name in ("flops_per_param", "intensity", "idle")]],
    "limits": {name: QUANTITIES[name].read(report, report.modules[0], "<=") for name in ("runs",)},
    "sorted": [sorted_text(name, 80).splitlines() for name in ("runs", "intensity", "bytes_read")],
    "asked": document.to_text(report.with_columns("trainable"), width=80),
    "odd": {
        "layers": [(each.path, each.call, each.params, each.held, each.depths) for each in odd.layers],
        "modules": [(each.path, each.params, each.held, each.depths) for each in odd.modules],
        "totals": (odd.totals.params, odd.totals.param_bytes, odd.totals.held, odd.totals.depths),
        "again": Report.from_json(odd.to_json()) == odd},
    "frozen": [json.loads(half.to_json())["layers"], document.to_text(half, by="layer", width=240)],
    "least": [max(map(len, each.splitlines())) for each in (
        sorted_text("runs", 40), sorted_text("bytes_read", 40), document.to_text(report.with_memory(), width=40),
        document.to_text(report.with_columns("trainable"), width=40))],
    "page": half.to_html(),
    "memory": markdown.to_markdown(document.document(report.with_memory(), "layer")),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    place = tmp_path_factory.mktemp("with_more")
    shutil.copytree(PACKAGE, place / "cnncost", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in (("runs", FURTHER), ("held", HELD), ("depths", DEPTHS)):
        (place / f"cnncost/passes/{name}.py").write_text(text.lstrip())
    rows = place / "cnncost/report/rows.py"
    text = rows.read_text()
    schema = "from cnncost.report.schema"
    text = text.replace(schema, IMPORTS + schema, 1)
    last = text.index("\n\n", text.index("    bytes_written: int"))
    text = text[:last] + "\n" + DERIVED.rstrip() + text[last:]
    last = text.index("\n\n\n", text.index("    def frozen_params"))
    text = text[:last] + "\n" + SHARE.rstrip() + "\n" + BEHIND_INHERITED.rstrip() + text[last:]
    text = text.replace("from dataclasses import", "from fractions import Fraction\nfrom dataclasses import", 1)
    first = text.index("    params: int = statistic(")
    rows.write_text(text[:first] + STATISTIC + text[first:])
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=place, env={"PYTHONPATH": str(place), "PATH": ""}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert not ran.returncode, ran.stderr
    return json.loads(ran.stdout)


RUNS = {"": 11, "head": 1, "blocks": 8, "blocks.0": 2, "blocks.0.0": 1, "blocks.0.1": 1}
"""Of the network in `PROGRAM`: five products, four activations, a sum and a multiple."""


def test_it_adds_up_over_modules_and_to_the_total(found):
    modules = {path: runs for path, runs, _ in found["modules"]}
    assert {path: modules[path] for path in RUNS} == RUNS
    assert (found["totals"], found["log"], found["pandas"]) == (11, 11, 11)


def test_own_shares_and_folded_rows_have_it(found):
    assert {name: runs for name, runs, _ in found["items"]} == {"head": 1, "blocks": 8, "(own)": 2}
    tree = found["text"]["module"]
    assert re.search(r"0 … 3 ×4 .* 8 ", tree), tree  # 4 · 2, in one row
    assert re.search(r"\(own\) .* 2 ", tree)


def test_what_modules_hold_does_not_depend_on_calls(found):
    """Each parameter once, as in `params`: of modules that are unused, only read, called twice, and tied."""
    odd = found["odd"]
    layers = {path + "#2" * (call == 2): held for path, call, _, held, _ in odd["layers"]}
    assert layers == {
        "": 0, "read": 4 * 72, "blocks.0": 4 * 72, "blocks.0#2": 0, "blocks.1": 4 * 72, "blocks.1#2": 0, "tied": 0,
        "unused": 4 * 36, "listed": 4 * 8, "attention": 4 * (3 * 64 + 24), "attention.out_proj": 4 * 72,
        "norm": 4 * 16, "blocks": 0,
    }  # fmt: skip
    assert all(held == 4 * params for _, _, params, held, _ in odd["layers"])
    assert all(held == 4 * params for _, params, held, _ in odd["modules"])
    params, param_bytes, held, _ = odd["totals"]
    assert held == param_bytes == 4 * params == sum(layers.values())
    assert odd["again"] is True


def test_a_module_without_calls_that_has_a_number_has_a_row(found):
    """The list of blocks owns nothing and is never called."""
    odd = found["odd"]
    assert next(depth for path, *_, depth in odd["layers"] if path == "blocks") == 1
    # blocks.0, blocks.1 and attention.out_proj are at the second level, seven others at the first
    assert odd["totals"][-1] == sum(depth for *_, depth in odd["layers"]) == 3 * 2 + 7
    assert next(depth for path, *_, depth in odd["modules"] if not path) == 3 * 2 + 7


@pytest.mark.parametrize("by", ["module", "layer"])
def test_every_format_shows_both(found, by):
    rows = list(csv.DictReader(io.StringIO(found["csv"][by])))
    assert sum(int(row["runs"]) for row in rows if by == "layer" or not row["path"]) == 11
    assert all(row["intensity"] for row in rows if int(row["flops"]))
    for text in (found["text"][by], found["markdown"][by], found["latex"][by], found["html"]):
        assert "runs" in text
        assert "FLOP/B" in text
    assert all(layer["runs"] >= 0 and "intensity" in layer for layer in found["json"]["layers"])
    assert found["json"]["totals"]["runs"] == 11
    assert found["again"] is True


def test_a_number_that_follows_from_others_holds_for_any_row(found):
    # A product of 2×8 and 8×8 with a bias: 2·(2·64) + 16 FLOPs; 16 + 64 + 8 numbers read, 16 written.
    expected = (2 * 128 + 16) / (4 * (16 + 64 + 8 + 16))
    assert next(value for path, _, value in found["modules"] if path == "head") == expected
    assert next(value for name, _, value in found["items"] if name == "head") == expected
    assert "0.65" in next(line for line in found["text"]["module"].splitlines() if line.startswith("head"))
    total = next(line for line in found["markdown"]["op"].splitlines() if line.startswith("| **total**"))
    flops = 5 * (2 * 128 + 16) + 4 * 16 + 16 + 16
    moved = 4 * (5 * 104 + 4 * 32 + 48 + 32)
    assert f"**{flops / moved:.2f}**" in total


@pytest.mark.parametrize("by", ["module", "layer", "op"])
def test_a_ratio_of_lower_bounds_is_marked_as_neither_bound(found, by):
    """An op without a rule has FLOPs and bytes, both unknown; parameters are all known."""
    lines = [line.split(" | ") for line in found["unknown"]["markdown"][by].splitlines() if line.startswith("| ")]
    columns = {name.strip("| "): i for i, name in enumerate(lines[0])}
    total = [cell.strip("*") for cell in lines[-1]]
    assert {total[columns[name]][0] for name in ("FLOPs", "read", *(["FLOP/param"] if by != "op" else []))} == {"≥"}
    assert {total[columns[name]][0] for name in ("FLOP/B", *(["idle"] if by != "op" else []))} == {"~"}
    known = next(line for line in lines if line[0].strip("| `") in {"head", "aten.linear", "aten.addmm"})
    assert float(known[columns["FLOP/B"]]) > 0
    assert r"- \~: can be larger or smaller, as ops without a rule are missing" in found["unknown"]["markdown"][by]
    assert r"\textasciitilde{}" in found["unknown"]["latex"][by]


SIGNED = {
    "nothing": "", "op": "≥~?", "failed": "≥~?",
    "mask known, op known": "", "mask unknown, op known": "≤~", "mask known, op unknown": "≥~?",
    "mask unknown, op unknown": "≥~?",
}  # fmt: skip
"""Which signs a network's tables have, among all views."""


@pytest.mark.parametrize("name", SIGNED)
def test_a_sign_is_explained_if_and_only_if_a_table_shows_it(found, name):
    """Also where a column with it has no room; lower bounds are told with the ops that are missing, in any view."""
    seen = set()
    for by, form, text in found["signs"][name]:
        signs, told = shown(text, form), explained(text, form)
        seen |= signs
        always = {"≥"} if "≥" in SIGNED[name] else set()  # the sentence on all MACs has it as well
        always |= {"~"} if name == "mask unknown, op unknown" else set()  # and that on MACs without masked pairs
        always |= {"≤"} if name == "mask unknown, op known" else set()
        assert told - always == signs - always, (by, form, text)
        assert always <= told, (by, form, text)
    assert seen == {*SIGNED[name]}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("op", "ops without a rule are missing"),
        ("mask unknown, op known", "attention is counted in full where its mask is unknown"),
        (
            "mask unknown, op unknown",
            "ops without a rule are missing, and attention is counted in full where its mask is unknown",
        ),
        ("failed", "what forward did not reach is missing"),
    ],
)
def test_the_sentence_on_numbers_that_are_neither_bound_says_why(found, name, why):
    text = next(text for by, form, text in found["signs"][name] if (by, form) == ("module", "html"))
    assert f"~: can be larger or smaller, as {why}<" in text


def test_a_ratio_of_what_no_rule_counts_is_unknown(found):
    """The op that has no rule, as a row; and a module that runs nothing else: its ratio is not that of nothing."""
    heading, row = (
        next(line for line in found["unknown"]["markdown"]["op"].splitlines() if start in line).split(" | ")
        for start in ("| op ", "matrix_exp` |")
    )
    assert row[heading.index("FLOP/B")] == "?"
    heading, row = (
        next(line for line in found["unknown"]["markdown"]["layer"].splitlines() if start in line).split(" | ")
        for start in ("| layer ", "`lone`")
    )
    assert row[heading.index("FLOP/B")] == "?"


def test_the_page_marks_it_too(found):
    marks = json.loads(re.search(r'"marks": ?(\{.*?\}\})', found["unknown page"])[1])
    assert (set(marks["flops"].values()), set(marks["intensity"].values())) == ({"≥"}, {"~", "?"})


def test_a_report_saved_before_there_was_the_pass_has_no_number_of_it(found):
    """Neither 0, which would be wrong, nor what is derived from it; all else is as it was."""
    older = found["older"]
    for text in older["texts"]:
        assert not re.search(r"runs_per_flop|runs/FLOP|([\"',|&]|  ) ?runs ?([\"',|&]|  )", text), text
        assert re.search(r"(?i)flops", text), text
    assert '"name":"flops"' in older["page"]
    assert not re.search('"name":"runs|runs/FLOP', older["page"])
    assert older["values"] == [None, None, found["modules"][0][2]]
    assert older["again"] is True
    assert older["refused"] == [
        "sort: Net was saved before cnncost had runs; analyze the model again",
        "runs_per_flop of 'Net': the report has no such figure",
    ]


def among(names, columns):
    """These columns in a table's order, whatever other ones it has."""
    return [column for column in columns if column in names]


def test_a_number_derived_from_inherited_columns_stands_beside_them(found):
    rows = list(csv.DictReader(io.StringIO(found["csv"]["module"])))
    expected = ["macs", "flops", "flops_per_param", "bytes_read", "bytes_written", "intensity"]
    assert among(expected, rows[0]) == expected
    assert next(row for row in rows if row["path"] == "head")["flops_per_param"] == str((2 * 128 + 16) / (64 + 8))
    assert "flops_per_param" not in found["csv"]["op"].splitlines()[0]


def test_a_number_derived_from_an_optional_column_is_optional_with_it(found):
    assert "kept" not in found["markdown"]["layer"]
    heading, row = (
        [cell.strip("* ") for cell in next(line for line in found["memory"].splitlines() if start in line).split("|")]
        for start in ("| layer", "`head`")
    )
    expected = {"allocated": "64 B", "saved": "0 B", "kept": "0.00"}  # 2·8 floats, not returned
    assert among(expected, heading) == list(expected)
    assert {name: row[heading.index(name)] for name in expected} == expected


@dataclass(frozen=True, kw_only=True)
class Placeless:
    macs: int = statistic("MACs", "multiply-accumulates")

    @derived("double", "twice as many", after="mac")
    def double(self):
        return 2 * self.macs


@dataclass(frozen=True, kw_only=True)
class Several:
    macs: int = statistic("MACs", "multiply-accumulates")
    flops: int = statistic("FLOPs", "floating-point operations")

    @derived("double", "twice as many", after="macs")
    def double(self):
        return 2 * self.macs

    @derived("fourfold", "twice that", after="double")
    def fourfold(self):
        return 2 * self.double

    @derived("half", "half as many", "ratio", after="macs")
    def half(self):
        return self.macs / 2


def test_numbers_behind_one_column_are_in_the_order_of_their_declarations():
    assert list(statistics(Several)) == ["macs", "double", "fourfold", "half", "flops"]


def test_a_number_behind_no_column_is_refused():
    with pytest.raises(TypeError, match=r"Placeless.double: after='mac' is not a column of Placeless.* one of macs"):
        statistics(Placeless)


def test_a_narrow_terminal_is_not_overrun(found):
    assert found["narrow"] <= 40


def test_a_share_is_a_number_in_every_format(found):
    """Of the first layer's 8·8 + 8 parameters and of the four others, which are frozen."""
    layers, text = found["frozen"]
    shares = {layer["path"]: layer["trainable_share"] for layer in layers}
    assert {path: shares[path] for path in ("", "head", "blocks.0.0", "blocks.0.1")} == {
        "": None, "head": 1.0, "blocks.0.0": 0.0, "blocks.0.1": None,
    }  # fmt: skip
    assert found["half"] == 0.2
    assert re.search(r'"trainable_share": ?\[0\.2, ?1\.0, ?0\.0', found["page"]), "the model, its head, its blocks"
    total = next(line for line in text.splitlines() if line.startswith("total"))
    assert "  20 %  " in total


def test_a_number_derived_from_a_hidden_column_is_hidden_with_it_and_shown_on_request(found):
    assert not re.search("  trainable  |trains", found["text"]["module"])
    heading = next(line for line in found["asked"].splitlines() if "class" in line)
    assert heading.index("trainable") < heading.index("trains")
    assert "runs" not in heading  # nobody has asked for it


def test_sweeps_and_budgets_have_it(found):
    flops = 5 * (2 * 128 + 16) + 4 * 16 + 16 + 16
    assert found["sweep"] == [11, flops / (4 * (5 * 104 + 4 * 32 + 48 + 32)), 1.0]
    assert found["bounds"] == []
    loose, *grows = found["loose"]
    assert {"idle", "intensity", "runs_per_flop"} <= set(loose)
    assert grows == [True, False, False]
    assert found["limits"] == {"runs": 11}


def test_the_column_that_rows_are_sorted_by_is_shown(found):
    for lines, heading in zip(found["sorted"], ("runs", "FLOP/B", "read"), strict=True):
        assert f"  {heading}" in next(line for line in lines if line.startswith("layer"))
        assert max(map(len, lines)) <= 80


def test_columns_that_are_asked_for_leave_the_narrowest_terminal(found):
    assert max(found["least"]) <= 40


@pytest.mark.parametrize("declare", [statistic, lambda *how: derived(*how, after="macs")])
def test_an_unknown_look_is_refused(declare):
    with pytest.raises(TypeError, match=r"look 'percent': expected one of text, .* share"):
        declare("heading", "meaning", "percent")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"given_by": dict, "sums": "no"}, "add up over calls, so sums='no' is not possible; leave sums out"),
        ({"given_by": dict, "sums": "any"}, "add up over calls, so sums='any' is not possible"),
        ({"given_by_scope": dict, "sums": "no"}, "add up over calls, so sums='no' is not possible"),
        ({"given_by": dict, "given_by_scope": dict}, "expected one of given_by and given_by_scope, got both"),
        ({"given_by": dict, "look": "ratio"}, "a 'count' or 'bytes', got look 'ratio'; declare a ratio or a share"),
        ({"given_by": dict, "look": "flag"}, "a 'count' or 'bytes', got look 'flag'"),
    ],
)
def test_a_pass_whose_numbers_do_not_add_up_is_refused(how, said):
    with pytest.raises(TypeError, match=f"statistic 'largest': .*{said}"):
        statistic("largest", "meaning", **how)


def test_a_column_with_the_name_of_another_figure_is_refused():
    assert with_own_figures("sweep", {"macs": 1}, {"activations": 2}) == {"macs": 1, "activations": 2}
    with pytest.raises(TypeError, match="activations: sweep has another figure with this name; rename the statistic"):
        with_own_figures("sweep", {"macs": 1, "activations": 2}, {"activations": 3})
