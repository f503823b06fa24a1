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
    """The cache of one sequence, in bytes of tensors; scalars, which only count tokens, are left out.

    Attributes:
        nbytes: the whole cache after the prompt.
        bytes_per_token: growth by the next token; 0 if all layers keep a window or a state.
        growing: the part in tensors that grow with the context.
        kept_alive: bytes of the storages that its tensors are views of; more than `nbytes` if a cache keeps a slice of
            a larger tensor, which then can't be freed.
    """

    nbytes: int
    bytes_per_token: int
    growing: int
    kept_alive: int

    @property
    def constant(self) -> int:
        """The part that does not grow: full windows, states, what a decoder keeps of its encoder."""
        return self.nbytes - self.growing


@dataclass(frozen=True, slots=True)
class Course:
    """A figure as a polynomial in the context length, fitted to a few lengths and checked at others.

    Attributes:
        coefficients: exact coefficients, the constant first.
        first, last: the range of lengths in which it holds.
        checked: lengths at which it was checked.
    """

    coefficients: tuple[Fraction, ...]
    first: int
    last: int
    checked: tuple[int, ...]

    def __call__(self, context: int) -> int:
        """Return the figure at a context length.

        Raises:
            InputError: the length is outside of the range.
        """
        if not self.first <= context <= self.last:
            raise InputError(f"context {context}: the law was found from {self.first} to {self.last}")
        value = self.value(context)
        if value.denominator != 1:
            raise InputError(f"context {context}: the law gives {value} there, which is not a whole number")
        return int(value)

    def value(self, context: int) -> Fraction:
        """Return the polynomial's value, also outside of the range."""
        return sum((c * context**power for power, c in enumerate(self.coefficients)), Fraction(0))


@dataclass(frozen=True)
class Serving:
    """Prefill and decode of a model.

    Attributes:
        model: the model's name.
        batch: number of sequences served together.
        context: number of tokens in the prompt.
        chunks: Reports of the prefill, one for each chunk of the prompt.
        decode: Report of the step after the prompt: one token a sequence.
        cache: the cache of one sequence.
        cache_nbytes: bytes of the caches of all sequences.
        courses: polynomials in the context length, for figures that have one: `"macs"` and `"flops"` of the decode
            step, `"prefill_macs"` and `"prefill_flops"` of a prefill at once, `"cache"` in bytes of all sequences.
        times: predicted times of chunks and decode, if a device was given.
        new_tokens: tokens to generate for each sequence.
        last: Report of the decode step of the last new token; None if there is only one.
        last_time: the predicted time of that step.
        chunk: number of tokens in a chunk of the prefill.
        largest_batch: largest number of sequences of this context that fits the device; None: not requested.
        longest_context: largest number of prompt tokens that fits the device at this batch; None: not requested.
        notes: remarks on the configuration.
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
        """Predicted time of the prefill, whose last logits are the first new token's; None without a device."""
        return sum(each.roofline.total.seconds for each in self.times[:-1]) if self.times else None

    @property
    def generation_seconds(self) -> float | None:
        """Predicted time of the decode steps, by the mean of the first and the last; None without a device."""
        if not self.times:
            return None
        first = self.times[-1].roofline.total.seconds
        last = first if self.last_time is None else self.last_time.roofline.total.seconds
        return self.new_tokens * (first + last) / 2

    def chunk_tokens(self, start: int) -> int:
        """Return the number of tokens of the chunk that begins after `start` tokens."""
        return min(self.chunk or self.context, self.context - start)

    def __repr__(self) -> str:
        return (
            f"Serving({self.model}, context={self.context:,}, batch={self.batch:,}: "
            f"decode {units.compact(self.decode.totals.macs)} MACs, "
            f"cache {units.data(self.cache.nbytes)} a sequence, +{self.cache.bytes_per_token:,} bytes a token)"
        )
