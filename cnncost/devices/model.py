"""The Device class: ceilings as plain frozen data, taken from a datasheet or measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

from cnncost.errors import DeviceError
from cnncost.reprs import line

Class: TypeAlias = Literal["cpu", "gpu", "phone", "dsp", "other"]
CLASSES: tuple[str, ...] = get_args(Class)

DTYPES: dict[str, str] = {
    "float64": "float64", "float32": "float32", "tf32": "float32", "float16": "float16", "bfloat16": "bfloat16",
    "float8": "float8_e4m3fn", "int8": "float8_e4m3fn",
}  # fmt: skip
"""Number formats that can have a ceiling, each with a dtype of its size: tf32 is stored as float32, int8 is a byte."""

NOISY = "on a noisy machine"
"""Marker in `Device.measured` if other programs were busy, which makes the ceilings too low."""

LINKS: dict[str, str] = {
    "nvlink": "NVIDIA's links between GPUs of a node", "xgmi": "AMD's Infinity Fabric between GPUs of a node",
    "pcie": "the slot of each device", "infiniband": "the network adapter of each device, between nodes",
}  # fmt: skip
"""Links between devices that can have a bandwidth, with a description."""
FABRICS = ("nvlink", "xgmi", "pcie")
"""Links within a node, fastest first."""

_SHORT = {
    "fp64": "float64", "double": "float64", "fp32": "float32", "float": "float32", "fp16": "float16",
    "half": "float16", "bf16": "bfloat16", "fp8": "float8",
}  # fmt: skip
_LAUNCH: dict[str, float] = {"gpu": 5e-6, "cpu": 1e-6, "phone": 1e-6, "dsp": 0.0, "other": 0.0}
"""Minimum seconds per op by device class, if a device doesn't specify it: about the dispatch time in eager mode."""


class Level(NamedTuple):
    """A memory level: working sets up to `size` bytes move at `bandwidth` bytes per second (read plus written)."""

    size: int
    bandwidth: float


class Rate(NamedTuple):
    """Rate of the kernels for one kind of op.

    Attributes:
        flops: FLOP/s by number format; `any` stands for all of them. Empty: the device's peaks.
        launch: minimum seconds per op; None: the device's value.
    """

    flops: dict[str, float] = {}  # noqa: RUF012  # never mutated; a NamedTuple default
    launch: float | None = None


@dataclass(frozen=True)
class Device:
    """The ceilings of a device.

    Attributes:
        name: name for `--device`.
        title: the product's name.
        kind: device class: cpu, gpu, phone, dsp or other.
        flops: FLOP/s by number format (a MAC is two).
        bandwidth: bytes per second of main memory; None if no source states it: memory then sets no ceiling.
        source: where the figures are from.
        year: release year of the product; 0 if unknown.
        memory: bytes of memory; None if it depends on the machine.
        power: watts, the maker's limit for the whole device; None if unknown.
        launch: minimum seconds per op; None: the default of the device class.
        caches: faster memory levels, smallest first.
        rates: rates by op kind, for kernels that are known to differ from `flops` and `launch`.
        copies: whether the libraries copy operands into their own memory layout before multiplying
            (oneDNN's blocked convolutions, packed matrices).
        fresh: a tensor larger than `fresh.size` gets new pages from the operating system whenever it is allocated;
            these are mapped at `fresh.bandwidth` bytes per second. None if memory is reused.
        threads: number of threads with which a CPU was measured; None for a datasheet.
        measured: when and where it was measured; empty for a datasheet.
        links: bytes per second in each direction for one device, by link.
        node: number of devices that the fastest link joins; None if no source states it.
        link_source: where the figures for links are from.
    """

    name: str
    title: str
    kind: str
    flops: dict[str, float]
    bandwidth: float | None
    source: str
    year: int = 0
    memory: float | None = None
    power: float | None = None
    launch: float | None = None
    caches: tuple[Level, ...] = ()
    rates: dict[str, Rate] = field(default_factory=dict)
    copies: bool = False
    fresh: Level | None = None
    threads: int | None = None
    measured: str = ""
    links: dict[str, float] = field(default_factory=dict)
    node: int | None = None
    link_source: str = ""

    def __repr__(self) -> str:
        peaks = ", ".join(f"{name} {1e-12 * rate:,.4g} TFLOP/s" for name, rate in self.flops.items())
        return line(self, f"{self.name} ({self.title}): {peaks}")

    @property
    def launches(self) -> float:
        """Minimum seconds per op."""
        return _LAUNCH[self.kind] if self.launch is None else self.launch

    @property
    def noisy(self) -> bool:
        """Whether the device was measured while other programs were busy."""
        return NOISY in self.measured

    @property
    def overlaps(self) -> bool:
        """Whether an op can be launched while the previous one is still running, as on a GPU."""
        return self.kind == "gpu"

    def peak(self, dtype: str) -> float:
        """Return the FLOP/s of a number format.

        Raises:
            DeviceError: the device has no figure for it; the message lists the formats that it has.
        """
        try:
            return self.flops[dtype]
        except KeyError:
            raise DeviceError(
                f"device {self.name}: no ceiling for {dtype}; it has {', '.join(self.flops)}: choose one with --dtype"
            ) from None

    def rate(self, kind: str, dtype: str) -> float:
        """Return the FLOP/s of ops of a kind: the rate for the kind if there is one, else the peak.

        Raises:
            DeviceError: there is neither.
        """
        found = self.rates.get(kind)
        if found is None or not found.flops:
            return self.peak(dtype)
        return found.flops.get(dtype) or found.flops.get("any") or self.peak(dtype)

    def call(self, kind: str) -> float:
        """Return the minimum seconds per op of a kind."""
        found = self.rates.get(kind)
        return self.launches if found is None or found.launch is None else found.launch

    def level(self, nbytes: int) -> float | None:
        """Return the bytes per second of the smallest memory level that holds `nbytes`; None if not stated."""
        for size, bandwidth in self.caches:
            if nbytes <= size:
                return bandwidth
        return self.bandwidth


def dtype_named(text: str) -> str:
    """Return the full name of a number format: `bf16` → `bfloat16`.

    Raises:
        DeviceError: there is no such number format.
    """
    found = _SHORT.get(text.lower(), text.lower())
    if found not in DTYPES:
        raise DeviceError(f"dtype {text!r}: expected one of {', '.join(DTYPES)}, or short {', '.join(_SHORT)}")
    return found


def number_format(dtype: str) -> str:
    """Return the number format whose ceiling applies to a dtype; for complex dtypes, that of their two parts."""
    if dtype.startswith("float8"):
        return "float8"
    parts = {"complex64": "float32", "complex128": "float64", "complex32": "float16", "bcomplex32": "bfloat16"}
    return parts.get(dtype, dtype)
