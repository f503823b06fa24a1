"""Results of public functions, which print as the command's table, and as an HTML table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from cnncost.budget.check import Check
from cnncost.budget.compare import Compared
from cnncost.budget.diff import Diff
from cnncost.passes.effective import Effective
from cnncost.report.prediction import Prediction

if TYPE_CHECKING:
    from cnncost.budget.join import Joined
    from cnncost.render.document import Document

_WIDTH = 100
_ROWS = 15
"""Maximum number of layers in a prediction's table, as in the terminal."""


class Shown:
    """Mixin that displays a result's Document as text, as a page, and in a notebook."""

    __slots__ = ()

    def _document(self) -> Document:
        """Return the Document; defined by each subclass."""
        raise NotImplementedError

    def __str__(self) -> str:
        from cnncost.render.text import to_text

        return to_text(self._document(), _WIDTH)

    def to_html(self) -> str:
        """Return a self-contained HTML page."""
        from cnncost.render.html import to_html

        return to_html(self._page())

    def _page(self) -> Document:
        """Return the Document for an HTML page; subclasses with charts add the data that its JavaScript draws."""
        return self._document()

    def _repr_html_(self) -> str:
        from cnncost.render.frame import notebook

        return notebook(self._page())


class ShownPrediction(Shown, Prediction):
    """A Prediction that prints as its table."""

    def _document(self) -> Document:
        from cnncost.report.prediction_text import document

        return document(self, top=_ROWS)

    def to_trace(self) -> str:
        """Return ops and memory over the predicted time as a trace, for Perfetto or chrome://tracing."""
        return self._viewed("trace")

    def to_speedscope(self) -> str:
        """Return predicted seconds, FLOPs and bytes as flame graphs, for speedscope.app."""
        return self._viewed("speedscope")

    def _viewed(self, form: str) -> str:
        from cnncost.render.formats import viewed
        from cnncost.report.timeline import TIMELINES

        return viewed(TIMELINES[form](self), form)


class ShownDiff(Shown, Diff):
    """A Diff that prints as its table."""

    def _document(self) -> Document:
        from cnncost.budget.render.diff import document

        return document(self, (self.old.model, self.new.model))

    def _page(self) -> Document:
        from cnncost.budget.render.diff_page import page

        return page(self, (self.old.model, self.new.model))


class ShownComparison(Shown, tuple[Compared, ...]):  # noqa: SLOT001  # a tuple subclass can't have nonempty slots
    """A tuple with a Compared for each model. It prints as a table; its page has charts."""

    joined: Joined | None
    """Columns joined from a CSV file; None if there are none."""

    def __new__(cls, rows: Iterable[Compared], joined: Joined | None = None) -> Self:
        """Create the tuple, and set `joined`."""
        comparison = super().__new__(cls, rows)
        comparison.joined = joined
        return comparison

    def _document(self) -> Document:
        from cnncost.budget.render.compare import document

        return document(self, self.joined)

    def _page(self) -> Document:
        from cnncost.budget.render.compare_page import page

        return page(self, self.joined)


class ShownCheck(Shown, Check):
    """A Check that prints as its table."""

    __slots__ = ()

    def _document(self) -> Document:
        from cnncost.budget.render.check import document

        return document(self)


class ShownEffective(Shown, Effective):
    """An Effective that prints as its table."""

    __slots__ = ()

    def _document(self) -> Document:
        from cnncost.report.effective_table import document

        return document(self)

    def to_json(self) -> str:
        """Return counts, energies in pJ, and the rows as JSON, in the schema that all commands share (docs/json.md)."""
        from cnncost.render.json import to_json

        return to_json(self._document())
