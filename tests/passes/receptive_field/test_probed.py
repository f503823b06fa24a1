"""Every unit of random networks sees what poisoning the input says that it sees."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import torch
from hypothesis import HealthCheck, assume, given, settings

import cnncost
from cnncost.passes.receptive_field import UNKNOWN, receptive_fields
from tests.oracles.nan_probe import Probe
from tests.passes.receptive_field.dags import LOCAL, dags

torch.set_num_threads(1)
PERIOD = 12
"""Of what few of these steps can make, a multiple."""
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def told(fields, call, units, axis):
    """First and last row that each unit sees, as tensors of the units' shape."""
    n, shape = fields.images[0].size[axis], tuple(units.values())
    firsts, lasts = torch.full(shape, n), torch.full(shape, -1)
    for unit in product(*map(range, shape)):
        box = fields.of(call, unit=unit).box[axis]
        if box is not None:
            firsts[unit], lasts[unit] = box
    return firsts, lasts


@given(dags())
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
def test_each_unit_sees_what_the_probe_says(drawn):
    model, shape = drawn
    assume(len(model.steps))
    x = torch.randn(shape)
    report = cnncost.analyze(model, x)
    fields = receptive_fields(report.graph)
    for call in range(1, len(report.graph.calls)):
        path = report.graph.call_path(call)
        if path.count(".") != 1:
            continue
        field, units, probe = fields.of(call), fields.units(call), Probe(model, path, [x])
        for axis, number in enumerate(fields.images[0].axes if field else ()):
            assert field.seen[axis] is not UNKNOWN, (path, field.notes)
            expected, found = probe.hulls(number, tuple(units)), told(fields, call, units, axis)
            assert torch.equal(found[0], expected[0]), (path, axis, model)
            assert torch.equal(found[1], expected[1]), (path, axis, model)


@given(dags(LOCAL, most=4))
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
def test_size_jump_and_start_hold_far_from_borders(drawn):
    """What a small input tells by the law is what the probe finds in the middle of a long one."""
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
    x = torch.randn(1, 4, n, shape[3])
    firsts, lasts = (each.tolist() for each in Probe(model, path, [x]).hulls(2, (min(units),)))
    jump, start = Fraction(field.jump[0]), field.start[0]
    middle = [i for i, (a, b) in enumerate(zip(firsts, lasts, strict=True)) if n // 3 < a <= b < 2 * n // 3]
    sizes = [lasts[i] - firsts[i] + 1 for i in middle]
    assert max(sizes, default=0) <= field.size[0]
    assert max(sizes, default=0) == field.size[0] or len(middle) <= PERIOD
    for i in middle:
        if i % PERIOD == 0 and PERIOD % jump.denominator == 0:
            assert firsts[i] == start + jump * i, (i, field)
