"""What the rows of other people's models come to, and the page that says it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

KINDS = ("equal", "explained", "refused", "unexplained", "changed", "died", "not run")
WAYS = ("first", "again", "real")
_HEAD = """# Models of other people's libraries

Each model is small, with random weights, and was neither read nor changed by who wrote this program. It is analyzed,
run for real under a counter of products of its own (`tests/oracles/products.py`, which imports nothing of cnncost), and
analyzed twice more: again, and with `trace="real"`. Before and after each analysis all that can be reached from the
model, from its inputs, and from its packages' classes and globals is looked at (`tests/oracles/snapshot.py`).

- **equal**: parameters and MACs of all three analyses are those of the real run, and nothing was changed;
- **explained**: another count, for the reason given below; **unexplained**: without one;
- **refused**: one of the three raised an error; **died**: the process ended, or took too long;
- **changed**: something that was given is not as it was;
- **not run**: the model itself can't be built or run here, which says nothing about cnncost; in no sum.

"static" is how many of the first analyses ran on tensors without data, as is the rule; the others ran on values.
"torch" is for how many models torch's own counter finds the same MACs.

"""


def verdict(row: dict[str, Any]) -> tuple[str, str]:
    """Which of KINDS a model is, and why: the worst that is true of any of its analyses."""
    if "died" in row:
        return "died", row["died"]
    if "not_run" in row and row["changed"]:  # it may run no more because of that
        return "changed", f"{row['changes']}: " + "; ".join(row["changed"][:6]) + f"; and then: {row['not_run']}"
    if "not_built" in row or "not_run" in row:
        return "not run", row.get("not_built") or row["not_run"]
    analyses = dict(zip(WAYS, (row, row["again"], row["by_real"]), strict=True))
    if changed := [f"{way}: {change}" for way, one in analyses.items() for change in one["changed"]]:
        return "changed", f"{sum(one['changes'] for one in analyses.values())}: " + "; ".join(changed[:6])
    wrong = {way: told for way, one in analyses.items() if "macs" in one and (told := difference(row, one))}
    if wrong and not all(reason(row, analyses[way]) for way in wrong):
        way = next(way for way in wrong if not reason(row, analyses[way]))
        return "unexplained", f"{way}: {wrong[way]}"
    if missing := {way: one["refusals"] for way, one in analyses.items() if "macs" not in one}:
        way, refusals = next(iter(missing.items()))
        return "refused", f"{way}: " + " | ".join(f"{trace}: {why}" for trace, why in refusals.items())
    if wrong:
        way, told = next(iter(wrong.items()))
        return "explained", f"{reason(row, analyses[way])}; {told}"
    return "equal", ""


def difference(row: dict[str, Any], one: dict[str, Any]) -> str:
    """What differs from the real run; nothing if nothing does."""
    found = []
    if one["params"] != row["real_params"]:
        found.append(f"{one['params']} parameters for {row['real_params']}")
    if one["macs"] != row["real_macs"]:
        ours, real = (_written(kinds) for kinds in (one["by_kind"], row["real_by_op"]))
        found.append(f"{one['macs']:,} MACs ({ours}) for {row['real_macs']:,} ({real}), torch {row['torch_macs']}")
    return ", ".join(found)


def _written(kinds: dict[str, int]) -> str:
    return ", ".join(f"{name.removeprefix('aten::')} {macs:,}" for name, macs in kinds.items()) or "none"


def reason(row: dict[str, Any], one: dict[str, Any]) -> str:
    """Why an analysis may find another count; empty if nothing says so."""
    if one["params"] != row["real_params"]:
        return ""
    if one["unknown"] and one["macs"] <= row["real_macs"]:
        return f"a lower bound, as the report says, for want of a rule for {' '.join(one['unknown'])}"
    return row.get("why", "")


def page(rows: list[dict[str, Any]], versions: dict[str, str], done: str) -> str:
    """The report. `versions`: of each library's own package, and torch's."""
    by_library: dict[str, list[tuple[dict[str, Any], str, str]]] = defaultdict(list)
    for row in rows:
        by_library[row["library"]].append((row, *verdict(row)))
    columns = ("library", "models", *KINDS[:-1], "not run", "static", "torch")
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    total: Counter[str] = Counter()
    for name, of_it in sorted(by_library.items()):
        tally = _tally(of_it)
        total += tally
        lines.append(_line(f"{name} {versions.get(name, '')}".strip(), tally))
    lines.append(_line("**all**", total))
    parts = [_HEAD + "\n".join(lines)]
    parts += [_said(kind, by_library) for kind in ("changed", "unexplained", "died", "refused", "explained", "not run")]
    parts.append(done)
    return "\n\n".join(part for part in parts if part) + "\n"


def _tally(of_it: list[tuple[dict[str, Any], str, str]]) -> Counter[str]:
    tally = Counter(kind for _, kind, _ in of_it)
    run = [row for row, kind, _ in of_it if kind != "not run"]
    tally["models"] = len(run)
    tally["static"] = sum(row.get("trace") == "static" for row in run)
    tally["torch"] = sum(row.get("torch_macs") == row.get("real_macs", -1) for row in run)
    return tally


def _line(name: str, tally: Counter[str]) -> str:
    return "| " + " | ".join([name, *(str(tally[kind] or "") for kind in ("models", *KINDS, "static", "torch"))]) + " |"


def _said(kind: str, by_library: dict[str, list[tuple[dict[str, Any], str, str]]]) -> str:
    """The models of a kind, each with why."""
    found = [
        f"- {name}, {row['model']}: {_plain(why)}".replace(", : ", ": ")
        for name, of_it in sorted(by_library.items()) for row, this, why in of_it if this == kind
    ]  # fmt: skip
    return "\n".join([f"## {kind.capitalize()}", "", *found]) if found else ""


def _plain(why: str) -> str:
    """Without addresses and paths of this machine, and not longer than a paragraph."""
    why = re.sub(r"0x[0-9a-f]+|\b\d{13,}\b", "…", why)
    why = re.sub(r"(?<![\w.])/(?:[\w.@+-]+/)+", "", why)
    return why if len(why) <= 300 else why[:299] + "…"


def versions_of(venv: Path, packages: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Of the first package of each library, as installed."""
    site = next((venv / "lib").glob("python*/site-packages"))
    installed = {}
    for folder in site.glob("*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        installed[name.lower().replace("-", "_")] = version
    found = {}
    for library, wanted in packages.items():
        first = re.split(r"[=<>]", wanted[0].lstrip("!"))[0].lower().replace("-", "_") if wanted else ""
        if len(wanted) and library not in {"assorted", "forecasting", "spiking"}:
            found[library] = installed.get(first, "")
    return found
