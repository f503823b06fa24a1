"""What a real forward needs, and what there is."""

import pytest
from torch import nn

from cnncost.frontends.torch import record
from cnncost.verify import memory


def test_the_peak_is_weights_and_what_lives_beside_them():
    first, last = nn.Linear(100, 1000, bias=False), nn.Linear(1000, 10, bias=False)
    graph = record(nn.Sequential(first, nn.ReLU(), last), (1, 100))
    weights, inputs, hidden = 4 * (100_000 + 10_000), 400, 4000
    assert memory.needed(graph) == weights + inputs + 2 * hidden  # before and after the ReLU


@pytest.mark.parametrize(
    ("limit", "used", "available"),
    [
        pytest.param("max\n", "5\n", 3 * 1024, id="no limit: the host's"),
        pytest.param("2048\n", "1000\n", 1048, id="a limit: what is left of it"),
        pytest.param("9999999\n", "1000\n", 3 * 1024, id="a limit above the host's"),
    ],
)
def test_what_is_available_is_the_least_of_host_and_group(tmp_path, monkeypatch, limit, used, available):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 3 kB\n")
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    monkeypatch.setattr(memory, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.available() == available


def test_where_no_one_tells_nothing_is_held_back(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_MEMORY", tmp_path / "none")
    monkeypatch.setattr(memory, "_GROUP", tmp_path / "none")
    assert memory.available() is None
    assert memory.shortage(record(nn.Linear(3, 3), (1, 3))) == ""
