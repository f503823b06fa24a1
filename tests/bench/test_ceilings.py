"""Small measurements of this machine: figures match what ran, and settings are restored."""

import pytest
import torch

from cnncost.bench import ceilings
from cnncost.bench.backend import Cpu, page_faults
from cnncost.bench.host import host_record
from cnncost.bench.timing import Budget
from cnncost.devices import Level
from cnncost.devices.read import read
from cnncost.devices.save import save


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(ceilings._best, "__defaults__", (Budget(0.0, 0.02, 2, 4),))
    monkeypatch.setattr(ceilings, "_WORKING_SETS", [1 << 18, 1 << 20])
    monkeypatch.setattr(ceilings, "_MAIN", 1 << 22)
    monkeypatch.setitem(ceilings._SIDES, "cpu", (64, 128))
    monkeypatch.setitem(ceilings._IMAGES, "cpu", (2, 3))


@pytest.mark.long
def test_a_measured_device_is_complete_and_can_be_saved(quick, tmp_path):
    threads = torch.get_num_threads()
    told = []
    found = ceilings.measure("cpu", "here", 1, told.append)
    assert torch.get_num_threads() == threads
    assert found.threads == 1
    assert told == ["matrix products", "copies", "launches", "convolutions and pools", "new pages"]
    assert {"float32", "float64", "bfloat16"} <= found.flops.keys()
    assert 1e8 < found.flops["float32"] < 1e14
    assert 1e8 < found.bandwidth < 1e12
    assert 1e-7 < found.launches < 1e-2
    assert found.rates["conv"].flops["float32"] > 1e8
    assert found.rates["pool"].flops["any"] < found.flops["float32"]
    assert "1 thread on" in found.measured
    save(found, tmp_path / "d.toml")
    assert read(tmp_path / "d.toml")["here"] == found


@pytest.mark.long
def test_other_programs_make_a_device_noisy(quick, monkeypatch):
    used = iter([0.0, 1e3])  # CPU seconds of other programs, before and after
    monkeypatch.setattr("cnncost.bench.timing.SystemClock.others", lambda _: next(used, 1e3))
    monkeypatch.setattr(ceilings, "_best", lambda *_: 1.0)  # the measured rates are another test's subject
    found = ceilings.measure("cpu", "here", 1)
    assert found.noisy
    assert "on a noisy machine: others used " in found.measured


def test_flops_are_those_of_the_product(monkeypatch):
    """A product of 1024³ multiply-adds in one second is 2·1024³ FLOP/s."""
    monkeypatch.setattr(ceilings, "_best", lambda *_: 1.0)
    assert ceilings._product(Cpu(), "float32", 1024) == 2 * 1024**3


def test_a_copy_reads_and_writes_its_working_set(monkeypatch):
    monkeypatch.setattr(ceilings, "_best", lambda *_: 1.0)
    assert ceilings._copy(Cpu(), 64 << 20) == 64 << 20
    assert ceilings._copy(Cpu(), 1 << 20) == 8 << 20  # eight copies: a single one is too short to time


def test_levels_that_are_no_faster_than_the_next_are_left_out(monkeypatch):
    speeds = {1 << 18: 90e9, 1 << 20: 88e9, 1 << 22: 50e9, 1 << 24: 11e9, 1 << 26: 10e9, 1 << 29: 10e9}
    monkeypatch.setattr(ceilings, "_copy", lambda _, size: speeds[size])
    caches, main = ceilings._copies(Cpu())
    assert (caches, main) == ((Level(1 << 20, 88e9), Level(1 << 22, 50e9)), 10e9)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(32 << 20, 31 << 20, id="glibc's largest"),
        pytest.param(1 << 40, None, id="an allocator that keeps all"),
        pytest.param(8 << 20, 4 << 20, id="an allocator with a lower limit"),
    ],
)
def test_size_above_which_pages_are_new(monkeypatch, limit, expected):
    times = iter([0.3, 0.1])
    monkeypatch.setattr(ceilings, "_faults", lambda size: size // 4096 if size > limit else 0)
    monkeypatch.setattr(ceilings, "_best", lambda *_: next(times))
    found = ceilings._fresh(Cpu())
    # 64 MiB take 0.2 s longer than into already mapped memory
    assert found == (None if expected is None else Level(expected, (64 << 20) / (0.3 - 0.1)))


def test_page_faults_are_counted():
    before = page_faults()
    torch.ones(1 << 24)  # 64 MiB: new pages under every allocator that maps large blocks
    assert page_faults() >= before


def test_fields_of_the_host_record():
    found = host_record("cpu")
    assert found.cpu
    assert found.cores >= 1
    assert found.threads == torch.get_num_threads()
    assert found.torch == torch.__version__
    assert found.processor("cpu") == found.cpu
    assert found.gpu == ""


def test_measurements_of_a_gpu(quick, monkeypatch):
    """With a fake GPU on the CPU: tf32 next to float32; no caches, pages or operand copies, as these are CPU-only."""
    fake = Cpu()
    fake.name = "cuda"
    asked = []
    monkeypatch.setattr(ceilings, "backend", lambda _: fake)
    monkeypatch.setattr(ceilings, "_copy", lambda _, size: asked.append(size) or 3e12)
    monkeypatch.setattr(ceilings, "_product", lambda _, name, size: {"tf32": 400e12}.get(name, 60e12) * size / 8192)
    monkeypatch.setattr(ceilings, "_convolution", lambda _, name: {"tf32": 300e12}.get(name, 50e12))
    found = ceilings.measure("cuda", "gpu")
    assert (found.kind, found.overlaps, found.threads) == ("gpu", True, None)
    assert (found.flops["tf32"], found.flops["float32"]) == (400e12, 60e12)
    assert found.rates["conv"].flops["tf32"] == 300e12
    assert (found.caches, found.bandwidth, found.fresh, found.copies) == ((), 3e12, None, False)
    assert asked == [4 * (1 << 22)]
    assert "layout" not in found.rates


@pytest.mark.parametrize("name", ["float32", "tf32"])
def test_tensor_cores_are_used_only_for_tf32_and_flags_are_restored(monkeypatch, name):
    seen = []
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    monkeypatch.setattr(ceilings, "_best", lambda *_: seen.append((matmul.allow_tf32, cudnn.allow_tf32)) or 1.0)
    ceilings._product(Cpu(), name, 8)
    ceilings._convolution(Cpu(), name)
    assert (seen[0][0], seen[1][1]) == (name == "tf32", name == "tf32")
    assert (matmul.allow_tf32, cudnn.allow_tf32) == before
