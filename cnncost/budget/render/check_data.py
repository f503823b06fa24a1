"""A check in the formats of other programs: JUnit XML, GitHub annotations, data for github-action-benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from cnncost.budget.check import Check, ModelCheck, Outcome
from cnncost.budget.diff import FIGURES
from cnncost.budget.render import words
from cnncost.budget.snapshot import Snapshot


def to_junit(check: Check) -> str:
    """Return JUnit XML with a test case for each limit.

    A violated limit is a failure, and so is an uncertain one unless it is allowed; a broken model is an error.
    """
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
            case = _case(suite, check, model, words.limited(judged), judged.line)
            if not judged.passes:
                complaint = words.complaint(model, judged)
                against = [f"against {model.against}"] if model.against else []
                details = "\n".join([complaint, *(words.figure_changes(model.diff) if model.diff else ()), *against])
                ET.SubElement(case, "failure", message=_xml(complaint), type=judged.outcome.value).text = _xml(details)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, check: Check, model: ModelCheck, name: str, line: int | None) -> ET.Element:
    class_name = _xml(f"cnncost.{model.budget.name}")
    case = ET.SubElement(suite, "testcase", classname=class_name, name=_xml(name), file=str(check.file.path), time="0")
    if line:
        case.set("line", str(line))
    return case


def _xml(text: str) -> str:
    """Replace the characters that XML can't represent."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def to_annotations(check: Check) -> str:
    """Return GitHub workflow commands, which annotate budget files.

    There is an error or warning on the line of each limit that is not within, an error for each broken model, and a
    notice of changes for a model whose limits all pass.
    """
    return "".join(f"{line}\n" for line in _annotations(check))


def _annotations(check: Check) -> Iterator[str]:
    file = str(check.file.path)
    for model in check.models:
        if model.error:
            yield _command("error", file, model.line, f"{model.budget.name}: broken", model.error)
        changes = list(words.figure_changes(model.diff)) if model.diff else []
        changes += [f"against {model.against}"] if model.against else []
        for judged in model.judged:
            if judged.outcome is Outcome.WITHIN:
                continue
            level = "warning" if judged.passes else "error"
            message = "\n".join([words.complaint(model, judged), *changes])
            title = f"{model.budget.name}: {words.limited(judged)} {judged.outcome}"
            yield _command(level, file, judged.line, title, message)
        if changes and all(judged.passes for judged in model.judged):
            yield _command("notice", file, None, f"{model.budget.name} since the baseline", "\n".join(changes))


def _command(level: str, file: str, line: int | None, title: str, message: str) -> str:
    properties = [f"file={_property(file)}", *([f"line={line}"] if line else []), f"title={_property(title)}"]
    return f"::{level} {','.join(properties)}::{_escaped(message)}"


def _escaped(text: str) -> str:
    """Escape the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a property of a workflow command."""
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def to_benchmark(check: Check) -> str:
    """Return data for github-action-benchmark (`customSmallerIsBetter`): a series for each model and figure."""
    series = [
        {"name": f"{model.budget.name} {words.NAMES[name]}", "unit": words.NAMES[name],
         "value": model.snapshot.totals[name], "extra": _extra(model.snapshot, name)}
        for model in check.models
        if model.snapshot is not None
        for name in FIGURES
    ]  # fmt: skip
    return json.dumps(series, ensure_ascii=False, indent=2) + "\n"


def _extra(snapshot: Snapshot, name: str) -> str:
    """Return the text of a data point: the input, and whether the value is a lower bound."""
    partial = "; a lower bound: ops without a rule are missing" if words.side_mark(snapshot, name) else ""
    return f"input {snapshot.input_text}{partial}"
