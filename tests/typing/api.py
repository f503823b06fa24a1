"""The public API as a typed program: mypy checks it, and a test runs it."""

from __future__ import annotations

from typing import assert_type

import torch
from torch import nn

import cnncost
from cnncost import Cost, Graph, OpSpec, Report


def main() -> None:
    """Use each public name once."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    report = cnncost.analyze(model, "1x3x8x8")
    assert_type(report, Report)
    assert_type(report.totals.macs, int)
    assert_type(report.totals.flops, int)
    assert_type(report.totals.params, int)
    assert_type(report.unknown, dict[str, int])
    assert_type(report.layers[0].path, str)
    assert_type(report.layers[0].output_shape, tuple[int, ...] | None)
    assert_type(report.to_json(), str)
    assert_type(report.to_markdown(), str)
    assert_type(report.to_csv(), str)
    assert_type(report.to_html(), str)
    assert_type(report.explain("0"), str)

    field = report.receptive_field("0", unit=(2, 2))
    assert_type(field.input_size, tuple[int, ...])
    assert_type(field.sees_all, bool)
    assert_type(report.with_receptive_fields(), Report)

    graph = cnncost.record(model, (torch.zeros(1, 3, 8, 8),))
    assert_type(graph, Graph)
    assert_type(cnncost.analyze(graph).totals.macs, int)
    cnncost.analyze(model, {"input": (1, 3, 8, 8)}, strict=True, name="net")

    meter = cnncost.Meter(model, "1x3x8x8", training=False, warmup=0)
    meter.step(1)
    assert_type(meter.rates().examples_per_second, float)
    assert_type(meter.rates().mfu, float | None)
    assert_type(report.log_dict(), dict[str, int])

    @cnncost.rule("typing::example")
    def example(spec: OpSpec) -> Cost:
        n, d = spec.inputs[0].shape
        return cnncost.cost(spec, cnncost.macs("N", n, "D", d), cnncost.flops("bias", 1, "N", n))


if __name__ == "__main__":
    main()
