"""Text, markdown and JSON of a verification made by hand."""

import json
from dataclasses import replace

import pytest

from cnncost.render.json import SCHEMA, to_json
from cnncost.render.markdown import to_markdown
from cnncost.render.text import to_text
from cnncost.verify.render import document
from cnncost.verify.result import Explanation, PeerCount, Unexplained, Verification

FVCORE = PeerCount(
    "fvcore", "0.1", "MAC", "FlopCountAnalysis of a real forward on the CPU", 1_240, {"conv": 1_000, "norm": 240},
    {"aten::lstm": 1},
    (Explanation("conv", 2, 1_000, 1_000, "1 per MAC"), Explanation("norm", 1, 0, 240, "2 per element"),
     Explanation("recurrent", 1, 60, 0, "no formula")),
    seconds=0.25,
)  # fmt: skip
TORCH = PeerCount("torch", "2", "FLOP", "FlopCounterMode", failure="ValueError in forward: a | b")
FOUND = Verification("net", (((1, 3, 8, 8), "float32"),), 1_060, 2_500, {}, 0.012, (FVCORE, TORCH))
UNEXPLAINED = replace(FOUND, peers=(replace(FVCORE, total=1_243, unexplained=(Unexplained("norm", 3),)),))


def test_text_has_a_table_a_peer_and_the_rules_under_it():
    assert (
        to_text(document(FOUND), 80)
        == """\
net, input 1×3×8×8 float32, eval mode
cnncost: 1,060 MACs, 2,500 FLOPs, in 12 ms

fvcore 0.1: 1,240 flops, a MAC being one; FlopCountAnalysis of a real forward on
  the CPU, in 250 ms
MACs of    ops  cnncost  fvcore  difference  rule
─────────────────────────────────────────────────
conv         2    1,000   1,000        same
norm         1        0     240        +240     1
recurrent    1       60       0         -60     2
─────────────────────────────────────────────────
all               1,060   1,240        +180
  1  2 per element
  2  no formula
explained: the rules give 1,240, exactly what it counted

torch 2: failed: ValueError in forward: a | b"""
    )


def test_what_is_unexplained_is_said_with_op_and_amount_and_what_the_peer_has_no_formula_for():
    text = to_text(document(UNEXPLAINED), 80)
    assert "unexplained: +3 MACs in its norm, beyond what the rules give" in text
    assert "cnncost  by its rules  difference" in text  # what it counted itself stands in its heading
    assert "1,243 flops" in text
    assert "ops for which it has no formula: aten::lstm (1×)" in text
    assert "explained: the rules" not in text


def test_lower_bounds_are_marked():
    text = to_text(document(replace(FOUND, unknown={"lib.op": 2})), 80)
    assert "cnncost: ≥ 1,060 MACs, ≥ 2,500 FLOPs" in text
    assert "cnncost has no rule for lib.op (2×): its numbers are lower bounds" in text


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_longer_than_asked_for(width):
    name = "aten::" + "very_long_" * 9
    peer = replace(FVCORE, explanations=(Explanation(name, 10**6, 10**12, 10**12 + 1, "because " * 40),))
    found = replace(FOUND, peers=(peer,), notes=("a note " * 30,))
    assert max(map(len, to_text(document(found), width).splitlines())) <= width


def test_a_name_cannot_write_to_the_terminal():
    assert "\x1b" not in to_text(document(replace(FOUND, model="net\x1b[31m")), 80)


def test_markdown_escapes_what_has_a_meaning_there():
    text = to_markdown(document(replace(FOUND, model="a_b|c*")))
    assert text.startswith("# a_b\\|c\\*: verified\n")
    assert "| conv | 2 | 1,000 | 1,000 | same |  |" in text
    assert "| norm | 1 | 0 | 240 | +240 | 2 per element |" in text
    assert "| **all** |  | **1,060** | **1,240** | **+180** |  |" in text
    assert "failed: ValueError in forward: a \\| b" in text
    columns = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {7}


def test_json_has_exact_numbers_and_says_whether_all_is_explained():
    data = json.loads(to_json(document(UNEXPLAINED)))
    assert data["schema"] == SCHEMA
    assert (data["macs"], data["flops"], data["explained"], data["lower_bound"]) == (1060, 2500, False, False)
    assert data["inputs"] == [{"shape": [1, 3, 8, 8], "dtype": "float32"}]
    (peer,) = data["peers"]
    assert (peer["total"], peer["predicted"], peer["ours"], peer["unit"]) == (1243, 1240, 1060, "MAC")
    assert peer["unexplained"] == [{"op": "norm", "amount": 3}]
    assert peer["explanations"][1] == {
        "op": "norm", "times": 1, "ours": 0, "theirs": 240, "why": "2 per element", "difference": 240,
    }  # fmt: skip


def test_json_tells_a_failure():
    data = json.loads(to_json(document(FOUND)))
    assert data["peers"][1]["failure"] == "ValueError in forward: a | b"
    assert data["peers"][1]["total"] is None
    assert data["peers"][0]["failure"] is None
    assert data["explained"]
