"""What in a model's source text depends on more than files and variables: chance, clocks, the network, processes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

MODULES = frozenset(
    "aiohttp asyncio boto3 ctypes datetime ftplib gc getpass http httpx locale mmap multiprocessing mysql platform "
    "psutil psycopg2 pymongo random redis requests resource secrets select smtplib socket sqlite3 ssl subprocess "
    "tempfile threading time urllib urllib3 uuid wandb".split()
)
"""Modules whose answers differ from run to run, or come from elsewhere."""
NAMES = frozenset(
    "RandomState SystemRandom cuda_memory default_rng environb getloadavg getlogin getpid getppid getrandom "
    "get_terminal_size hub initial_seed load_state_dict_from_url memory_allocated mem_get_info random seed times "
    "urandom".split()
)
"""Names that tell such a thing wherever they come from: `numpy.random`, `os.urandom`, `torch.hub`."""


def suspicious(source: str) -> str:
    """The first of such modules and names that a source text uses; empty if it uses none, or is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    return next(_found(tree), "")


def _found(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                if module.partition(".")[0] in MODULES:
                    yield module
                yield from (f"{module}.{each.name}" for each in names if each.name in NAMES)
            case ast.Call(func=ast.Name(id="__import__" | "import_module"), args=[ast.Constant(value=str(name)), *_]):
                if name.partition(".")[0] in MODULES:
                    yield name
            case ast.Attribute(attr=name) if name in NAMES:
                yield name
