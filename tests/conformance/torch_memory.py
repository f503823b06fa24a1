"""The peak memory of every op and module that torch itself tests, with torch's own samples, beside the allocator's.

    python tests/conformance/torch_memory.py                    all tables, some minutes
    python tests/conformance/torch_memory.py --table training   one of them
    python tests/conformance/torch_memory.py --only linalg      ops whose name has this in it

Prints the samples whose peak is neither the allocator's nor marked, and a line for each table. Samples are tiny: a
difference below 128 bytes is none. A copy that a kernel makes of a conjugate may count as a tensor or as a workspace.
Exit code 1 if a peak is wrong by more than 1 %.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "conformance")]

import torch  # noqa: E402  # found by the line above
from torch import nn  # noqa: E402
from torch_tables_cases import Case, _in_time, _inputs, _total, entries  # noqa: E402

import cnncost  # noqa: E402
from tests.oracles.allocations import peaks  # noqa: E402

TABLES = ("float32", "bfloat16", "in place", "training", "complex64", "modules", "modules, training")
MOST = 4
"""Samples an op."""
_NEAR, _STEP = 128, 0.01
EXPLAINED = {
    "fft.": "copies of conjugates, which the oracle takes for workspaces, beside true workspaces",
    "_unsafe_masked_index": "an op of compiled code alone; the mask's negation is not counted",
    "isinf": "masks of the real and the imaginary part",
    "istft": "of complex numbers: a frame that the kernel doesn't hold",
}
"""Differences that are known, by the start of an op's name."""


def held(model: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> int:
    """Bytes of a model's tensors and its inputs, each memory once."""
    inputs = [t for t in torch.utils._pytree.tree_leaves((given, named)) if torch.is_tensor(t)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
                for t in (*model.parameters(), *model.buffers(), *inputs)}  # fmt: skip
    return sum(storages.values())


def measured(case: Case) -> tuple[int, int]:
    """Peak bytes of a real run: without workspaces, and with them."""
    model, args, kwargs = case.make()
    before = held(model, args, kwargs)

    def clear() -> None:
        for t in (*model.parameters(), *torch.utils._pytree.tree_leaves((args, kwargs))):
            if torch.is_tensor(t):
                t.grad = None

    def run(_: None) -> Any:
        with torch.set_grad_enabled(bool(case.how.get("training"))):
            result = model(*args, **kwargs)
        if not case.how.get("training"):
            return result
        loss = _total(result)
        loss.backward()
        return result, loss

    found = peaks(run, clear)
    return before + found.tensors, before + found.everything


def predicted(case: Case) -> tuple[int, bool]:
    """The predicted peak, and whether the report marks it as a lower bound or as not exact."""
    model, args, kwargs = case.make()
    report = cnncost.analyze(model, _inputs(model, args, kwargs), **case.how)
    memory = report.memory
    peak = memory.training_peak if case.how.get("training") else memory.inference_peak
    assert peak is not None
    return peak, bool(memory.figures.unseen) or any("peak" in note for note in report.notes)


def compared(table: str, only: str) -> Iterator[tuple[str, str]]:
    """Each sample's outcome: right, marked, explained, wrong, or refused; with a line that says what is wrong."""
    for entry in entries(table):
        if only not in entry.name:
            continue
        torch.manual_seed(0)
        try:
            cases = list(islice(entry.cases(), MOST))
        except Exception:  # noqa: BLE001, S112  # torch's own samples, on this machine
            continue
        for i, case in enumerate(cases):
            try:
                with _in_time():
                    tensors, everything = measured(case)
            except (Exception, SystemExit):  # noqa: BLE001, S112  # torch itself has no answer to compare with
                continue
            try:
                with _in_time():
                    peak, marked = predicted(case)
            except (cnncost.CnncostError, TimeoutError) as error:
                yield "refused", f"{entry.name} {i}: {str(error)[:120]}"
                continue
            near = min(abs(peak - tensors), abs(peak - everything)) <= max(_NEAR, _STEP * tensors)
            known = entry.name.startswith(tuple(EXPLAINED))
            outcome = "right" if near else "marked" if marked else "explained" if known else "wrong"
            yield outcome, f"{entry.name} {i}: {peak:,} B, really {tensors:,} to {everything:,} B"


def _leave_generators_alone() -> None:
    """Torch's samples of random ops save the generator's state around each call, which is 5 KB."""
    from torch.testing._internal import common_methods_invocations

    common_methods_invocations.wrapper_set_seed = lambda op, *args, **kwargs: op(*args, **kwargs)


def main() -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="append", choices=TABLES, help="this table alone (may be repeated)")
    parser.add_argument("--only", default="", help="ops with this in their name")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    _leave_generators_alone()
    wrong = 0
    for table in options.table or TABLES:
        counts: Counter[str] = Counter()
        for outcome, text in compared(table, options.only):
            counts[outcome] += 1
            if outcome == "wrong":
                print(f"{table}: {text}", flush=True)
        print(f"{table:20}", "  ".join(f"{name} {n}" for name, n in sorted(counts.items())), flush=True)
        wrong += counts["wrong"]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
