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
    """The cache of one sequence, in bytes; tensors count with their elements, scalars (counters) not at all.

    Attributes:
        nbytes: all of it, once the prompt is in.
        bytes_per_token: by how much the next token makes it grow: 0 where all layers keep a window or a state.
        growing: the part in tensors that grow with the context.
        kept_alive: bytes of the storages that its tensors are views of; more than `nbytes` where a cache keeps a slice
            of something larger, which then can't be freed.
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
    """A figure over the context length, as a polynomial: found at a few lengths, and checked at another.

    Attributes:
        coefficients: exact, the constant first.
        first, last: the lengths between which it holds.
        checked: lengths at which it was checked.
    """

    coefficients: tuple[Fraction, ...]
    first: int
    last: int
    checked: tuple[int, ...]

    def __call__(self, context: int) -> int:
        """The figure at a context length.

        Raises:
            InputError: outside of where it was found.
        """
        if not self.first <= context <= self.last:
            raise InputError(f"context {context}: the law was found from {self.first} to {self.last}")
        value = self.value(context)
        if value.denominator != 1:
            raise InputError(f"context {context}: the law gives no whole number there, {value}")
        return int(value)

    def value(self, context: int) -> Fraction:
        """The polynomial's value, also where it is not known to hold."""
        return sum((c * context**power for power, c in enumerate(self.coefficients)), Fraction(0))


@dataclass(frozen=True)
class Serving:
    """Prefill and decode of a model.

    Attributes:
        model: its name.
        batch: sequences at a time.
        context: tokens of the prompt.
        chunks: Reports of the prefill, one for each chunk of the prompt.
        decode: Report of the step after the prompt: one token a sequence.
        cache: of one sequence.
        cache_nbytes: of all sequences.
        courses: laws over the context, without those that have none: `"macs"` and `"flops"` of the decode step,
            `"prefill_macs"` and `"prefill_flops"` of a prefill at once, `"cache"` in bytes of all sequences.
        times: predicted times of chunks and decode, where a device was given.
        new_tokens: tokens to generate for each sequence.
        last: Report of the step of the last new token, where there are several.
        last_time: its predicted time.
        chunk: tokens that the prefill took at a time.
        largest_batch: sequences of this context that fit the device; None: not asked for.
        longest_context: tokens of a prompt that fit the device at this batch; None: not asked for.
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
        """The Report of the prefill; of its last chunk, if there are several."""
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

    def chunk_tokens(self, begun: int) -> int:
        """Tokens of the chunk that begins after so many tokens."""
        return min(self.chunk or self.context, self.context - begun)

    def __repr__(self) -> str:
        return (
            f"Serving({self.model}, context={self.context:,}, batch={self.batch:,}: "
            f"decode {units.compact(self.decode.totals.macs)} MACs, "
            f"cache {units.data(self.cache.nbytes)} a sequence, +{self.cache.bytes_per_token:,} bytes a token)"
        )
