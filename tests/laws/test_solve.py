"""The largest size that keeps a budget, held against trying all."""

import networks_of_laws as nets
import pytest
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.errors import InputError
from cnncost.laws.render import solution_text


@pytest.fixture(scope="module")
def laws():
    return cnncost.formula(nets.Doubled(), "1x3x16x16", "batch,size")


@pytest.mark.parametrize(
    ("budget", "name", "sizes"),
    [
        pytest.param("macs <= 500k", "batch", {"size": 16}, id="MACs"),
        pytest.param("flops<=350k", "batch", {"size": 8}, id="FLOPs"),
        pytest.param("macs < 104832", "batch", {"size": 16}, id="below, exactly"),
        pytest.param("macs <= 104832", "batch", {"size": 16}, id="up to, exactly"),
        pytest.param("macs <= 300k", "size", {"batch": 3}, id="a size"),
        pytest.param("inference_peak <= 256KiB", "batch", {"size": 16}, id="the peak"),
        pytest.param("training_peak <= 256KiB", "size", {"batch": 2}, id="the peak in training"),
    ],
)
def test_against_trying_all(laws, budget, name, sizes):
    quantity, limit = budget.replace("<=", "<").split("<")
    strict = "=" not in budget
    units = {"M": 10**6, "k": 10**3, "KiB": 1024}
    unit = next((u for u in units if limit.strip().endswith(u)), "")
    bound = float(limit.strip().removesuffix(unit)) * units.get(unit, 1)

    def cost(size):
        at = {**sizes, name: size}
        report = cnncost.analyze(nets.Doubled(), (at["batch"], 3, at["size"], at["size"]), training=True)
        found = {**vars_of(report.totals), **report.memory.figures._asdict()}
        return found[quantity.strip()]

    step = 1 if name == "batch" else 2
    size = step
    while (cost(size + step) < bound) if strict else (cost(size + step) <= bound):
        size += step
    found = laws.solve(budget, **sizes)[name]

    assert (found.size, found.further, found.verified) == (size, size + step, True)
    assert (found.value, found.further_value) == (cost(size), cost(size + step))


def vars_of(totals):
    return {"macs": totals.macs, "flops": totals.flops}


@pytest.mark.parametrize(
    ("network", "inputs", "vary", "among", "said"),
    [
        pytest.param(nets.Doubled(), "1x3x16x16", "size", "multiples of 2", "among multiples of 2 is", id="squares"),
        pytest.param(
            nn.Conv2d(3, 2, 3, 4), "1x3x17x9", "height", "4·k + 1", "height among sizes 4·k + 1 is", id="off zero"
        ),
        pytest.param(nn.Conv2d(3, 2, 3, padding=1), "1x3x16x16", "size", "", "the largest size is", id="all sizes"),
        pytest.param(nets.Doubled(), "1x3x16x16", "batch", "", "the largest batch is", id="the batch"),
    ],
)
def test_the_sizes_among_which_it_is_the_largest(network, inputs, vary, among, said):
    """A size in between may keep the budget, too."""
    found = cnncost.formula(network, inputs, vary, training=False).solve("flops <= 500k")[vary]

    assert found.among == among
    assert said in solution_text("flops <= 500k", found)


def test_beyond_what_was_checked():
    found = cnncost.formula(nn.Linear(10, 10), "1x10", "batch", training=False).solve("macs <= 1G")["batch"]

    assert (found.size, found.value, found.verified) == (10**7, 10**9, True)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        pytest.param("macs <= 100", "no size is within the budget: batch = 1 already needs", id="too little"),
        pytest.param(
            "params <= 1k",
            "no largest size: every size is within the budget; the cost does not depend on batch",
            id="what does not depend, and is kept",
        ),
        pytest.param(
            "params <= 1", "no size is within the budget: the cost does not depend on batch", id="what does not depend"
        ),
        pytest.param("macs", "expected a budget such as", id="no limit"),
        pytest.param("macs >= 2G", "expected a budget such as", id="a least"),
        pytest.param("mac <= 2G", "did you mean macs", id="misspelt"),
        pytest.param("macs <= 2GiB", "unit", id="a unit of bytes"),
        pytest.param("macs <= +1%", "expected an amount", id="a change"),
        pytest.param("macs <= lots", "expected a limit", id="no number"),
    ],
)
def test_budgets_that_say_nothing(laws, budget, said):
    with pytest.raises(InputError, match=said):
        laws.solve(budget)


class Padded(nn.Module):
    """Pads sequences to a power of two, as buckets do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(F.pad(x, (0, 0, 0, (1 << (x.shape[1] - 1).bit_length()) - x.shape[1])))


@pytest.mark.parametrize(
    ("network", "inputs", "vary", "budget", "said"),
    [
        # sizes below 64 run one layer less, and need less
        pytest.param(nets.Wider(), "1x1x80x16", "height", "macs <= 50k",
                     "no size is known to be within the budget: height = 64, the smallest for which the law is known, "
                     "already needs 55,296", id="a law that begins above"),
        pytest.param(Padded(), "1x24x4", "sequence", "macs <= 600",
                     "there is no largest size: every size from 17 to 32 is within the budget", id="constant, kept"),
        pytest.param(Padded(), "1x24x4", "sequence", "macs <= 500",
                     "no size from 17 to 32 is within the budget, and the cost of other sizes is not known",
                     id="constant, not kept"),
    ],
)  # fmt: skip
def test_no_more_is_said_than_the_law_knows(network, inputs, vary, budget, said):
    with pytest.raises(InputError, match=said):
        cnncost.formula(network, inputs, vary, training=False).solve(budget)


def test_all_sizes_given(laws):
    with pytest.raises(InputError, match="leave out the one to solve for"):
        laws.solve("macs <= 1M", batch=1, size=16)


def test_an_end_of_what_is_known():
    laws = cnncost.formula(nets.Wider(), "1x1x20x16", "height", training=False)
    found = laws.solve("macs <= 1G")["height"]

    assert (found.size, found.further) == (63, None)
    assert "second" in found.note
