"""One rank of a recording beside the same rank of a real run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def rows_of(names, out):
    """What each rank did, by program and rank, written to a file on the way."""
    subprocess.run([sys.executable, HERE / "ranks.py", out, *names], check=True, capture_output=True, timeout=900)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return {(row["program"], row["rank"]): row for row in rows}


def told(graph):
    """Collectives of a recording as the real run lists them: name and bytes of the whole tensor."""
    found = Counter()
    for node in graph.nodes:
        if node.spec.kind == "collective":
            found[node.spec["collective"], sum(n * width for n, width in node.spec["parts"])] += 1
    return found


def seen(listed):
    """The real run's, under the names of the kind."""
    names = {"all_to_all_single": "all_to_all", "allgather_base": "all_gather", "all_gather_into_tensor": "all_gather",
             "reduce_scatter_base": "reduce_scatter", "reduce_scatter_tensor": "reduce_scatter"}  # fmt: skip
    found = Counter()
    for text, count in listed:
        name, nbytes = text.strip("()").split(", ")
        found[names.get(name.strip("'"), name.strip("'")), int(nbytes)] += count
    return found


def check_rank(name, rank, real, inference, step, given, buckets=0):
    """A rank that waits for others lets go of what it sends later: of ranks that hold alike, the least peak counts."""
    row = real[name, rank]
    before = row["bytes"] + given
    assert inference.totals.params == row["parameters"]
    assert inference.memory.parameters == row["bytes"]
    assert inference.unknown == step.unknown == {}
    assert told(inference.graph) == seen(row["inference_collectives"])
    assert told(step.training) == seen(row["training_collectives"])
    assert inference.memory.inference_peak - before == row["inference"]
    alike = [r["training"] for (n, _), r in real.items() if n == name and r["bytes"] == row["bytes"]]
    assert step.memory.training_peak - before - buckets == pytest.approx(min(alike), rel=0.02)
