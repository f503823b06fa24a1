"""Claims of slides, as data: the printed figure, and how to compute the exact one.

Nothing here computes, and nothing here imports torch. The only numbers typed into claims are those that the
slides (or the papers that they cite) print; exact ones are described by a Measure and computed on demand.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "TOTAL",
    "Below",
    "Cell",
    "Claim",
    "Difference",
    "Experiment",
    "Formula",
    "Measure",
    "Of",
    "Published",
    "Scaled",
    "Share",
    "Side",
    "Slide",
    "Sum",
    "Table",
    "slide",
]


@dataclass(frozen=True, slots=True)
class Of:
    """A quantity of a network of the zoo, or of one of its layers with all its submodules.

    `quantity` is a name of `quantities`; `options` are keyword arguments of the network's builder.
    """

    network: str
    quantity: str
    layer: str = ""
    options: tuple[tuple[str, str | float], ...] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """Sum of several measures."""

    parts: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of two measures."""

    more: Measure
    less: Measure


@dataclass(frozen=True, slots=True)
class Below:
    """Whether one measure is less than another."""

    less: Measure
    more: Measure


@dataclass(frozen=True, slots=True)
class Share:
    """One measure as a percentage of another."""

    part: Measure
    whole: Measure


@dataclass(frozen=True, slots=True)
class Scaled:
    """A measure times a factor, in its own unit. `words` describes the factor."""

    measure: Measure
    factor: Fraction
    words: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Formula:
    """Arithmetic as text: `300·(1 + 56·56)`."""

    text: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment on real torch modules; `name` is one of `experiments`."""

    name: str
    arguments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A paper's figure for something that can't be computed: it can contradict a slide but not prove it."""

    text: str
    source: str


Measure: TypeAlias = Of | Sum | Difference | Below | Share | Scaled | Formula | Experiment | Published

Side: TypeAlias = Literal["fc", "conv"]
TOTAL = 0
"""Row number of a table's totals."""


class Cell(NamedTuple):
    """Position of a claim in a slide's table that compares a fully connected and a convolutional network."""

    side: Side
    row: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure or statement.

    Attributes:
        what: the subject of the figure.
        printed: the figure or the statement, as printed.
        exact: how to compute the exact figure; None if it can't be computed.
        value: the figure in `printed`, if it is not the first number in it.
        work: the calculation that the slide prints before the figure.
        formula: the right calculation with numbers filled in; equal to `exact`.
        right: text instead of yes or no, if `exact` is whether a statement holds.
        beside: further measures that help to understand the figure.
        reason: why it differs, or a remark.
        source: who printed or stated it, if not only the slide.
        cell: its position in the slide's table.
    """

    what: str
    printed: str
    exact: Measure | None = None
    _: KW_ONLY
    value: str = ""
    work: str = ""
    formula: str = ""
    right: str = ""
    beside: tuple[tuple[str, Measure], ...] = ()
    reason: str = ""
    source: str = ""
    cell: Cell | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Claims that are shown together.

    Attributes:
        claims: the claims, in order.
        caption: the subject; may be empty.
        where: who printed the figures, as the heading of their column.
    """

    claims: tuple[Claim, ...]
    caption: str = ""
    where: str = "on the slide"


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide with claims."""

    number: int
    title: str
    tables: tuple[Table, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All claims of the slide, in order."""
        return tuple(claim for table in self.tables for claim in table.claims)


def slide(number: int, title: str, *parts: Claim | Table) -> Slide:
    """A slide of tables and claims; consecutive claims become one table without a caption."""
    tables: list[Table] = []
    for bare, run in groupby(parts, key=lambda part: isinstance(part, Claim)):
        if bare:
            tables.append(Table(tuple(part for part in run if isinstance(part, Claim))))
        else:
            tables.extend(part for part in run if isinstance(part, Table))
    return Slide(number, title, tuple(tables))
