"""A check for machines: JSON, JUnit XML, annotations of GitHub, and the data of github-action-benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import inf
from typing import Any
from xml.etree import ElementTree as ET

from cnncost.budget.check import Check, Judged, ModelCheck, Outcome
from cnncost.budget.diff import FIGURES, Diff
from cnncost.budget.quantities import Value
from cnncost.budget.render import words

SCHEMA = 1


def to_json(check: Check) -> str:
    """Everything, exact numbers. `outcome` is within, over or uncertain; `exit_code` that of the command."""
    data = {
        "schema": SCHEMA,
        "file": str(check.file.path),
        "baseline": str(check.baseline) if check.baseline else None,
        "exit_code": check.exit_code,
        "models": [_model(model) for model in check.models],
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def _model(model: ModelCheck) -> dict[str, Any]:
    data: dict[str, Any] = {"name": model.budget.name, "model": model.budget.model}
    if model.error:
        return data | {"error": model.error, "line": model.line}
    data["inputs"] = model.snapshot.inputs if model.snapshot else None
    data["limits"] = [_limit(judged) for judged in model.judged]
    data["unknown"] = dict(model.unknown)
    data["since_baseline"] = _since(model.diff) if model.diff is not None else None
    return data


def _limit(judged: Judged) -> dict[str, Any]:
    return {
        "quantity": judged.rule.quantity.name,
        "modules": judged.rule.glob,
        "path": judged.path,
        "outcome": judged.outcome.value,
        "passes": judged.passes,
        "used": number(judged.used),
        "comparison": judged.rule.limit.comparison,
        "bound": number(judged.bound),
        "limit": judged.rule.limit.text,
        "baseline": None if judged.baseline is None else number(judged.baseline),
        "headroom": None if judged.headroom is None else float(judged.headroom),
    }


def _since(diff: Diff) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in FIGURES:
        where = diff.attribution(name)
        found[name] = {"old": diff.old.totals[name], "new": diff.new.totals[name], "delta": diff.delta(name)}
        if where is not None:
            found[name] |= {"path": where.path, "part": where.part, "reasons": list(where.reasons)}
    return found


def number(value: Value) -> Any:
    """An int where it is one; a field that is the whole input is `global`."""
    if value == inf:
        return "global"
    return int(value) if value == int(value) else float(value)


def to_junit(check: Check) -> str:
    """A test case a limit: over is a failure, uncertain a failure unless allowed, a broken model an error."""
    suites = ET.Element("testsuites", name="cnncost")
    for model in check.models:
        cases = max(1, len(model.judged))
        failures = sum(not judged.passes for judged in model.judged)
        suite = ET.SubElement(
            suites, "testsuite", name=_xml(model.budget.name), tests=str(cases), failures=str(failures),
            errors=str(int(bool(model.error))), skipped="0", time="0",
        )  # fmt: skip
        if model.error:
            case = _case(suite, check, model, "model", model.line)
            ET.SubElement(case, "error", message=_xml(model.error), type="broken model").text = _xml(model.error)
        for judged in model.judged:
            case = _case(suite, check, model, words.on(judged), judged.line)
            if not judged.passes:
                told = words.complaint(model, judged)
                details = "\n".join([told, *(words.moves(model.diff) if model.diff else ())])
                ET.SubElement(case, "failure", message=_xml(told), type=judged.outcome.value).text = _xml(details)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, check: Check, model: ModelCheck, name: str, line: int | None) -> ET.Element:
    of = _xml(f"cnncost.{model.budget.name}")
    case = ET.SubElement(suite, "testcase", classname=of, name=_xml(name), file=str(check.file.path), time="0")
    if line:
        case.set("line", str(line))
    return case


def _xml(text: str) -> str:
    """Without the characters that XML has no way to write."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def to_annotations(check: Check) -> str:
    """Workflow commands: an annotation on the line of each limit that does not pass, a notice for what moved."""
    return "".join(f"{line}\n" for line in _annotations(check))


def _annotations(check: Check) -> Iterator[str]:
    file = str(check.file.path)
    for model in check.models:
        if model.error:
            yield _command("error", file, model.line, f"{model.budget.name}: broken", model.error)
        told = list(words.moves(model.diff)) if model.diff else []
        for judged in model.judged:
            if judged.outcome is Outcome.WITHIN:
                continue
            level = "warning" if judged.passes else "error"
            message = "\n".join([words.complaint(model, judged), *told])
            title = f"{model.budget.name}: {words.on(judged)} {judged.outcome}"
            yield _command(level, file, judged.line, title, message)
        if told and all(judged.passes for judged in model.judged):
            yield _command("notice", file, None, f"{model.budget.name} since the baseline", "\n".join(told))


def _command(level: str, file: str, line: int | None, title: str, message: str) -> str:
    properties = [f"file={_property(file)}", *([f"line={line}"] if line else []), f"title={_property(title)}"]
    return f"::{level} {','.join(properties)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def to_benchmark(check: Check) -> str:
    """The data of github-action-benchmark, tool `customSmallerIsBetter`: a series a model and figure."""
    series = [
        {"name": f"{model.budget.name} {words.NAMES[name]}", "unit": words.NAMES[name],
         "value": model.snapshot.totals[name], "extra": f"input {model.snapshot.inputs}"}
        for model in check.models
        if model.snapshot is not None
        for name in FIGURES
    ]  # fmt: skip
    return json.dumps(series, ensure_ascii=False, indent=2) + "\n"
