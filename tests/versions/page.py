"""What was found on each version of torch, as a page."""

from __future__ import annotations

from typing import Any

Entries = list[dict[str, Any]]

COLUMNS = {
    "params": "parameters", "macs": "MACs", "flops": "FLOPs", "inference_peak": "inference peak, bytes",
    "training_peak": "training peak, bytes",
}  # fmt: skip
_WITHOUT_BATCH = (
    "from 2.14 on `scaled_dot_product_attention` takes its kernel also for three axes and for one head of keys and "
    "values, where it ran the reference, whose scores are a tensor (pytorch #192271, #191085)"
)
_WORKSPACE = (
    "up to 2.10 oneDNN (3.7.1) sets two more parts of the workspace aside, for hidden states, and leaves them empty "
    "(`set_offsets` in its src/cpu/rnn/rnn_utils.cpp)"
)
EXPLAINED = {
    ("LSTM of two layers", "training_peak"): _WORKSPACE,
    ("attention without a batch", "inference_peak"): _WITHOUT_BATCH,
    ("attention without a batch", "training_peak"): _WITHOUT_BATCH,
}  # fmt: skip
"""By network and figure: why it differs between versions of torch."""

INTRODUCTION = """\
Regenerate with `tests/versions/run`, which makes an environment for each version, runs the tests in it and analyzes ten
networks (`tests/versions/figures.py`). A version is its newest patch. What tests expect of one version and not of
another is in `tests/versions/facts.py`, with the change in torch that caused it."""


def page(entries: Entries, versions: tuple[str, ...], now: str) -> str:
    """The whole of it.

    Args:
        entries: what is kept of each version that was run.
        versions: all of the matrix; one without an entry is listed as not run.
        now: the code's digest; what was found on other code is marked.
    """
    lines = ["# Versions of torch", "", INTRODUCTION, "", *_tests(entries, versions, now)]
    lines += ["", "## Ten networks", "", *_figures(entries)]
    return "\n".join(lines) + "\n"


def _tests(entries: Entries, versions: tuple[str, ...], now: str) -> list[str]:
    known = {entry["version"]: entry for entry in entries}
    lines = ["| torch | Python | tests passed | skipped | failed | of the suite |", "|---|---|---:|---:|---:|---|"]
    failures = []
    for version in versions:
        if (entry := known.get(version)) is None:
            lines.append(f"| {version} | – | – | – | – | not run |")
            continue
        told = entry["tests"].values()
        failed = [name for part in told for name in part["failed"]]
        failures += [f"- {version}: `{name}`" for name in failed]
        sums = [sum(part[key] for part in told) for key in ("passed", "skipped")]
        numbers = " | ".join(f"{n:,}" for n in (*sums, len(failed)))
        lines.append(f"| {entry['torch']} | {entry['python']} | {numbers} | {_share(entry, now)} |")
    return lines + (["", "Failed:", "", *failures] if failures else [])


def _share(entry: dict[str, Any], now: str) -> str:
    """How much of the suite was run, and on which code."""
    ran, whole = entry["tests"], entry["whole"]
    lacking = [part for part in whole if part not in ran]
    if not ran:
        share = "none of it: the networks' figures alone"
    elif not lacking:
        share = "all"
    elif len(lacking) < len(whole) / 2 and all(part in whole for part in ran):
        share = f"without {', '.join(lacking)}"
    else:
        share = f"only {', '.join(sorted(ran))}"
    old = [part for part in ran.values() if part["code"] != now] or entry["code"] != now
    return f"{share}; on an earlier state of the code" if old else share


def _figures(entries: Entries) -> list[str]:
    if not entries:
        return ["Not run."]
    networks = list(entries[0]["figures"])
    lines = [f"| network | {' | '.join(COLUMNS.values())} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for name in networks:
        cells = [_cell(entries, name, figure) for figure in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    equal = ", ".join(dict.fromkeys(entry["version"].partition("-")[0] for entry in entries))
    lines += ["", f"A single number is that of all of {equal}."]
    reasons: dict[str, None] = {}
    for name, figure in differing(entries):
        reasons[f"- {name}: {EXPLAINED.get((name, figure), f'**{COLUMNS[figure]}: not explained**')}."] = None
    return lines + (["", *reasons] if reasons else [])


def _cell(entries: Entries, name: str, figure: str) -> str:
    """The number; or each, with the first version that has it."""
    cells: list[str] = []
    last = None
    for entry in entries:
        value = entry["figures"][name][figure]
        if value != last:
            cells.append(f"{value:,}" if last is None else f"from {entry['version']} on {value:,}")
        last = value
    return "; ".join(cells)


def differing(entries: Entries) -> list[tuple[str, str]]:
    """Networks and figures that are not the same on all versions."""
    return [
        (name, figure)
        for name in (entries[0]["figures"] if entries else ())
        for figure in COLUMNS
        if len({entry["figures"][name][figure] for entry in entries}) > 1
    ]


def unexplained(entries: Entries) -> list[tuple[str, str]]:
    """Those that differ for no known reason."""
    return [found for found in differing(entries) if found not in EXPLAINED]
