"""What serving a model costs, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from cnncost import units
from cnncost.errors import InputError
from cnncost.report.model import Report
from cnncost.report.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Cache:
    """Bytes of the cache of one sequence; scalars, which only count tokens, are left out.

    Attributes:
        nbytes: bytes of the whole cache after the prompt.
        bytes_per_token: growth by the next token; 0 if all layers hold full windows or states.
        growing: bytes of the tensors that grow with the context.
        kept_alive: bytes of the storages that the tensors are views of; more than `nbytes` if a tensor is a slice of a
            larger one, which then can't be freed.
    """

    nbytes: int
    bytes_per_token: int
    growing: int
    kept_alive: int

    @property
    def constant(self) -> int:
        """Bytes of the part that does not grow: full windows, states, and the keys and values from an encoder."""
        return self.nbytes - self.growing


@dataclass(frozen=True, slots=True)
class Course:
    """A figure as a polynomial in the context length, fitted to a few lengths and checked at others.

    Attributes:
        coefficients: exact coefficients, the constant term first.
        first, last: the range of lengths for which it was found.
        checked: lengths at which it was checked.
    """

    coefficients: tuple[Fraction, ...]
    first: int
    last: int
    checked: tuple[int, ...]

    def __call__(self, context: int) -> int:
        """Return the figure at a context length.

        Raises:
            InputError: the length is outside the range, or the value there is no whole number.
        """
        if not self.first <= context <= self.last:
            raise InputError(f"context {context}: the law was found from {self.first} to {self.last}")
        value = self.value(context)
        if value.denominator != 1:
            raise InputError(f"context {context}: the law gives {value} there, which is not a whole number")
        return int(value)

    def value(self, context: int) -> Fraction:
        """Return the value of the polynomial, even outside the range."""
        return sum((c * context**power for power, c in enumerate(self.coefficients)), Fraction(0))


@dataclass(frozen=True)
class Serving:
    """Prefill and decode of a model.

    Attributes:
        model: the model's name.
        batch: number of sequences served together.
        context: number of tokens in the prompt.
        chunks: Reports of the prefill, one for each chunk of the prompt.
        decode: Report of the step after the prompt, with one token per sequence.
        cache: the cache of one sequence.
        cache_nbytes: bytes of the cache of all sequences.
        courses: polynomials in the context length, for figures that follow one: `"macs"` and `"flops"` of the decode
            step, `"prefill_macs"` and `"prefill_flops"` of an unchunked prefill, `"cache"` in bytes for all sequences.
        times: predicted times of each chunk and of `decode`; empty without a device.
        new_tokens: number of tokens to generate for each sequence.
        last: Report of the decode step for the last new token; None if there is only one new token.
        last_time: predicted time of that step; None without a device or `last`.
        chunk: number of tokens in a chunk of the prefill.
        largest_batch: largest number of sequences with this context that fits the device; None: not requested.
        longest_context: longest prompt, in tokens, that fits the device at this batch size; None: not requested.
        notes: remarks on the configuration and on `longest_context`.
    """

    model: str
    batch: int
    context: int
    chunks: tuple[Report, ...]
    decode: Report
    cache: Cache
    cache_nbytes: int
    courses: dict[str, Course]
    times: tuple[Prediction, ...] = ()
    new_tokens: int = 1
    last: Report | None = None
    last_time: Prediction | None = None
    chunk: int = 0
    largest_batch: int | None = None
    longest_context: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def prefill(self) -> Report:
        """The Report of the prefill, or of its last chunk."""
        return self.chunks[-1]

    @property
    def first_token_seconds(self) -> float | None:
        """Predicted time of the prefill, whose last logits determine the first new token; None without a device."""
        return sum(each.roofline.total.seconds for each in self.times[:-1]) if self.times else None

    @property
    def generation_seconds(self) -> float | None:
        """Predicted time of `new_tokens` decode steps of average length; None without a device.

        The average is that of the first and the last step.
        """
        if not self.times:
            return None
        first = self.times[-1].roofline.total.seconds
        last = first if self.last_time is None else self.last_time.roofline.total.seconds
        return self.new_tokens * (first + last) / 2

    def chunk_tokens(self, start: int) -> int:
        """Return the number of tokens in the chunk that begins after `start` tokens."""
        return min(self.chunk or self.context, self.context - start)

    def __repr__(self) -> str:
        mark = ">=" if self.decode.unknown else ""
        return (
            f"Serving({self.model}, context={self.context:,}, batch={self.batch:,}: "
            f"decode {mark}{units.compact(self.decode.totals.macs)} MACs, "
            f"cache {units.data(self.cache.nbytes)} a sequence, +{self.cache.bytes_per_token:,} bytes a token)"
        )
