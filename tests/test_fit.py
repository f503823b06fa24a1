"""The largest batch that fits: found by search, held against trying them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cnncost
from cnncost.errors import InputError
from cnncost.fit import Step, largest_batch, usage
from cnncost.sources.batch import with_batch


def peak(model, inputs, **how):
    return usage(model, inputs, **how).peak.nbytes


@given(st.integers(0, 500), st.integers(1, 50), st.integers(1, 64), st.integers(0, 5000))
def test_linear_memory_in_blocks(base, each, block, limit):
    def at(batch):
        return base + -(-each * batch // block) * block

    expected = next(b for b in range(6000) if at(b + 1) > limit)
    assert largest_batch(at, limit) == expected


@given(st.lists(st.integers(0, 30), min_size=40, max_size=40), st.integers(1, 600))
def test_memory_that_grows_in_any_way(steps, limit):
    def at(batch):
        return sum(steps[: min(batch, 40)]) + max(batch - 40, 0) * 50 + 1

    expected = next(b for b in range(100) if at(b + 1) > limit)
    assert largest_batch(at, limit) == expected


def test_memory_that_does_not_grow():
    with pytest.raises(InputError, match="hardly depends on the batch"):
        largest_batch(lambda _: 10, 20)


@pytest.mark.parametrize("step", [None, Step(), Step(optimizer="momentum")], ids=["inference", "step", "momentum"])
def test_a_network(step):
    limit = 3 * 2**20
    shapes = [with_batch("1x1x32x32", batch) for batch in range(1, 400)]
    found = largest_batch(lambda batch: peak("lenet5", with_batch("1x1x32x32", batch), step=step), limit)
    assert peak("lenet5", shapes[found - 1], step=step) <= limit < peak("lenet5", shapes[found], step=step)


def test_the_peak_is_that_of_the_report():
    report = cnncost.analyze("lenet5", training=True, optimizer="adam")
    assert peak("lenet5", "1x1x32x32", step=Step(optimizer="adam")) == report.memory.training_peak
    assert peak("lenet5", "1x1x32x32") == report.memory.inference_peak
