"""Answers by key, kept from run to run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Kept:
    """Lines of JSON by key, added to as they come; a half-written last line is left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                key, value = json.loads(line)
            except ValueError:
                continue
            self.found[key] = value

    def add(self, key: str, value: dict[str, Any]) -> None:
        self.found[key] = value
        with self.path.open("a") as file:
            file.write(json.dumps([key, value]) + "\n")
