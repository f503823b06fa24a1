"""The public Report: the data, plus queries and output formats.

The modules that query and format a report depend on ReportData alone, not on this class. Most are imported on first
use, because they are heavy or rarely needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnncost.garbage import gc_disabled
from cnncost.report.brief import counts
from cnncost.report.data import ReportData

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from cnncost.passes.receptive_field import ReceptiveField


_INPUTS = 3
"""Number of inputs shown by the repr."""


class Report(ReportData):
    """Results of an analysis.

    Attributes are documented in `ReportData`.
    """

    def receptive_field(
        self, path: str, unit: Sequence[int] | None = None, *, image: int | None = None
    ) -> ReceptiveField:
        """The receptive field of a layer's units: size, jump and start along each spatial axis.

        Args:
            path: a module path; `path#2` is its second call.
            unit: index of a unit along the layer's own spatial axes; the result's `box` is its region of the input.
            image: index of the input; by default the first one that the layer depends on.

        Raises:
            CnncostError: no such module, unit or image, the module was never called, or the report was read
                from a file and has no graph.
        """
        from cnncost.report.fields import receptive_field

        return receptive_field(self, path, unit, image)

    def with_receptive_fields(self) -> Report:
        """A copy with the columns receptive_field, jump and start in all tables.

        Raises:
            CnncostError: the report was read from a file and has no graph, or a user's reach rule failed.
        """
        from cnncost.report.fields import with_receptive_fields

        return with_receptive_fields(self)

    def with_memory(self) -> Report:
        """A copy with the columns allocated and saved in all tables, from the training step if there is one.

        Raises:
            CnncostError: the report was read from a file and has no graph, or forward failed.
        """
        from cnncost.report.further import with_memory

        return with_memory(self)

    def with_masks(self, tile: int | tuple[int, int] | None = None) -> Report:
        """A copy with the column macs_unmasked: MACs if attention skips masked pairs.

        Covers `is_causal`, masks with known values, and FlexAttention's `mask_mod`; `macs` remains the dense count.
        If a mask is unknown, or hand-written attention adds to its scores or replaces them, the number is an upper
        bound, marked ≤ (`mask_unknown`).

        Args:
            tile: (queries, keys) of a block, such as (128, 128), or one int for both; a block with any visible pair
                is computed in full. None: count visible pairs only.

        Raises:
            CnncostError: the report was read from a file and has no graph, or the tile is invalid.
        """
        from cnncost.report.further import with_masks

        return with_masks(self, tile)

    def with_columns(self, *names: str) -> Report:
        """A copy with further columns in all tables of layers and modules.

        Args:
            names: `kernel` and `stride` of a row's own convolutions and pools, `input` for the shapes of the tensors
                passed to a call, `trainable` for trainable and frozen parameters, which are otherwise shown only if
                some are frozen.

        Raises:
            CnncostError: no such column, or it needs a graph and the report was read from a file.
        """
        from cnncost.report.further import with_columns

        return with_columns(self, names)

    def explain(self, path: str) -> str:
        """The formulas of a module's ops with their numbers, as text.

        Raises:
            CnncostError: no such module, or the report was read from a file and has no graph.
        """
        from cnncost.report.explain import explain

        return explain(self, path)

    def to_pandas(self, *, sort: str | None = None, top: int | None = None) -> pd.DataFrame:
        """The layers as a DataFrame, one row each, columns as in CSV. `sort` and `top` as in `to_markdown`."""
        from cnncost.report.ranking import ranking
        from cnncost.report.table import to_pandas

        return to_pandas(self, requested=ranking(sort, top))

    def to_markdown(self, *, sort: str | None = None, top: int | None = None) -> str:
        """The layers as a markdown table under a heading with inputs and units.

        Args:
            sort: the column to sort by, largest first, such as `"params"`. By default, rows are sorted by MACs (by
                FLOPs if there are no MACs) if `top` is given, and are otherwise in the model's order.
            top: number of layers shown; the others are summed in one row.

        Raises:
            CnncostError: no such column, or it can't be sorted by.
        """
        return self._rendered("markdown", sort, top)

    def to_csv(self, *, sort: str | None = None, top: int | None = None) -> str:
        """The layers as CSV, exact numbers. `sort` and `top` as in `to_markdown`."""
        return self._rendered("csv", sort, top)

    def to_json(self) -> str:
        """Everything as JSON, exact numbers, with a schema version."""
        from cnncost.report.json_format import to_json

        return to_json(self)

    def to_speedscope(self) -> str:
        """MACs, FLOPs, bytes and parameters as flame graphs of modules and ops, for speedscope.app."""
        from cnncost.render.speedscope import to_speedscope
        from cnncost.report.timeline import of_report

        return to_speedscope(of_report(self))

    def to_html(self, *, sort: str | None = None, top: int | None = None) -> str:
        """A self-contained HTML page; with `sort` or `top` (see `to_markdown`) it lists layers, not the module tree."""
        return self._rendered("html", sort, top)

    @gc_disabled()
    def _rendered(self, form: str, sort: str | None = None, top: int | None = None) -> str:
        from cnncost.render.document import Document
        from cnncost.render.formats import FORMATS, rendered
        from cnncost.report.document import data, document
        from cnncost.report.ranking import ranking

        requested = ranking(sort, top)
        if form == "csv":  # building the table for people as well would more than double the time
            return rendered(Document("summarize", parts=(data(self, requested=requested),)), form)
        if FORMATS[form].whole and requested is None:
            from cnncost.report.interactive import interactive_page

            return rendered(interactive_page(self), form)
        return rendered(document(self, requested=requested), form)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read a report written by `to_json`; it has no graph, so it can't explain a layer's formula.

        Raises:
            CnncostError: the text is not JSON, or not a report in a schema that can be read; a field is missing or
                has the wrong type; or fields contradict each other, such as rows that do not add up to the totals.
        """
        from cnncost.report.json_format import from_json

        return from_json(text, cls)

    def save(self, path: str | Path) -> None:
        """Write the report atomically; as with `-o`, the suffix selects the format: .md, .html, .tex, … .

        Raises:
            OutputError: the suffix is unknown, or the path can't be written.
        """
        from cnncost.files import write
        from cnncost.render.formats import FORMATS

        own_methods: dict[str, Callable[[], str]] = {"json": self.to_json, "text": self.__str__}
        form = FORMATS.of_file(path)
        write(path, own_methods[form]() if form in own_methods else self._rendered(form))

    def __str__(self) -> str:
        from cnncost.report.document import to_text

        return to_text(self)

    def __repr__(self) -> str:
        """One line with the model, its inputs and its costs; `str(report)` is the table."""
        from cnncost.render.layout import printable
        from cnncost.report.heading import title

        tensors = [f"{'x'.join(map(str, shape)) or 'scalar'} {dtype}" for shape, dtype in self.inputs]
        if self.input_names:
            tensors = [f"{name} {text}" for name, text in zip(self.input_names, tensors, strict=True)]
        more = f" and {len(tensors) - _INPUTS} more" if len(tensors) > _INPUTS else ""
        inputs = f" on {', '.join(tensors[:_INPUTS])}{more}" if tensors else ""
        return f"<Report of {printable(title(self))}{inputs}: {counts(self.totals)}>"

    def _repr_html_(self) -> str:
        from cnncost.render.frame import notebook
        from cnncost.report.interactive import notebook_page

        return notebook(notebook_page(self))
