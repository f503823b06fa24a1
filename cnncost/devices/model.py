"""A Device: its ceilings as plain frozen data, from a datasheet or measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

from cnncost.errors import DeviceError

Class: TypeAlias = Literal["cpu", "gpu", "phone", "dsp", "other"]
CLASSES: tuple[str, ...] = get_args(Class)

DTYPES: dict[str, str] = {
    "float64": "float64", "float32": "float32", "tf32": "float32", "float16": "float16", "bfloat16": "bfloat16",
    "float8": "float8_e4m3fn", "int8": "float8_e4m3fn",
}  # fmt: skip
"""Number formats that have a ceiling, and how tensors of each are stored: tf32 computes on float32, int8 is a byte."""

NOISY = "on a noisy machine"
"""What `Device.measured` says where other programs were busy meanwhile, so that the ceilings are too low."""

_SHORT = {
    "fp64": "float64", "double": "float64", "fp32": "float32", "float": "float32", "fp16": "float16",
    "half": "float16", "bf16": "bfloat16", "fp8": "float8",
}  # fmt: skip
_LAUNCH: dict[str, float] = {"gpu": 5e-6, "cpu": 1e-6, "phone": 1e-6, "dsp": 0.0, "other": 0.0}
"""Seconds that an op takes at least where a device does not say: of the order of an eager framework's dispatch."""


class Level(NamedTuple):
    """A level of memory: what fits into so many bytes moves at so many bytes a second (read plus written)."""

    size: int
    bandwidth: float


class Rate(NamedTuple):
    """What the kernels of one op kind reach: FLOP/s by dtype (`any` for all), seconds a call, or None as elsewhere."""

    flops: dict[str, float] = {}  # noqa: RUF012  # never changed; a NamedTuple's default
    launch: float | None = None


@dataclass(frozen=True)
class Device:
    """What a device can do at most.

    Attributes:
        name: what `--device` says.
        title: the product's name.
        kind: cpu, gpu, phone, dsp, other.
        flops: FLOP/s by number format (a MAC is two).
        bandwidth: bytes a second of main memory, None where no source states it: memory then sets no ceiling.
        source: where the figures are from.
        year: of the product; 0 if unknown.
        memory: bytes; None if it depends on the machine.
        power: watts, the maker's limit for the whole device.
        launch: seconds that every op takes at least, None for the class's assumption.
        caches: faster levels, smallest first.
        rates: by op kind, where its kernels are known not to reach `flops`.
        copies: whether the libraries copy operands into an order of their own before they multiply
            (oneDNN's blocked convolutions, packed matrices).
        fresh: tensors larger than `size` are given new pages by the system on every use, at `bandwidth`.
        threads: with which a CPU was measured; None for a datasheet's.
        measured: when and where; empty for a datasheet.
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

    @property
    def launches(self) -> float:
        """Seconds that every op takes at least."""
        return _LAUNCH[self.kind] if self.launch is None else self.launch

    @property
    def noisy(self) -> bool:
        """Whether it was measured while other programs were busy."""
        return NOISY in self.measured

    @property
    def overlaps(self) -> bool:
        """Whether an op is launched while the one before it still runs, as on a GPU."""
        return self.kind == "gpu"

    def peak(self, dtype: str) -> float:
        """FLOP/s of a number format.

        Raises:
            DeviceError: the device has no figure for it; the message names those that it has.
        """
        try:
            return self.flops[dtype]
        except KeyError:
            raise DeviceError(
                f"device {self.name}: no ceiling for {dtype}; it has {', '.join(self.flops)}: choose one with --dtype"
            ) from None

    def rate(self, kind: str, dtype: str) -> float:
        """FLOP/s that ops of a kind reach: the measured rate of the kind if there is one, else the peak."""
        found = self.rates.get(kind)
        if found is None or not found.flops:
            return self.peak(dtype)
        return found.flops.get(dtype) or found.flops.get("any") or self.peak(dtype)

    def call(self, kind: str) -> float:
        """Seconds that an op of a kind takes at least."""
        found = self.rates.get(kind)
        return self.launches if found is None or found.launch is None else found.launch

    def level(self, nbytes: int) -> float | None:
        """Bytes a second for a working set of so many bytes: that of the smallest level which holds it."""
        for size, bandwidth in self.caches:
            if nbytes <= size:
                return bandwidth
        return self.bandwidth


def dtype_named(text: str) -> str:
    """`bf16` → `bfloat16`.

    Raises:
        DeviceError: no number format of this name.
    """
    found = _SHORT.get(text.lower(), text.lower())
    if found not in DTYPES:
        raise DeviceError(f"dtype {text!r}: expected one of {', '.join(DTYPES)}, or short {', '.join(_SHORT)}")
    return found


def number_format(dtype: str) -> str:
    """The number format whose ceiling holds for tensors of a dtype; complex numbers are pairs of floats."""
    if dtype.startswith("float8"):
        return "float8"
    parts = {"complex64": "float32", "complex128": "float64", "complex32": "float16", "bcomplex32": "bfloat16"}
    return parts.get(dtype, dtype)
