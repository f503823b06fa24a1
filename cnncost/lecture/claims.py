"""What a slide claims, as data: what it prints, and how the exact figure is found.

Nothing here computes, and nothing here imports torch. The only numbers typed into claims are those that the
slides (or the papers that they cite) print; exact ones are described by a Measure, and measured when asked for.
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
    """A quantity of a network of the zoo, or of one layer of it with all that is below.

    `quantity` is a name of `quantities`; `options` are keyword arguments of the network's builder.
    """

    network: str
    quantity: str
    layer: str = ""
    options: tuple[tuple[str, str | float], ...] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """Several measures, added."""

    parts: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure less another."""

    more: Measure
    less: Measure


@dataclass(frozen=True, slots=True)
class Below:
    """Whether one measure is less than another."""

    less: Measure
    more: Measure


@dataclass(frozen=True, slots=True)
class Share:
    """One measure in percent of another."""

    part: Measure
    whole: Measure


@dataclass(frozen=True, slots=True)
class Scaled:
    """A measure times a factor, in a unit of its own. `words` say what the factor is."""

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
    """Something tried on real torch modules; `name` is one of `experiments`."""

    name: str
    arguments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What the paper prints of something that nobody can compute: it may contradict a slide, never prove it."""

    text: str
    source: str


Measure: TypeAlias = Of | Sum | Difference | Below | Share | Scaled | Formula | Experiment | Published

Side: TypeAlias = Literal["fc", "conv"]
TOTAL = 0
"""The row of a table's totals."""


class Cell(NamedTuple):
    """The place of a claim in a slide's table of a fully connected beside a convolutional network."""

    side: Side
    row: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure or statement.

    Attributes:
        what: what it is a figure of.
        printed: the figure or the statement, as printed.
        exact: how the exact figure is found; None where none can be computed.
        value: the figure in `printed`, where that is not the first number in it.
        work: the calculation that the slide prints before the figure.
        formula: the right calculation with the numbers in it; gives what `exact` measures.
        right: in place of a plain yes or no, where `exact` tells whether a statement holds.
        beside: further measures that help to understand the figure.
        reason: why it differs, or what there is to notice.
        source: who printed it, or says it, if not the slide alone.
        cell: its place in the slide's table.
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
        claims: in order.
        caption: what they are about; may be empty.
        where: who printed their figures, as the heading over these.
    """

    claims: tuple[Claim, ...]
    caption: str = ""
    where: str = "on the slide"


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide that claims something."""

    number: int
    title: str
    tables: tuple[Table, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All its claims, in order."""
        return tuple(claim for table in self.tables for claim in table.claims)


def slide(number: int, title: str, *parts: Claim | Table) -> Slide:
    """A slide of tables, and of claims, which are one table without a caption where they follow one another."""
    tables: list[Table] = []
    for bare, run in groupby(parts, key=lambda part: isinstance(part, Claim)):
        if bare:
            tables.append(Table(tuple(part for part in run if isinstance(part, Claim))))
        else:
            tables.extend(part for part in run if isinstance(part, Table))
    return Slide(number, title, tuple(tables))
