"""What a module returned stands in its row, whether or not it ran an op itself; shapes are derived by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import cnncost
from cnncost.render.csv import to_csv
from cnncost.render.markdown import to_markdown
from cnncost.report.document import document, to_text
from cnncost.report.model import Report
from cnncost.report.table import to_pandas


class Pair(nn.Module):
    """Returns two tensors, and runs no op itself."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 6, 1, stride=2)

    def forward(self, x: Any) -> Any:
        return {"left": self.left(x), "right": [self.right(x)]}


class Twice(nn.Module):
    """Calls a container at two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())

    def forward(self, x: Any) -> Any:
        return self.body(self.body(x))


class Owner(nn.Module):
    """Owns a parameter that it doesn't use: its first call has a row, its second has none."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.conv = nn.Parameter(torch.ones(3)), nn.Conv2d(3, 3, 3)

    def forward(self, x: Any) -> Any:
        return self.conv(x)


class Iterated(nn.Module):
    """A ModuleList is never called; an Identity passes its input on."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Conv2d(3, 8, 3), nn.Identity()])

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x


class OwnerTwice(Twice):
    def __init__(self) -> None:
        super().__init__()
        self.body = Owner()  # type: ignore[assignment]


class Nothing(nn.Module):
    """Returns what is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x: Any) -> Any:
        return len(self.conv(x).shape)


CASES: list[tuple[nn.Module, str, tuple[tuple[int, ...], ...]]] = [
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Flatten(), nn.ReLU())), "", ((2, 4 * 6 * 6),)),
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Flatten(), nn.ReLU())), "1", ((2, 4 * 6 * 6),)),
    (nn.Sequential(Pair()), "", ((2, 4, 6, 6), (2, 6, 4, 4))),
    (nn.Sequential(Pair()), "0", ((2, 4, 6, 6), (2, 6, 4, 4))),
    (Twice(), "body", ((2, 3, 4, 4),)),  # the last call's, as in a leaf's row
    (Twice(), "body.0", ((2, 3, 4, 4),)),
    (Twice(), "", ((2, 3, 4, 4),)),
    (OwnerTwice(), "body", ((2, 3, 4, 4),)),
    (Iterated(), "", ((2, 8, 6, 6),)),
    (Iterated(), "parts", ()),
    (nn.Conv2d(3, 5, 8), "", ((2, 5, 1, 1),)),
    (Nothing(), "", ()),
    (Nothing(), "conv", ((2, 3, 6, 6),)),
]


@pytest.mark.parametrize(("model", "path", "shapes"), CASES)
def test_a_modules_row_has_the_shapes_that_its_call_returned(
    model: nn.Module, path: str, shapes: tuple[tuple[int, ...], ...]
) -> None:
    report = cnncost.analyze(model, (2, 3, 8, 8))
    row = report.module(path)
    assert row.output_shapes == shapes
    assert row.output_shape == (shapes[0] if shapes else None)
    again = Report.from_json(report.to_json())
    assert again == report
    assert again.module(path).output_shapes == shapes
    frame = to_pandas(report, by="module")
    assert frame.set_index("path").output_shape[path] == "; ".join("x".join(map(str, shape)) for shape in shapes)
    assert report.totals.output_shapes == report.modules[0].output_shapes


def test_every_table_shows_them() -> None:
    report = cnncost.analyze(nn.Sequential(nn.Sequential(Pair())), (2, 3, 8, 8), name="pairs")
    text, page = to_text(report, depth=1, width=140), to_markdown(document(report, "module"))
    assert "0       Sequential  2×4×6×6 +1" in text
    assert "total               2×4×6×6 +1" in text
    assert "| `0` | Sequential | 2×4×6×6 +1 |" in page
    assert "| **total** |  | **2×4×6×6 +1** |" in page
    assert "0,Sequential,1,1,2x4x6x6; 2x6x4x4," in to_csv(document(report, "module"))
    assert '"container_shapes": {"0": [[2, 4, 6, 6], [2, 6, 4, 4]], "0.0": [[2, 4, 6, 6], [2, 6, 4, 4]]}' in (
        report.to_json()
    )


def test_a_report_of_an_older_version_has_none() -> None:
    report = cnncost.analyze(nn.Sequential(nn.Conv2d(3, 4, 3)), (2, 3, 8, 8))
    lines = [line for line in report.to_json().splitlines() if "container_shapes" not in line]
    old = "\n".join(lines).replace('"output_shapes": [[2, 4, 6, 6]], "training_macs"', '"training_macs"')
    assert '"output_shapes": [[2, 4, 6, 6]], "training_macs"' in "\n".join(lines)
    assert Report.from_json(old).modules[0].output_shapes == ()


def test_a_call_that_failed_returned_nothing() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Linear(5, 5)))
    with pytest.raises(cnncost.CnncostError) as caught:
        cnncost.analyze(model, (2, 3, 8, 8))
    partial = caught.value.partial
    assert partial is not None
    assert partial.module("0").output_shapes == ((2, 4, 6, 6),)
    assert partial.module("1").output_shapes == partial.module("").output_shapes == ()
