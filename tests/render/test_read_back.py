"""Names, notes and titles are read back from every format as they were, whatever they begin with and consist of."""

import pytest

from cnncost.render.document import Cell, Column, Document, Heading, Note, Notes, Row, Table
from cnncost.render.formats import FORMATS, rendered
from cnncost.render.layout import printable
from tests.render.read_back import READERS
from tests.render.test_renderers import ODD

DATA = {form.name for form in FORMATS} - {form.name for form in FORMATS if form.tree}


def document(text):
    """A document that has a text wherever a user's text may stand."""
    columns = (Column("plain", text), Column("code", "b", "code"), Column("name", "c", "name"),
               Column("macs", "d", "count"))  # fmt: skip
    rows = (
        Row((text, text, text, 1)),
        Row((Cell(text, style="front"), Cell(text, style="front"), text, Cell(2, tail=f" {text}"))),
        Row((text, text, text, 3), style="biggest"),
        Row((text, text, text, 4)),
        Row((text, text, text, 5), "total"),
    )
    parts = (
        Heading(text),
        Table(columns, rows, "layers", caption=text),
        Notes((Note(text), Note("see ", code=text), Note(text, style="warning"), Note(text + " so", strong=len(text)))),
        Notes((Note(text),), listed=False),
        Notes((Note(text),), intro=Note(text, style="warning")),
        Notes((Note(text, style="warning"),), listed=False),
    )
    return Document("test", text, text, parts=parts)


def words(text):
    return " ".join(text.split())


def read(text, form):
    return [(place, words(found)) for place, found in READERS[form](rendered(document(text), form))]


@pytest.mark.parametrize("form", FORMATS.names)
def test_every_format_has_a_reader(form):
    assert form in READERS, f"{form}: tests/render/read_back.py has no function that reads its texts back; add one"


@pytest.mark.parametrize("form", sorted(DATA))
@pytest.mark.parametrize("text", ODD)
def test_data_has_names_as_they_are(text, form):
    found = [cell for _, cell in READERS[form](rendered(document(text), form))]
    rows = [cell for number in "1234" for cell in (text, text, text, number)]
    assert found == ["plain", "code", "name", "macs", *rows]


@pytest.mark.parametrize("form", [name for name in FORMATS.names if name not in DATA])
@pytest.mark.parametrize("text", ODD)
def test_people_read_names_notes_and_titles_as_they_are(text, form):
    """Control characters are escaped; a sentence may get its full stop."""
    shown = words(printable(text))
    found = read(text, form)
    cells = [cell for place, cell in found if place == "cell"]
    four = [shown, shown, shown]
    assert cells == [shown, "b", "c", "d", *four, "1", *four, words(f"2 {shown}"), *four, "3", *four, "4", *four, "5"]
    texts = [each.removesuffix(".") for place, each in found if place != "cell"]
    title = [f"{shown}, {shown}", shown] if form == "text" else [shown] * 3  # title, subtitle, heading
    notes = [shown, f"see {shown}", shown, f"{shown} so", shown, shown, shown, shown]
    expected = [*title, shown, *notes]  # a caption above the table
    assert texts == [each.removesuffix(".") for each in expected]
