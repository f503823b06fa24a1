"""What one analysis recorded, before any pass: plain data, which can be written and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cnncost.graph import Graph
from cnncost.graph_json import from_json, to_json


@dataclass(frozen=True, slots=True)
class Recording:
    """A model's Graphs and names.

    Attributes:
        name: title in reports.
        graph: a forward.
        step: a training step, if one was recorded.
        input_names: of keyword inputs; empty for positional ones.
        cached: when it was made, if it comes from the cache; else empty.
    """

    name: str
    graph: Graph
    step: Graph | None = None
    input_names: tuple[str, ...] = ()
    cached: str = ""

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        step = None if self.step is None else to_json(self.step)
        return {"name": self.name, "graph": to_json(self.graph), "step": step, "input_names": list(self.input_names)}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Recording:
        """A recording that went through JSON.

        Raises:
            GraphError: not a Graph of this version.
            KeyError: a field is missing.
        """
        step = None if data["step"] is None else from_json(data["step"])
        return cls(data["name"], from_json(data["graph"]), step, tuple(data["input_names"]))
