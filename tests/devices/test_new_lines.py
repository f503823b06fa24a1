"""Every class, number format and link of the tables works with every command, and so does one that is only declared."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnncost.devices.model import CLASSES, FORMATS, LINKS, Device, dtype_named
from cnncost.graph import SparseType, TensorType

ROOT = Path(__file__).parents[2]
NEW_CLASSES, NEW_FORMATS, NEW_LINKS = ("abacus",), {"int5": 5, "float12": 12}, ("thread", "pigeon")
ALL_CLASSES, ALL_FORMATS, ALL_LINKS = (*CLASSES, *NEW_CLASSES), (*FORMATS, *NEW_FORMATS), (*LINKS, *NEW_LINKS)
NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(31, 15))

    def forward(self, x):
        return x @ self.weight
"""
NUMBERS = (3 * 31, 31 * 15, 3 * 15)
"""Elements of the input, the weight and the output; each tensor takes whole bytes."""


def device(name, kind, links, **more):
    keys = {"title": name, "class": kind, "source": "made up", "link_source": "made up", "bandwidth": 1e6, **more}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    flops = ", ".join(f"{each} = 1e15" for each in ALL_FORMATS)
    speeds = ", ".join(f"{link} = {speed!r}" for link, speed in links.items())
    return "\n".join([f"[{name}]", *lines, f"flops = {{ {flops} }}", f"links = {{ {speeds} }}", ""])


SPEEDS = {link: 1e6 * (10 + i) for i, link in enumerate(ALL_LINKS)}
DEVICES = [
    *(device(f"of-{kind}", kind, SPEEDS, memory=1e9, power=9) for kind in ALL_CLASSES),
    device("pod", "other", {"thread": 300e9, "pcie": 16e9}, launch=0, node=16),
    device("pod-alone", "other", {"thread": 300e9}, launch=0, node=4096),
    device("pods", "other", {"thread": 300e9, "pcie": 16e9, "pigeon": 5e9}, launch=0, node=4),
    device("two-networks", "gpu", {"nvlink": 4e11, "infiniband": 5e10, "pigeon": 6e10}, launch=0, node=1),
    device("slow-bridge", "gpu", {"nvlink": 50e9, "pcie": 64e9}, launch=0, node=2),
]
TRAINING = ("--parallel", "dp=2", "--training")
COMMANDS = {
    "all": ("devices", "--format", "csv"), "help": ("roofline", "--help"),
    "wrong": ("roofline", "net.py", "--input", "3x31", "--device", "pod", "--dtype", "nothing"),
    **{f"device {kind}": ("devices", f"of-{kind}") for kind in ALL_CLASSES},
    "device of 16": ("devices", "pod"),
    "device of 2": ("devices", "slow-bridge"),
    **{f"class {kind}": ("roofline", "net.py", "--input", "3x31", "--device", f"of-{kind}", "--format", "json")
       for kind in ALL_CLASSES},
    **{f"fits {kind}": ("memory", "net.py", "--input", "3x31", "--device", f"of-{kind}") for kind in ALL_CLASSES},
    **{f"format {name}": ("roofline", "net.py", "--input", "3x31", "--device", "pod", "--dtype", name,
                          "--format", "json") for name in ALL_FORMATS},
    **{f"link {name}": ("roofline", "lenet5", "--device", "of-gpu", *TRAINING, "--link", name, "--format", "json")
       for name in ALL_LINKS},
    **{f"taken {name}": ("roofline", "lenet5", "--device", name, "--parallel", "dp=8", "--training", "--format", "json")
       for name in ("pod", "pod-alone", "pods", "two-networks", "slow-bridge")},
    "text": ("roofline", "net.py", "--input", "3x31", "--device", "pod", "--dtype", "int5"),
    "sweep": ("sweep", "lenet5", "--device", ",".join(f"of-{kind}" for kind in ALL_CLASSES), "--jobs", "1", "--format",
              "json"),
    "trace": ("roofline", "lenet5", "--device", "pod", "--dtype", "int5", *TRAINING, "--format", "trace"),
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What each command prints with a line more in each table."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "devices.toml").write_text("\n".join(DEVICES))
    (folder / "net.py").write_text(NET)
    environment = {"CNNCOST_DEVICES": str(folder / "devices.toml"), "COLUMNS": "100", "CNNCOST_CACHE": str(folder)}
    paths = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", ROOT / "tests" / "devices" / "extended_tables.py"],
        input=json.dumps({"commands": [*COMMANDS.values()]}), env=environment | paths, cwd=folder, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(COMMANDS, json.loads(done.stdout), strict=True))


def read(written, name):
    code, out, err = written[name]
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "wrong"])
def test_every_command_works(written, name):
    code, out, err = written[name]
    assert (code, bool(out)) == (0, True), err


def test_help_messages_and_columns_list_what_the_tables_have(written):
    told = " ".join(written["help"][1].split())
    assert f"[{'|'.join(ALL_LINKS)}]" in told.replace(" ", "")
    for name in ALL_FORMATS:
        assert name in told
    assert f"expected one of {', '.join(ALL_FORMATS)}" in " ".join(written["wrong"][2].split())
    columns = csv.DictReader(io.StringIO(written["all"][1])).fieldnames
    assert {*ALL_FORMATS, *ALL_LINKS} <= {*columns}
    for kind in ALL_CLASSES:
        described = written[f"device {kind}"][1]
        assert all(f"\n  {name} " in described for name in (*ALL_FORMATS, *ALL_LINKS)), described


def test_a_class_gives_launches_and_whether_they_overlap_with_work(written):
    """At 1 MB/s 603 numbers of four bytes take 2.412 ms; a new one's launch hides in it, a CPU's comes before it."""
    seconds = {kind: read(written, f"class {kind}")["total"]["seconds"] for kind in ALL_CLASSES}
    moved = 4 * sum(NUMBERS) / 1e6
    expected = {"cpu": 1e-6, "gpu": 0, "phone": 1e-6, "dsp": 0, "other": 0, "abacus": 0}
    assert {kind: seconds[kind] for kind in expected} == pytest.approx(
        {kind: moved + before for kind, before in expected.items()}, rel=1e-9
    )
    assert "launch     2 µs (assumed)" in written["device abacus"][1].replace("2.00", "2")


def test_bytes_are_those_of_the_format(written):
    bits = {
        "float64": 64, "float32": 32, "tf32": 32, "float16": 16, "bfloat16": 16, "float8": 8, "int8": 8, **NEW_FORMATS,
    }  # fmt: skip
    found = {name: read(written, f"format {name}")["total"]["bytes"] for name in ALL_FORMATS}
    assert {name: found[name] for name in bits} == {
        name: sum(-(-numbers * each // 8) for numbers in NUMBERS) for name, each in bits.items()
    }
    assert "int5: all floating-point values are taken as 5 bits each" in " ".join(written["text"][1].split())


@pytest.mark.parametrize("name", ALL_LINKS)
def test_a_link_may_be_named(written, name):
    used = read(written, f"link {name}")["communication"]["collectives"]
    assert {(each["link"], each["bandwidth"]) for each in used} == {(name, SPEEDS[name])}


@pytest.mark.parametrize(
    ("device", "link", "bandwidth"),
    [
        pytest.param("pod", "thread", 300e9, id="a new one is faster than the slot"),
        pytest.param("pod-alone", "thread", 300e9, id="a new one alone"),
        pytest.param("pods", "4 × pigeon", 4 * 5e9, id="a new one between nodes, though slots are faster"),
        pytest.param("two-networks", "pigeon", 6e10, id="the faster one of two networks"),
        pytest.param("slow-bridge", "pcie", 64e9, id="no network: by the slots, two of which are no faster than one"),
    ],
)
def test_the_fastest_link_is_taken(written, device, link, bandwidth):
    used = read(written, f"taken {device}")["communication"]["collectives"]
    assert {(each["link"], each["bandwidth"]) for each in used} == {(link, bandwidth)}


def test_node_counts_the_devices_that_the_fastest_link_joins(written):
    assert "thread     300 GB/s in each direction, among 16 devices" in written["device of 16"][1]
    assert written["device of 16"][1].count("among") == 1
    assert "pcie       64.0 GB/s in each direction, among 2 devices" in written["device of 2"][1]


@pytest.mark.parametrize(
    ("links", "fabric", "host", "network"),
    [
        ({}, None, None, None),
        ({"pcie": 1.0}, "pcie", "pcie", "pcie"),
        ({"nvlink": 2.0}, "nvlink", None, None),
        ({"pcie": 1.0, "xgmi": 2.0, "infiniband": 0.5}, "xgmi", "pcie", "infiniband"),
        ({"pcie": 2.0, "nvlink": 2.0}, "nvlink", "pcie", "pcie"),
        ({"pcie": 3.0, "nvlink": 2.0}, "pcie", "pcie", "pcie"),
        ({"infiniband": 9.0}, None, None, "infiniband"),
    ],
)
def test_links_by_place_and_bandwidth(links, fabric, host, network):
    found = Device("d", "d", "gpu", {}, None, "", links=links)
    assert (found.fabric, found.host_link, found.network) == (fabric, host, network)


def test_no_short_name_stands_for_two_formats():
    shorts = [short for each in FORMATS.values() for short in each.short]
    assert len({*shorts, *FORMATS}) == len(shorts) + len(FORMATS)
    assert [dtype_named(short) for short in shorts] == [name for name, each in FORMATS.items() for _ in each.short]


@pytest.mark.parametrize(
    ("kind", "bits", "nbytes"),
    [
        (TensorType((3, 5), "float32"), 64, 120), (TensorType((3, 5), "float64"), 16, 30),
        (TensorType((3, 5), "float32"), 4, 8), (TensorType((3, 5), "bfloat16"), 6, 12),
        (TensorType((3, 5), "float32"), 12, 23), (TensorType((), "float32"), 1, 1), (TensorType((0,), "float32"), 4, 0),
        (SparseType((90, 90), "float32", (7, 56)), 4, 4 + 56), (SparseType((90, 90), "float32", (7, 56)), 16, 14 + 56),
    ],
)  # fmt: skip
def test_a_tensor_in_numbers_of_so_many_bits(kind, bits, nbytes):
    found = kind.of_bits(bits)
    assert (found.shape, found.nbytes, found.floating) == (kind.shape, nbytes, True)


def test_documentation_names_every_class_and_link():
    page = (ROOT / "docs" / "concepts" / "roofline.md").read_text()
    assert {name for name in (*CLASSES, *LINKS) if not re.search(rf"\b{name}\b", page)} == set()
