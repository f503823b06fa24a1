"""Rates that a Meter has measured: throughput, FLOP/s and MFU."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.report.columns import AT_LEAST


class Rates(NamedTuple):
    """Rates measured over some steps.

    Attributes:
        steps, examples: numbers of measured steps and examples, without warm-up.
        seconds: their total duration, without pauses and analyses.
        macs, flops: the model's counts, forward and in training also backward, summed over these steps; None if the
            model could not be analyzed.
        peak_flops: peak FLOP/s of the device; None if the Meter was given neither a device nor a peak.
        lower_bound: whether ops without a rule are missing from `macs` and `flops`, so that FLOP/s and MFU are lower
            bounds.
    """

    steps: int
    examples: int
    seconds: float
    macs: int | None
    flops: int | None
    peak_flops: float | None
    lower_bound: bool = False

    @property
    def examples_per_second(self) -> float:
        """Throughput."""
        return self.examples / self.seconds

    @property
    def seconds_per_step(self) -> float:
        """Mean duration of a step."""
        return self.seconds / self.steps

    @property
    def flops_per_second(self) -> float | None:
        """Achieved FLOP/s, counting all floating-point operations of the model; None if unknown."""
        return None if self.flops is None else self.flops / self.seconds

    @property
    def mfu(self) -> float | None:
        """Model FLOPs utilization: two FLOPs per MAC, per second, relative to the device's peak; None if unknown."""
        if self.peak_flops is None or self.macs is None:
            return None
        return 2 * self.macs / self.seconds / self.peak_flops

    @property
    def mark(self) -> str:
        """The sign before FLOP/s and MFU: `≥` if they are lower bounds."""
        return AT_LEAST if self.lower_bound and self.flops is not None else ""

    def log_dict(self, prefix: str = "meter/") -> dict[str, float]:
        """Return the known rates as a flat dict, for an experiment tracker; `lower_bound` is in it if it is true."""
        values = {
            "examples_per_second": self.examples_per_second,
            "seconds_per_step": self.seconds_per_step,
            "flops_per_second": self.flops_per_second,
            "mfu": self.mfu,
            "lower_bound": 1.0 if self.mark else None,
        }
        return {prefix + name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        parts = [
            f"{self.examples_per_second:,.1f} examples/s",
            f"{1e3 * self.seconds_per_step:.3g} ms a step",
        ]
        if self.flops_per_second is not None:
            parts.append(f"{self.mark}{self.flops_per_second / 1e9:,.3g} GFLOP/s")
        return ", ".join(parts if self.mfu is None else [*parts, f"MFU {self.mark}{100 * self.mfu:.1f} %"])
