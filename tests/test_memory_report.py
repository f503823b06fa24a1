"""reports/memory.md is what the code predicts today, and what the allocator does."""

from pathlib import Path

import pytest

import cnncost
from cnncost import units
from tests.memory_report import NETWORKS, measure

REPORT = Path(__file__).parent.parent / "reports" / "memory.md"


def rows():
    for line in REPORT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in NETWORKS:
            yield cells


def test_every_network_is_there():
    assert {(name, int(batch), run) for name, batch, run, *_ in rows()} == {
        (name, batch, run) for name in NETWORKS for batch in (1, 8) for run in ("inference", "training step")
    }


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "ViT-B/16"])
def test_predictions_are_current(name):
    build, shape = NETWORKS[name]
    model = build()
    for _, batch, run, predicted, *_ in (row for row in rows() if row[0] == name):
        step = run == "training step"
        memory = cnncost.analyze(model.train(step), (int(batch), *shape), training=step).memory
        assert predicted == units.data(memory.training_peak if step else memory.inference_peak)


@pytest.mark.parametrize("name", ["ResNet-18", "MobileNetV2", "LSTM of cells"])
def test_measured_within_three_per_cent(name):
    build, shape = NETWORKS[name]
    found = list(measure(name, build, shape, 2))
    assert [row.run for row in found] == ["inference", "training step"]
    for row in found:
        assert abs(row.error) <= 0.03
