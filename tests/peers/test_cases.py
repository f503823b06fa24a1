"""cnncost on the models of `cases.py`: each count is the one derived by hand, in every way to run it."""

import pytest
import torch
from cases import CASES, inputs_of

import cnncost

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, of parts of it that are to go


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("how", ["eval", "train", "without weights", "on values"])
def test_the_count_is_the_one_derived_by_hand(case, how):
    torch.manual_seed(0)
    if how == "without weights":
        with torch.device("meta"):
            model = case.build()
    else:
        model = case.build()
    model.train(how == "train")
    report = cnncost.analyze(model, inputs_of(case), trace="real" if how == "on values" else "static")
    assert (report.totals.macs, report.unknown) == (case.macs, {})


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES) >= 40
