"""torch's own tables of ops and modules, each sample with an image-like input between two convolutions, and probed.

    python tests/conformance/torch_fields.py               all samples: what is wrong, and how many are not
    python tests/conformance/torch_fields.py --most 1      the first of each op
    python tests/conformance/torch_fields.py --op fold     those of one op

A network of a convolution, the op, and another convolution is analyzed, and what each unit of the op and of the last
convolution sees is held against poisoning. A box must hold all that a unit reads, and no more; where NaN does not pass
an op, or a value decides, more is said than the probe finds (`WIDER`). A sample of it is in
`tests/passes/receptive_field/test_op_tables.py`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).parents[2]))

import cnncost
from cnncost.passes.receptive_field import UNKNOWN, receptive_fields
from tests.conformance.torch_tables_cases import entries
from tests.oracles.nan_probe import Probe

CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
LARGEST = 2000
"""Elements of a sample."""

WIDER = {
    "fmax": "passes NaN by", "fmin": "passes NaN by", "nansum": "passes NaN by", "nanmean": "passes NaN by",
    "nan_to_num": "passes NaN by", "heaviside": "passes NaN by", "nanmedian": "passes NaN by",
    "nanquantile": "passes NaN by", "sign": "of NaN is a number", "sgn": "of NaN is a number",
    "kthvalue": "NaN is the largest value", "msort": "NaN is the largest value", "sort": "NaN is the largest value",
    "topk": "NaN is the largest value", "mode": "NaN is the largest value",
    "masked.argmax": "an index is no NaN", "masked.argmin": "an index is no NaN",
    "masked.median": "what is masked is not looked at",
    **{
        f"special.{name}": "of degree 0 is a constant, and degrees are in the data"
        for name in (
            "chebyshev_polynomial_u", "chebyshev_polynomial_w", "laguerre_polynomial_l", "legendre_polynomial_p",
            "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_w",
        )
    },
    "tril": "elements set to zero see nothing; a triangle counts as its whole matrix",
    "triu": "elements set to zero see nothing; a triangle counts as its whole matrix",
}  # fmt: skip
"""Ops of which more is said than the probe finds, and why."""
EVAL = {"batch_norm", "instance_norm", "native_batch_norm", "_native_batch_norm_legit", "_batch_norm_with_update"}
"""Ops that may take statistics of the data and keep running ones beside: said is what they are in eval mode."""


ENDS = {"linalg.eig", "linalg.eigvals", "linalg.eigh", "linalg.eigvalsh", "linalg.svd", "svd", "symeig"}
"""LAPACK ends the process where it is given NaN."""


class Sample(NamedTuple):
    """An op with one of torch's inputs for it."""

    table: str
    name: str
    number: int
    op: nn.Module
    image: torch.Tensor
    others: tuple[Any, ...]


def samples(table: str, most: int = 10**6, only: str = "") -> Iterator[Sample]:
    """The samples of a table ("float32", "modules") that take an image first; of each op at most so many."""
    for entry in entries(table):
        if only in entry.name:
            yield from islice(_of(table, entry), most)


def _of(table: str, entry: Any) -> Iterator[Sample]:
    torch.manual_seed(0)
    for number, case in enumerate(entry.cases()):
        try:
            op, given, keywords = case.make()
        except Exception:  # noqa: BLE001, S112  # torch's own, on this machine
            continue
        if given and not keywords and _image(given[0]):
            yield Sample(table, entry.name, number, op.eval(), given[0].detach(), tuple(given[1:]))


def _image(x: Any) -> bool:
    if not torch.is_tensor(x) or x.layout is not torch.strided or x.dim() not in CONVOLUTIONS:
        return False
    return x.dtype is torch.float32 and prod(x.shape[2:]) > 1 and 0 < x.numel() <= LARGEST


class Op(nn.Module):
    """An op of one map, the first real tensor that it returns."""

    def __init__(self, op: nn.Module, others: tuple[Any, ...]) -> None:
        super().__init__()
        self.op, self.others = op, others

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.op(x, *self.others)
        return next(t for t in tree_leaves(found) if torch.is_tensor(t) and (t.is_floating_point() or t.is_complex()))


class Between(nn.Module):
    """An op between two convolutions; its input is within (0, 1), where most ops are defined."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.before = _convolution(sample.image)
        self.op = Op(sample.op, sample.others)
        with torch.no_grad():
            made = self.op(torch.full_like(sample.image, 0.5))
        self.after = _convolution(made) if made.is_floating_point() and _image(made.float()) else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.op(self.before(x).sigmoid() * 0.8 + 0.1))


def _convolution(x: torch.Tensor) -> nn.Module:
    return CONVOLUTIONS[x.dim()](x.shape[1], x.shape[1], 3, padding=1, dtype=x.dtype)


def judged(sample: Sample) -> tuple[str, str]:
    """What comes of a sample, and where.

    right, small (less is said than is seen), wide (more is), unknown, refused; by definition: what the probe can't see
    is said, or what holds in eval mode; not probed: torch itself fails between convolutions, or on NaN.
    """
    if sample.name in ENDS:
        return "not probed", "LAPACK ends the process on NaN"
    torch.manual_seed(0)
    x = torch.rand(sample.image.shape)
    try:
        model = Between(sample).eval()
        with torch.no_grad():
            if model(x).isnan().any():
                return "not probed", "NaN without poison"
            model(torch.full_like(x, torch.nan))
    except Exception as error:  # noqa: BLE001  # another shape or value is none of this op's
        return "not probed", f"{type(error).__name__}: {str(error)[:100]}"
    try:
        fields = receptive_fields(cnncost.analyze(model, x).graph)
    except cnncost.CnncostError as error:  # with a remedy; the conformance tables hold these
        return "refused", str(error)[:100]
    for call in range(1, len(fields.graph.calls)):
        path = fields.graph.call_path(call)
        if path in {"op", "after"} and (outcome := _compared(fields, call, path, model, x)) is not None:
            known = sample.name in WIDER if outcome[0] == "wide" else sample.name.removeprefix("nn.functional.") in EVAL
            return ("by definition", outcome[1]) if known and outcome[0] != "unknown" else outcome
    return "right", ""


def _compared(fields: Any, call: int, path: str, model: nn.Module, x: torch.Tensor) -> tuple[str, str] | None:
    """What the analysis says of a call beside what poison shows.

    Attention is probed by its reference: the CPU's kernel gives zeros for queries that are NaN.
    """
    with sdpa_kernel(SDPBackend.MATH):
        return _beside(fields, call, path, Probe(model, path, [x]), x)


def _beside(fields: Any, call: int, path: str, probe: Probe, x: torch.Tensor) -> tuple[str, str] | None:
    field, units = fields.of(call), fields.units(call)
    wide = None
    for axis, number in enumerate(fields.images[0].axes):
        if field is not None and field.seen[axis] is UNKNOWN:
            return "unknown", ", ".join(field.notes)
        first, last = probe.hulls(number, tuple(units))
        told_first, told_last = _told(fields, call, units, axis) if field else (x.shape[number], -1)
        seen = last >= 0
        if ((first < told_first) & seen).any() or ((last > told_last) & seen).any():
            return "small", f"{path}, axis {number}: {(told_first, told_last)}, seen {(first, last)}"
        if not (torch.as_tensor(first == told_first).all() and torch.as_tensor(last == told_last).all()):
            wide = "wide", f"{path}, axis {number}: {(told_first, told_last)}, seen {(first, last)}"
    return wide


def _told(fields: Any, call: int, units: dict[int, int], axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    n, shape = fields.images[0].size[axis], tuple(units.values())
    firsts, lasts = torch.full(shape, n), torch.full(shape, -1)
    for unit in product(*map(range, shape)):
        box = fields.of(call, unit=unit).box[axis]
        if box is not None:
            firsts[unit], lasts[unit] = box
    return firsts, lasts


def main() -> None:
    """All samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--op", default="", help="part of a name")
    parser.add_argument("--most", type=int, default=10**6, help="so many samples of each op")
    options = parser.parse_args()
    logging.disable()
    counts: Counter[str] = Counter()
    for table in ("float32", "modules"):
        for sample in samples(table, options.most, options.op):
            try:
                outcome, where = judged(sample)
            except Exception as error:  # noqa: BLE001  # one more outcome
                outcome, where = "raises", f"{type(error).__name__}: {error}"
            counts[outcome] += 1
            if outcome != "right":
                print(f"{outcome}: {sample.name} {sample.number}: {where}"[:600].replace("\n", " "), flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
