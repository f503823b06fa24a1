"""The table of devices, files of one's own, and what is said of broken ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from cnncost.devices import Device, Level, Rate, catalog, find
from cnncost.devices.model import dtype_named, number_format
from cnncost.devices.read import EXAMPLE, parse, read
from cnncost.devices.registry import built_in, own_file
from cnncost.devices.save import save, to_toml
from cnncost.errors import DeviceError

MINE = Device(
    "mine", 'A "quoted" device', "cpu", {"float32": 4.3e11, "bfloat16": 2e12}, 2.8e10, "measured: ünïcode", 2026, 2e10,
    65.0, 0.0, (Level(1 << 20, 1.5e11), Level(1 << 24, 5.7e10)),
    {"pool": Rate({"any": 5e8}), "conv": Rate({"float32": 4e11}, 5e-5), "norm": Rate({}, 1e-6)},
    True, Level(1 << 25, 4.7e9), 2, "2026-11-24 on a machine", {"nvlink": 4.5e11, "pcie": 6.4e10}, 8, "a datasheet",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_devices_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNCOST_DEVICES", str(tmp_path / "own" / "devices.toml"))


@pytest.mark.parametrize("device", built_in().values(), ids=lambda d: d.name)
def test_every_device_has_a_source_and_figures_in_a_sane_range(device):
    assert len(device.source) > 20
    assert 1985 < device.year < 2027
    assert device.launch is None, "launches are no datasheet's figure"
    assert not device.measured
    for flops in device.flops.values():
        assert 1e7 < flops < 1e16
    if device.name != "dsp32c" and device.bandwidth:
        assert 1e10 < device.bandwidth < 1e13
        slowest, most = (stated, 300) if (stated := device.flops.get("float32")) else (min(device.flops.values()), 1000)
        assert 1 < slowest / device.bandwidth < most


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        # clock · units · FLOPs a cycle, from the products' pages
        pytest.param("gtx580", "float32", 512 * 1.544e9 * 2, id="GTX 580: 512 cores at 1,544 MHz"),
        pytest.param("gtx1080ti", "float32", 3584 * 1.582e9 * 2, id="GTX 1080 Ti: 3,584 cores at 1,582 MHz"),
        pytest.param("rtx3090", "float32", 10496 * 1.695e9 * 2, id="RTX 3090: 10,496 cores at 1,695 MHz"),
        pytest.param("rtx4090", "float32", 16384 * 2.52e9 * 2, id="RTX 4090: 16,384 cores at 2,520 MHz"),
        pytest.param("rtx5090", "float32", 21760 * 2.407e9 * 2, id="RTX 5090: 21,760 cores at 2,407 MHz"),
        pytest.param("v100", "float32", 5120 * 1.53e9 * 2, id="V100: 5,120 cores at 1,530 MHz"),
        pytest.param("v100", "float16", 640 * 1.53e9 * 64 * 2, id="V100: 640 tensor cores, 64 FMAs a cycle"),
        pytest.param("p100", "float32", 3584 * 1.48e9 * 2, id="P100: 3,584 cores at 1,480 MHz"),
        pytest.param("p100", "float16", 3584 * 1.48e9 * 4, id="P100: the same cores, pairs of halves"),
        pytest.param("p100", "float64", 1792 * 1.48e9 * 2, id="P100: 1,792 cores of double precision"),
        pytest.param("a100", "float32", 6912 * 1.41e9 * 2, id="A100: 6,912 cores at 1,410 MHz"),
        pytest.param("a100", "bfloat16", 432 * 1.41e9 * 256 * 2, id="A100: 432 tensor cores, 256 FMAs a cycle"),
        pytest.param("h100", "bfloat16", 528 * 1.83e9 * 512 * 2, id="H100: 528 tensor cores at 1,830 MHz, 512 FMAs"),
        pytest.param("h100", "float32", 16896 * 1.98e9 * 2, id="H100: 16,896 cores at 1,980 MHz"),
        pytest.param("t4", "float32", 2560 * 1.59e9 * 2, id="T4: 2,560 cores at 1,590 MHz"),
        pytest.param("l40s", "float32", 18176 * 2.52e9 * 2, id="L40S: 18,176 cores at 2,520 MHz"),
        pytest.param("mi300x", "float16", 304 * 2.1e9 * 2048, id="MI300X: 304 units at 2,100 MHz, 2,048 FLOPs"),
        pytest.param("xeon-8480", "float32", 56 * 2.0e9 * 64, id="Xeon: 56 cores at 2.0 GHz, two AVX-512 FMAs"),
        pytest.param("xeon-8480", "bfloat16", 56 * 2.0e9 * 1024, id="Xeon: AMX, 1,024 FLOPs a cycle"),
        pytest.param("epyc-9654", "float32", 96 * 2.4e9 * 32, id="EPYC: 96 cores at 2.4 GHz, two 256-bit FMAs"),
        pytest.param("ryzen-7950x", "float32", 16 * 4.5e9 * 32, id="Ryzen: 16 cores at 4.5 GHz"),
        pytest.param("raspberry-pi-5", "float32", 4 * 2.4e9 * 16, id="Raspberry Pi 5: two 128-bit FMAs"),
        pytest.param("dsp32c", "float32", 12.5e6 * 2, id="DSP-32C: 12.5 million multiply-adds"),
    ],
)  # fmt: skip
def test_flops_follow_from_clock_and_width(name, dtype, expected):
    assert find(name).flops[dtype] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # bits of the bus · bits a second and pin / 8
        pytest.param("gtx580", 384 * 4.008e9 / 8, id="GTX 580: 384 bits, 4,008 MT/s"),
        pytest.param("gtx1080ti", 352 * 11e9 / 8, id="GTX 1080 Ti: 352 bits, 11 Gb/s"),
        pytest.param("rtx3090", 384 * 19.5e9 / 8, id="RTX 3090: 384 bits, 19.5 Gb/s"),
        pytest.param("rtx4090", 384 * 21e9 / 8, id="RTX 4090: 384 bits, 21 Gb/s"),
        pytest.param("rtx5090", 512 * 28e9 / 8, id="RTX 5090: 512 bits, 28 Gb/s"),
        pytest.param("p100", 4096 * 1.43e9 / 8, id="P100: 4,096 bits of HBM2, 1.43 Gb/s"),
        pytest.param("xeon-8480", 8 * 8 * 4.8e9, id="Xeon: 8 channels DDR5-4800"),
        pytest.param("epyc-9654", 12 * 8 * 4.8e9, id="EPYC: 12 channels DDR5-4800"),
        pytest.param("ryzen-7950x", 2 * 8 * 5.2e9, id="Ryzen: 2 channels DDR5-5200"),
        pytest.param("raspberry-pi-5", 32 * 4.267e9 / 8, id="Raspberry Pi 5: 32 bits LPDDR4X-4267"),
        pytest.param("snapdragon-8-gen-2", 64 * 8.4e9 / 8, id="Snapdragon: 64 bits at 4,200 MHz, double rate"),
        pytest.param("apple-m1", 128 * 4.266e9 / 8, id="M1: 128 bits LPDDR4X-4266"),
    ],
)
def test_bandwidth_follows_from_width_and_clock(name, expected):
    assert find(name).bandwidth == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("name", "link", "expected"),
    [
        # links · bytes a second of each in one direction; lanes · transfers a second · coding / 8
        pytest.param("b200", "nvlink", 18 * 50e9, id="B200: 18 NVLinks of 50 GB/s"),
        pytest.param("h200", "nvlink", 18 * 25e9, id="H200: 18 NVLinks of 25 GB/s"),
        pytest.param("h100", "nvlink", 18 * 25e9, id="H100: 18 NVLinks of 25 GB/s"),
        pytest.param("h100-pcie", "nvlink", 12 * 25e9, id="H100 PCIe: three bridges of four NVLinks"),
        pytest.param("a100", "nvlink", 12 * 25e9, id="A100: 12 NVLinks of 25 GB/s"),
        pytest.param("v100", "nvlink", 6 * 25e9, id="V100: 6 NVLinks of 25 GB/s"),
        pytest.param("p100", "nvlink", 4 * 20e9, id="P100: 4 NVLinks of 20 GB/s"),
        pytest.param("rtx3090", "nvlink", 4 * 14.0625e9, id="RTX 3090: 4 NVLinks of 14.0625 GB/s"),
        pytest.param("mi300x", "xgmi", 7 * 16 * 32e9 / 8, id="MI300X: 7 links of 16 lanes at 32 GT/s"),
        pytest.param("h100", "pcie", 16 * 32e9 * 128 / 130 / 8, id="H100: 16 lanes PCIe 5.0"),
        pytest.param("rtx5090", "pcie", 16 * 32e9 * 128 / 130 / 8, id="RTX 5090: 16 lanes PCIe 5.0"),
        pytest.param("a100", "pcie", 16 * 16e9 * 128 / 130 / 8, id="A100: 16 lanes PCIe 4.0"),
        pytest.param("l4", "pcie", 16 * 16e9 * 128 / 130 / 8, id="L4: 16 lanes PCIe 4.0"),
        pytest.param("v100", "pcie", 16 * 8e9 * 128 / 130 / 8, id="V100: 16 lanes PCIe 3.0"),
        pytest.param("p100", "pcie", 16 * 8e9 * 128 / 130 / 8, id="P100: 16 lanes PCIe 3.0"),
        pytest.param("t4", "pcie", 16 * 8e9 * 128 / 130 / 8, id="T4: 16 lanes PCIe 3.0"),
        pytest.param("gtx580", "pcie", 16 * 5e9 * 8 / 10 / 8, id="GTX 580: 16 lanes PCIe 2.0, 8 bits in 10"),
        pytest.param("h100", "infiniband", 400e9 / 8, id="H100: NDR, 400 Gb/s"),
        pytest.param("b200", "infiniband", 400e9 / 8, id="B200: NDR, 400 Gb/s"),
        pytest.param("a100", "infiniband", 200e9 / 8, id="A100: HDR, 200 Gb/s"),
    ],
)
def test_links_follow_from_lanes_and_rate(name, link, expected):
    assert find(name).links[link] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("device", [d for d in built_in().values() if d.links], ids=lambda d: d.name)
def test_links_have_a_source_and_are_slower_than_memory(device):
    assert len(device.link_source) > 20
    assert max(device.links.values()) < (device.bandwidth or 0)
    assert (device.node is None) == (set(device.links) <= {"pcie"})


def test_names_are_found_in_any_case_and_near_ones_are_named():
    assert find("H100").title == "NVIDIA H100 SXM5 80 GB"
    with pytest.raises(DeviceError, match=r"device 'rtx490': not known; did you mean rtx4090"):
        find("rtx490")


def test_a_file_of_ones_own_adds_devices_and_takes_the_place_of_others(tmp_path):
    path = tmp_path / "more.toml"
    path.write_text(EXAMPLE + '\n\n[h100]\ntitle = "mine"\nclass = "gpu"\nflops = { float32 = 1 }\nsource = "me"\n')
    assert find("mine", path).flops == {"float32": 20e12}
    assert find("h100", path).title == "mine"
    assert find("h100").title == "NVIDIA H100 SXM5 80 GB"


def test_what_is_saved_is_what_is_read(tmp_path):
    path = tmp_path / "a" / "devices.toml"
    save(MINE, path)
    save(replace(MINE, name="other", launch=None, rates={}), path)
    save(replace(MINE, title="again"), path)
    assert read(path) == {
        "mine": replace(MINE, title="again"), "other": replace(MINE, name="other", launch=None, rates={}),
    }  # fmt: skip


def test_saving_keeps_the_other_devices_as_they_were_written(tmp_path):
    path = tmp_path / "devices.toml"
    path.write_text(
        f"# by hand\n{EXAMPLE}\n\n[last] # mine too\n" + to_toml(replace(MINE, name="x")).partition("\n")[2]
    )
    save(MINE, path)
    text = path.read_text()
    assert text.startswith("# by hand\n[last] # mine too\n")
    assert read(path)["mine"] == MINE
    assert read(path)["last"] == replace(MINE, name="last")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("launch = 1e-6 # [last]", id="comment"),
        pytest.param("caches = [\n[32768, 1e12],\n [1048576, 1e11],\n]", id="array over lines"),
        pytest.param('measured = """a\n[last]\nb"""', id="string over lines"),
        pytest.param("measured = '''a\n[last\n# b'''", id="literal over lines"),
        pytest.param("[mine.rates]\nconv = { launch = 1e-6 }", id="subtable"),
        pytest.param('[ "mine" . rates ]\nconv = { launch = 1e-6 }', id="subtable in quotes"),
    ],
)
def test_a_table_is_replaced_however_its_values_are_written(tmp_path, value):
    path = tmp_path / "devices.toml"
    other = "# mine, too\n" + to_toml(replace(MINE, name="last"))
    head = 'title = "old"\nclass = "gpu"\nflops = { float32 = 1 }\nsource = "me"'
    path.write_text(f"\ufeff# old\n[ mine ]\n{head}\n{value}\n\n{other}", encoding="utf-8")
    assert read(path)["mine"].title == "old"
    save(MINE, path)
    assert path.read_text() == f"# old\n{other}\n{to_toml(MINE)}"


def test_a_device_that_is_no_table_is_not_replaced(tmp_path):
    path = tmp_path / "devices.toml"
    path.write_text(text := 'mine = { title = "a", class = "gpu", flops = { float32 = 1 }, source = "me" }\n')
    with pytest.raises(DeviceError, match=r"mine is not written as a table; write it as \[mine\] first"):
        save(MINE, path)
    assert path.read_text() == text


def test_a_broken_file_is_not_written_over(tmp_path):
    path = tmp_path / "devices.toml"
    path.write_text("[mine\n")
    with pytest.raises(DeviceError, match="not TOML"):
        save(MINE, path)
    assert path.read_text() == "[mine\n"


def test_a_name_that_toml_would_quote_is_refused(tmp_path):
    with pytest.raises(DeviceError, match="expected a name of letters"):
        save(replace(MINE, name="my gpu"), tmp_path / "devices.toml")


BASE = 'title = "x"\nclass = "gpu"\nsource = "y"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("x = 1", r"\[x\]: expected a table such as .*, got 1", id="no table"),
        pytest.param("[a]\n" + BASE, r"\[a\]: flops: expected FLOP/s by dtype", id="no flops"),
        pytest.param("[a]\nflops = { float32 = 1 }", "class: expected a text, got nothing", id="no class"),
        pytest.param(f"[a]\n{BASE}flops = {{ float31 = 1 }}", "did you mean float32", id="dtype misspelt"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 0 }}", "expected a number above 0, got 0", id="no FLOP/s"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = inf }}", "expected a number above 0, got inf", id="infinite"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = true }}", "expected a number above 0, got True", id="a bool"),
        pytest.param(f"[a]\n{BASE}flops = 3", "expected FLOP/s by dtype", id="flops is a number"),
        pytest.param(f'[a]\n{BASE}flops = {{ float32 = 1 }}\nbandwidth = "1 TB/s"', "bandwidth: expected a number",
            id="text"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\nbandwith = 1", "did you mean bandwidth",
            id="key misspelt"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\ncaches = [[2, 1], [1, 1]]", "increasing", id="order"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\ncaches = [1]", "expected pairs", id="no pairs"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\nrates = {{ pool = 3 }}", "rates.pool", id="rate no table"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\ncopies = 1", "expected true or false", id="no flag"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\nthreads = 1.5", "expected a whole number", id="threads"),
        pytest.param('[a]\ntitle="x"\nclass="abacus"\nsource="y"\nflops={float32=1}', "class: expected one of",
            id="class"),
        pytest.param("[a", "not TOML", id="not TOML"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\nlinks = 3", "links: expected bytes per second by link",
            id="links are a number"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\nlinks = {{ nvlnk = 1 }}", "did you mean nvlink",
            id="link misspelt"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\nlinks = {{ pcie = 0 }}", "expected a number above 0",
            id="no bytes a second"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\nlinks = {{ pcie = 1 }}",
            "link_source: expected a text, got nothing", id="links without a source"),
        pytest.param(f"[a]\n{BASE}flops = {{ float32 = 1 }}\nnode = 2.5", "node: expected a whole number", id="node"),
    ],
)  # fmt: skip
def test_a_badly_described_device_is_told_with_its_place(text, message):
    with pytest.raises(DeviceError, match=message):
        parse(text, "file.toml")


def test_a_file_that_is_not_there():
    with pytest.raises(DeviceError, match=r"devices no\.toml: can't be read: No such file"):
        read(Path("no.toml"))


def test_the_users_file_is_where_the_environment_says(monkeypatch, tmp_path):
    assert own_file() == tmp_path / "own" / "devices.toml"
    monkeypatch.delenv("CNNCOST_DEVICES")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert own_file() == tmp_path / "cnncost" / "devices.toml"
    save(MINE, own_file())
    assert catalog()["mine"] == MINE


@pytest.mark.parametrize(
    ("text", "expected"),
    [("bf16", "bfloat16"), ("FP16", "float16"), ("tf32", "tf32"), ("float8", "float8"), ("double", "float64")],
)
def test_dtypes_have_short_names(text, expected):
    assert dtype_named(text) == expected


def test_no_such_dtype():
    with pytest.raises(DeviceError, match="dtype 'float31': expected one of float64"):
        dtype_named("float31")


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float8_e5m2", "float8"), ("complex64", "float32"), ("float32", "float32"), ("complex128", "float64")],
)
def test_number_formats_of_tensors(dtype, expected):
    assert number_format(dtype) == expected


def test_a_device_of_no_class_is_refused():
    with pytest.raises(DeviceError, match="device mine: class 'tpu': expected one of cpu, gpu, phone, dsp, other"):
        replace(MINE, kind="tpu")
