"""What explains that a file's figures differ from a module's, and the page of all of them."""

from collections import Counter
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "reports" / "onnx.md"
MOST = 4
"""Names that the page lists of one kind."""


def parameters(row):
    """Why parameters differ, and whether the reasons add up to the difference to the unit.

    First by facts that torch states: norms behind convolutions, parameters without a gradient, buffers. Where these are
    not all, by the names and sizes of what the file stores and the module has not, and the other way round.
    """
    difference = row["file"][0] - row["torch"][0]
    buffers, unread = sum(row["buffers"].values()), sum(row["unread"].values())
    folded, size = row["folded"]
    said = []
    if unread:
        said.append(f"{len(row['unread'])} parameters that the output does not need are left out: −{unread:,}")
    if buffers:
        said.append(f"buffers are stored: +{buffers:,}")
    if difference == buffers - unread:
        return said, True
    if difference == buffers - unread - size:
        return [f"{folded} norms are folded into convolutions: −{size:,}", *said], True
    new, missing = Counter(row["new"].values()), Counter(row["missing"].values())
    only = {name: size for name, size in row["new"].items() if _spent(new, missing, size)}
    lost = {name: size for name, size in row["missing"].items() if _spent(missing, new, size)}
    by_size = (new - missing, missing - new)
    total = sum(row["new"].values()) - sum(row["missing"].values()) + buffers - unread
    said.append(f"stored by the exporter: +{sum(n * k for n, k in by_size[0].items()):,} ({_listed(only)})")
    if by_size[1]:
        said.append(f"and no more: −{sum(n * k for n, k in by_size[1].items()):,} ({_listed(lost)})")
    return said, difference == total


def _spent(mine, theirs, size):
    return mine[size] > theirs[size]


def _listed(sizes):
    names = [f"`{name}` {size:,}" for name, size in sorted(sizes.items(), key=lambda each: -each[1])]
    return ", ".join(names[:MOST]) + (f", {len(names) - MOST} more" if len(names) > MOST else "")


def products(row):
    """Why MACs differ, and whether the reasons add up."""
    difference = row["file"][1] - row["torch"][1]
    if not difference:
        return [], True
    gone = row["absent"]
    said = f"products on constants, or that the output does not need, are left out: −{sum(gone.values()):,} MACs"
    return [f"{said} ({_listed(gone)})"], difference == -sum(gone.values())


def faults(row):
    """What of a row is wrong or not explained."""
    if "failed" in row:
        return [f"not exported: {row['failed']}"]
    wrong = [name for name, (_, right) in (("parameters", parameters(row)), ("MACs", products(row))) if not right]
    if row["unknown"] != row["unknown_torch"]:
        wrong.append(f"unknown: {row['unknown']}")
    if row["runtime"] and (row["runtime"][2] or row["runtime"][1]):
        wrong.append(f"shapes: {row['runtime'][2]}, {row['runtime'][1]} not known")
    return wrong


def line(row):
    """A row of the table."""
    if "failed" in row:
        return f"| {row['model']} | | | | | not exported: {row['failed'][:120].replace('|', '/')} |"
    said = [*parameters(row)[0], *products(row)[0]]
    count, differ = row["fields"]
    fields = f"{count - len(differ)} of {count}"
    run = row["runtime"]
    shapes = "–" if not run else f"not run: {run[3][:60]}" if run[3] else f"{run[0]} of {run[0] + run[1] + len(run[2])}"
    change = row["file"][0] - row["torch"][0]
    return (f"| {row['model']} | {row['file'][0]:,} ({change:+,}) | {row['file'][1]:,} "
            f"({row['file'][1] - row['torch'][1]:+,}) | {fields} | {shapes} | {'; '.join(said)} |")  # fmt: skip


def page(rows):
    """The whole page."""
    packages = ", ".join(f"{name} {version(name)}" for name in
                         ("torch", "torchvision", "timm", "transformers", "onnx", "onnxruntime"))  # fmt: skip
    good = [row for row in rows if "failed" not in row]
    tensors = sum(row["runtime"][0] for row in good if row["runtime"])
    text = f"""# ONNX files of three zoos: beside the module and beside ONNX Runtime

{packages}. Regenerate with `python tests/conformance/onnx_zoo.py`.

Each model, with random weights and at a small input, is written by torch's two exporters with their default settings.
Parameters and MACs are those of the file, in parentheses the difference from the module as the torch front end counts
it. *Fields*: rows with weights that both have and whose receptive fields are equal. *Shapes*: tensors of the file whose
shape is that of ONNX Runtime's real run, of all.

{len(good)} of {len(rows)} exported; {sum(not faults(row) for row in rows)} with all figures equal or explained to the
unit; {sum(row["file"][1] == row["torch"][1] for row in good)} with equal MACs; {tensors:,} tensors with the shape of
the run.
"""
    for exporter, told in (("torchscript", "The TorchScript exporter"), ("dynamo", "The dynamo exporter")):
        text += f"\n## {told}\n\n| model | parameters | MACs | fields | shapes | what the exporter changed |\n"
        text += "|---|---:|---:|---:|---:|---|\n"
        text += "".join(f"{line(row)}\n" for row in rows if row["exporter"] == exporter)
    return text + _fields(good)


def _fields(rows):
    text = "\n## Receptive fields that differ\n\n"
    text += "A module that is called several times, as ALBERT's one layer, is one row of a file, whose field is that\n"
    text += "of the last call; the module's is that of the first.\n\n"
    for row in rows:
        if row["fields"][1]:
            path, (module, file) = next(iter(row["fields"][1].items()))
            text += (
                f"- {row['model']}, {row['exporter']}: {len(row['fields'][1])} rows, such as {path}: module {module}, "
            )
            text += f"file {file}.\n"
    return text
