"""Reads a grid from YAML. Sizes and names remain strings: YAML would read 010 as 8, 1:30 as 90 and `no` as False."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from cnncost.errors import InputError, MissingPackageError
from cnncost.toml_file import Keys, TomlFile


class YamlFile(TomlFile):
    """A YAML file's path and text, for the line numbers in messages."""

    def place(self, keys: Keys) -> str:
        """Return, for example, `grid.yaml:3`; the path alone if the file has no such key."""
        lines = self.text.splitlines()
        found = [n for n, line in enumerate(lines, 1) if keys and re.match(rf"['\"]?{re.escape(str(keys[0]))}\b", line)]
        return f"{self.path}:{found[0]}" if found else str(self.path)


def parsed_yaml(path: Path, text: str) -> dict[str, Any]:
    """Return the file's mapping; values in `model_args` have YAML's types, all other scalars are strings.

    Raises:
        MissingPackageError: PyYAML is not installed.
        InputError: the text is not valid YAML or not a mapping, or a key is given twice.
    """
    try:
        yaml = import_module("yaml")
    except ImportError:
        raise MissingPackageError(
            f"{path}: YAML needs the package PyYAML; pip install 'cnncost[yaml]', or write the same keys as TOML"
        ) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _check_keys(path, node)
        data, typed = yaml.load(text, Loader=yaml.BaseLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: broken YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a mapping of keys such as models and batch, got {type(data).__name__}")
    if "model_args" in data:
        data["model_args"] = typed["model_args"]
    return {key: value for key, value in data.items() if value != ""}


def _check_keys(path: Path, node: Any) -> None:
    """Raise InputError for a duplicate key in a mapping; PyYAML would silently use the last one."""
    if node.id == "sequence":
        for each in node.value:
            _check_keys(path, each)
    if node.id == "mapping":
        seen = set[str]()
        for key, value in node.value:
            if key.value in seen:
                raise InputError(f"{path}:{key.start_mark.line + 1}: more than one {key.value}; keep one")
            seen.add(str(key.value))
            _check_keys(path, value)
