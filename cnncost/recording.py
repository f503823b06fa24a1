"""The Graphs that one analysis recorded, before any pass runs: plain data that can be saved and loaded."""

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
        graph: the Graph of a forward pass.
        step: the Graph of a training step, if one was recorded.
        input_names: names of the inputs if they are keyword arguments; else empty.
        cached: when it was recorded, if it comes from the cache; else empty.
    """

    name: str
    graph: Graph
    step: Graph | None = None
    input_names: tuple[str, ...] = ()
    cached: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        step = None if self.step is None else to_json(self.step)
        return {"name": self.name, "graph": to_json(self.graph), "step": step, "input_names": list(self.input_names)}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Recording:
        """Return the recording from the result of `to_data`.

        Raises:
            GraphError: the data is not a Graph in this version's format.
            KeyError: a field is missing.
        """
        step = None if data["step"] is None else from_json(data["step"])
        return cls(data["name"], from_json(data["graph"]), step, tuple(data["input_names"]))
