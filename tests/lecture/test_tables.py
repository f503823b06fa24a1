from cnncost.lecture.claims import TOTAL, Cell, Claim, Formula, Published, Slide, Table
from cnncost.lecture.contents import numbered
from cnncost.lecture.findings import find
from cnncost.lecture.tables import grids, slips


def only(findings, *, full=True):
    (tables,) = grids(findings, full=full)
    return tables


def test_side_by_side_as_slide_55_has_it():
    _, table, _ = only(find(numbered([55])))
    assert table.headings[1::4] == ("fully connected", "convolutional")
    assert [row[0] for row in table.rows] == ["1", "2", "3", "4", ""]
    assert table.rows[1] == (
        "2", "FC-100", "100 * 300 = 30k", "30,000", "exact", "Conv-10", "16 * (5x5 +1) * 6 = 2496*", "2,416", "differs",
    )  # fmt: skip
    assert table.rows[2][1:5] == ("", "", "", "")
    assert table.rows[-1][1:] == ("total", "~260k", "266,200", "rounded", "total", "~82k", "82,082", "rounded")


def test_calculations_move_into_the_notes_if_space_is_short():
    _, table, _ = only(find(numbered([55])), full=False)
    assert table.headings[1::4] == ("FC", "conv")
    assert table.rows[1][6] == "2496*"
    (note,) = [note for note in table.notes if note.subject == "Conv-10"]
    assert note.text.startswith("on the slide 16 * (5x5 +1) * 6 = 2496*; 16·(5·5·6 + 1) = 2,416 (parameters of ")


def test_a_table_of_one_network_has_one_half():
    (table,) = only(find(numbered([41])))
    assert len(table.headings) == 5


def test_measures_shared_by_all_claims_have_columns():
    errors, *_ = only(find(numbered([56])))
    assert errors.headings == ("what", "on the slide", "exact", "verdict", "parameters", "MACs")
    assert [row[4:] for row in errors.rows] == [
        ("7,850", "7,840"),
        ("238,510", "238,200"),
        ("266,610", "266,200"),
        ("2,578", "91,520"),
        ("60,000", "325,680"),
    ]


def test_halves_stay_apart_when_claims_are_selected():
    findings = tuple(f for f in find(numbered([55])) if f.verdict == "differs" and f.claim.cell)
    (table,) = only(findings)
    assert table.rows == (("2", "Conv-10", "16 * (5x5 +1) * 6 = 2496*", "2,416", "differs"),)


def test_slips_are_listed_once_with_all_their_slides(findings):
    rows = {(row[1], row[2]): row for row in slips(findings).rows}
    assert rows["FC-100", "100 * (6 * (28x28)) = 400k"][0] == "45, 46"
    assert sum(f.verdict == "differs" for f in findings) >= len(rows)
    assert all(note.text for note in slips(findings).notes)


def test_agreeing_with_a_paper_proves_nothing():
    claims = (
        Claim("agrees", "3.6 %", Published("3.57 %", "the paper"), source="the paper"),
        Claim("contradicts", "6.7 %", Published("3.57 %", "the paper"), reason="another year's"),
    )
    first, second = find([Slide(1, "title", (Table(claims),))])
    assert (first.verdict, second.verdict) == ("stated", "differs")
    assert second.exact_text == "3.57 %"


def test_a_total_names_its_network():
    claims = tuple(Claim("total", "4", Formula("2·2"), cell=Cell(side, TOTAL)) for side in ("fc", "conv"))
    (table,) = only(find([Slide(1, "title", (Table(claims),))]))
    assert [note.subject for note in table.notes] == ["total, fully connected", "total, convolutional"]
