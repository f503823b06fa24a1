"""pytorch-crf: the likelihood of tags, and (by its own method) no forward of products."""

from __future__ import annotations

import torch
from torch import nn

from library_cases.case import Case, Cases

PACKAGES = ("!pytorch-crf",)


def cases() -> Cases:
    from torchcrf import CRF

    emissions, tags = torch.rand(5, 2, 4), torch.randint(4, (5, 2))
    mask = torch.tensor([[1, 1], [1, 1], [1, 1], [1, 0], [1, 0]], dtype=torch.uint8)

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out, self.crf = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 4), CRF(4, batch_first=True)

        def forward(self, x, tags=None):
            scores = self.out(self.lstm(x)[0])
            return self.crf.decode(scores) if tags is None else -self.crf(scores, tags)

    yield "CRF", lambda: Case(CRF(4), (emissions.clone(), tags.clone()))
    yield "CRF masked", lambda: Case(CRF(4), (emissions.clone(), tags.clone(), mask.clone()))
    yield (
        "CRF batch first, mean",
        lambda: Case(CRF(4, batch_first=True), (emissions.clone(), torch.randint(4, (5, 2))), {"reduction": "mean"}),
    )
    yield "LSTM-CRF loss", lambda: Case(Tagger(), (torch.rand(2, 5, 8), torch.randint(4, (2, 5))))
    yield "LSTM-CRF decode", lambda: Case(Tagger(), (torch.rand(2, 5, 8),))
