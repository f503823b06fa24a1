"""The computed receptive field of every unit in random networks equals the one found by poisoning the input."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings

import cnncost
from cnncost.passes.receptive_field import UNKNOWN, receptive_fields
from tests.oracles.nan_probe import Probe
from tests.passes.receptive_field.dags import LOCAL, MIXING, STEPS, Call, Dag, Step, dags, shuffled, unshuffled
from tests.samples import examples, sample

torch.set_num_threads(1)
PERIOD = 12
"""A multiple of the periods that a few of these steps can produce."""
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def told(fields, call, units, axis):
    """First and last row that each unit sees according to cnncost, as tensors of the units' shape."""
    n, shape = fields.images[0].size[axis], tuple(units.values())
    firsts, lasts = torch.full(shape, n), torch.full(shape, -1)
    for unit in product(*map(range, shape)):
        box = fields.of(call, unit=unit).box[axis]
        if box is not None:
            firsts[unit], lasts[unit] = box
    return firsts, lasts


@given(dags())
@settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
def test_each_unit_of_random_networks_matches_poisoning(drawn):
    assume(len(drawn[0].steps))
    assert len(probed(*drawn)) >= len(drawn[0].steps)


@given(dags(most=3, first=MIXING))
@settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
def test_networks_that_begin_with_a_mixing_step(drawn):
    assume(len(drawn[0].steps))
    assert len(probed(*drawn)) >= len(drawn[0].steps)


@pytest.mark.parametrize("name", sample(sorted(STEPS), 20))
def test_every_step_alone_before_a_convolution(name):
    """Tests each kind of step in every run, with a few settings, followed by a convolution."""

    @given(dags(("conv", "max pool"), most=1, first=(name,)))
    @settings(max_examples=3, deadline=None, suppress_health_check=SLOW)
    def some(drawn):
        assume(len(drawn[0].steps))
        probed(*drawn)

    some()


def probed(model, shape):
    """Compare each layer's units with poisoning; returns the layers that were looked at."""
    looked_at = []
    x = torch.randn(shape)
    report = cnncost.analyze(model, x)
    fields = receptive_fields(report.graph)
    for call in range(1, len(report.graph.calls)):
        path = report.graph.call_path(call)
        if path.count(".") != 1:
            continue
        looked_at.append(path)
        field, units, probe = fields.of(call), fields.units(call), Probe(model, path, [x])
        for axis, number in enumerate(fields.images[0].axes if field else ()):
            assert field.seen[axis] is not UNKNOWN, (path, field.notes)
            expected, found = probe.hulls(number, tuple(units)), told(fields, call, units, axis)
            assert torch.equal(found[0], expected[0]), (path, axis, model)
            assert torch.equal(found[1], expected[1]), (path, axis, model)
    return looked_at


@given(dags(LOCAL, most=4))
@settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
def test_size_jump_and_start_hold_far_from_borders(drawn):
    """The values derived from a small input's periodic pattern equal those probed in the middle of a long one."""
    model, shape = drawn
    assume(len(model.steps))
    fields = receptive_fields(cnncost.analyze(model, torch.randn(shape)).graph)
    call, path = len(fields.graph.calls) - 1, f"steps.{len(model.steps) - 1}"
    while fields.graph.call_path(call) != path:
        call -= 1
    field = fields.of(call)
    assume(field is not None and field.size[0] is not UNKNOWN and field.jump[0] is not UNKNOWN)
    units = fields.units(call)
    if fields.images[0].axes[0] != 2 or len(units) != 2:
        return
    n = 96
    firsts, lasts = Probe(model, path, [torch.randn(1, 4, n, shape[3])]).hulls(2, tuple(units))
    grown = [axis for axis, size in enumerate(units.values()) if firsts.shape[axis] != size]
    if len(grown) != 1:  # a longer input doesn't give more rows in exactly one axis
        return
    # by output row, for each unit separately: what a row sees may also depend on the column
    firsts, lasts = (each.movedim(grown[0], 0).tolist() for each in (firsts, lasts))
    jump, start = Fraction(field.jump[0]), field.start[0]
    seen = {i: list(zip(*rows, strict=True)) for i, rows in enumerate(zip(firsts, lasts, strict=True))}
    middle = {i: row for i, row in seen.items() if all(n // 3 < a <= b < 2 * n // 3 for a, b in row if b >= 0)}
    sizes = [b - a + 1 for row in middle.values() for a, b in row if b >= 0]
    assert max(sizes, default=0) <= field.size[0]
    assert max(sizes, default=0) == field.size[0] or len(middle) <= PERIOD
    seeing = [i for i, row in middle.items() if any(b >= 0 for _, b in row)]  # rows at the borders may see nothing
    for i, row in middle.items():
        if i % PERIOD == 0 and PERIOD % jump.denominator == 0 and seeing and seeing[0] <= i <= seeing[-1]:
            first = min((a for a, b in row if b >= 0), default=UNKNOWN)
            assert first == (UNKNOWN if start is UNKNOWN else start + jump * i), (i, field)


def test_rows_seen_differently_by_column_have_one_position_each():
    """Transposed 2×2 blocks: unit (i, j) sees row 2·⌊i/2⌋ + j mod 2 and column 2·⌊j/2⌋ + i mod 2."""
    turn = Call(torch.transpose, dim0=2, dim1=3)
    steps = [("unshuffle", unshuffled), ("transpose", turn), ("shuffle", shuffled), ("transpose", turn)]
    model = Dag([Step(name, function, (i,)) for i, (name, function) in enumerate(steps)])
    fields = receptive_fields(cnncost.analyze(model, (1, 4, 8, 12)).graph)
    call = next(i for i in range(len(fields.graph.calls)) if fields.graph.call_path(i) == "steps.3")
    assert fields.of(call).size == (1, 1)
    for i, j in product(range(8), range(12)):
        row, column = i // 2 * 2 + j % 2, j // 2 * 2 + i % 2
        assert fields.of(call, unit=(i, j)).box == ((row, row), (column, column))
    probed(model, (1, 4, 8, 12))
