"""The Graphs of many ONNX files, written down: what a change of the front end must leave as it was.

    python tests/conformance/onnx_graphs.py before.json FILE.onnx FOLDER …
    python tests/conformance/onnx_graphs.py after.json FILE.onnx FOLDER … --before before.json

Follows all node models and files of the package onnx, and the files and folders given. A file that is refused is its
message. Open axes are 6, or 3 in a second run where both sizes are allowed. With `--before` it names what differs.
"""

import argparse
import json
import sys
from pathlib import Path

import onnx
from onnx_nodes import cases

from cnncost.errors import CnncostError
from cnncost.frontends.onnx import graph_of, input_types, open_axes, read
from cnncost.frontends.onnx.reader import checked
from cnncost.graph_json import to_json
from cnncost.ops import cost_of

SIZES = (6, 3)
"""Of open axes."""


def files(places):
    for place in (Path(onnx.__file__).parent, *map(Path, places)):
        yield from sorted(place.rglob("*.onnx")) if place.is_dir() else (place,)


def found(name, opened):
    """What is said of a model: for each size of its open axes the Graph and its costs, or an error's text."""
    said = {}
    for size in SIZES:
        try:
            model = opened()
            axes = {axis for axis in open_axes(input_types(model)).values() if axis}
            graph = graph_of(name, model, None, dict.fromkeys(axes, size))
            costs = [repr(cost_of(node.spec)) for node in graph.nodes]
            said[str(size)] = {"graph": json.loads(to_json(graph)), "costs": costs}
        except CnncostError as error:
            said[str(size)] = f"{type(error).__name__}: {error}"
            axes = {"": size}
        if not axes:
            break
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("written", type=Path)
    parser.add_argument("places", nargs="*")
    parser.add_argument("--before", type=Path)
    given = parser.parse_args()
    models = {name: found(name, lambda n=name, m=model: checked(n, m)) for name, model, _ in cases()}
    models |= {str(path): found(path.name, lambda p=path: read(str(p))) for path in files(given.places)}
    models = json.loads(json.dumps(models))
    given.written.write_text(json.dumps(models, indent=0))
    refused = sum(isinstance(each, str) for said in models.values() for each in said.values())
    print(f"{len(models)} models, {refused} refused")
    if given.before is None:
        return 0
    before = json.loads(given.before.read_text())
    other = [name for name in {**before, **models} if before.get(name) != models.get(name)]
    for name in other:
        print(f"differs: {name}")
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())
