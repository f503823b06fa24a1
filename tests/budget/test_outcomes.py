"""Which outcome a limit has if figures are lower bounds, by trying what the true figures may be; and what is said."""

import json
import operator
from fractions import Fraction
from itertools import product

import pytest

from cnncost.budget.check import outcome_of
from cnncost.budget.file import Rule
from cnncost.budget.limits import parse_limit
from cnncost.budget.quantities import QUANTITIES
from cnncost.passes import memory

HOLDS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq}
ALLOWANCES = {
    **{f"{n:+}": lambda before, n=n: before + n for n in (-2, -1, 0, 1, 2)},
    **{f"{n:+}%": lambda before, n=n: before * Fraction(100 + n, 100) for n in (-50, 0, 50, 100)},
}
"""Bounds that are relative to a baseline, by hand."""
STEPS = [Fraction(n, 6) for n in range(15 * 6)]
"""What may be missing: enough to reach any bound from any figure of the test, in steps that hit each."""


def tried(comparison, allowance, used, before, partial, before_partial):
    """The outcome whatever is missing, or `uncertain` if it depends on that."""
    found = set()
    for more, more_before in product(STEPS if partial else [0], STEPS if before_partial else [0]):
        found.add(HOLDS[comparison](used + more, ALLOWANCES[allowance](before + more_before)))
        if len(found) == 2:
            return "uncertain"
    return "within" if found == {True} else "over"


@pytest.mark.parametrize("allowance", ALLOWANCES)
@pytest.mark.parametrize("comparison", HOLDS)
def test_an_outcome_is_certain_if_no_true_figures_change_it(comparison, allowance):
    quantity = QUANTITIES["macs"]
    rule = Rule(quantity, parse_limit(f"{comparison} {allowance}", quantity), None, ())
    for used, before, partial, before_partial in product(range(5), range(5), (False, True), (False, True)):
        bound = ALLOWANCES[allowance](Fraction(before))
        wanted = tried(comparison, allowance, used, before, partial, before_partial)
        assert outcome_of(rule, used, bound, partial, before_partial) == wanted, (used, before, partial, before_partial)


@pytest.mark.parametrize("partial", [(True, False), (False, True), (True, True)])
def test_a_ratio_is_never_certain(partial):
    quantity = QUANTITIES["arithmetic_intensity"]
    rule = Rule(quantity, parse_limit("<= +0", quantity), None, ())
    assert {outcome_of(rule, used, 2, *partial) for used in (1, 2, 3)} == {"uncertain"}


BASELINE = "the baseline leaves out ops without a rule, or what ops allocate while they run"


@pytest.mark.parametrize(
    ("line", "before", "now", "told", "marks"),
    [
        pytest.param('macs = "-1"', True, False,
                     "MACs of net: 175,264, limit ≤ 175,263 (baseline at least 175,264 -1): uncertain, because "
                     f"{BASELINE}; set allow_unknown to let it pass", (False, True), id="the baseline alone"),
        pytest.param('macs = "+1"', False, True,
                     "MACs of net: at least 175,264, limit ≤ 175,265 (baseline 175,264 +1): uncertain, because "
                     "ops have no rule (cnncost_test_budget.mystery 1×); add rules, or set allow_unknown",
                     (True, False), id="the figure alone"),
        pytest.param('macs = "+1"', True, True,
                     "(baseline at least 175,264 +1): uncertain, because ops have no rule "
                     f"(cnncost_test_budget.mystery 1×), and {BASELINE}; add rules, or set allow_unknown",
                     (True, True), id="both"),
        pytest.param('macs = "-1"', False, True,
                     "MACs of net: at least 175,264, limit ≤ 175,263 (baseline 175,264 -1): over by",
                     (True, False), id="over, and how much is a lower bound"),
        pytest.param('macs = "1"', True, False, "MACs of net: 175,264, limit ≤ 1: over by", (False, True),
                     id="no limit that is relative"),
        pytest.param('arithmetic_intensity = "<= +0"', True, False,
                     f"(baseline ~… <= +0): uncertain, because {BASELINE}",
                     (False, True), id="a ratio"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_figure_and_of_the_baseline(budget, check, line, before, now, told, marks):
    quantity = line.partition(" ")[0]
    budget(f'{quantity} = ">= 0"', arguments=f"mystery = {str(before).lower()}")
    assert check("--update", "--allow-unknown")[0] == 0
    budget(line, arguments=f"mystery = {str(now).lower()}")
    text = " ".join(check()[1].split())
    assert [part for part in told.split("…") if part not in text] == []
    limit = json.loads(check("--format", "json")[1])["models"][0]["limits"][0]
    assert (limit["partial"], limit["baseline_partial"]) == marks


@pytest.mark.parametrize(("line", "outcome"), [("-1 B", "uncertain"), (">= +1 B", "over"), ("+0 B", "within")])
def test_a_baseline_tells_that_temporaries_are_unknown(budget, check, monkeypatch, line, outcome):
    budget('inference_peak = ">= 0 B"')
    with monkeypatch.context() as patch:
        patch.setattr(memory, "scratch_is_known", lambda spec: spec.kind != "linear")
        assert check("--update")[0] == 0
    budget(f'inference_peak = "{line}"')
    limit = json.loads(check("--format", "json")[1])["models"][0]["limits"][0]
    assert (limit["outcome"], limit["partial"], limit["baseline_partial"]) == (outcome, False, True)
