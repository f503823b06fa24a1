"""Finds source code whose result may depend on more than files and environment variables (see `watch.py`).

Examples are random numbers, clocks, the network and processes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

MODULES = frozenset(
    "SimpleITK aiohttp asyncio av boto3 catboost ctypes cv2 datetime decord duckdb faiss fiona ftplib gc getpass grp "
    "h5py http httpx lightgbm lmdb locale lxml mmap multiprocessing mysql netCDF4 onnxruntime osgeo platform polars "
    "posix psutil psycopg2 pwd pyarrow pymongo random rasterio redis requests resource safetensors sched secrets "
    "select sentencepiece smtplib socket soundfile sqlite3 ssl subprocess tables tempfile tensorflow threading time "
    "timeit tokenizers urllib urllib3 uuid wandb xgboost".split()
)
"""Modules whose results differ between runs, come from outside, or come from files that compiled code reads unobserved.
"""
NAMES = frozenset(
    "RandomState SystemRandom cuda_memory default_rng device_count disk_usage environb fpathconf from_file fstat "
    "fwalk get_device_capability get_device_name get_device_properties get_terminal_size getatime getloadavg getlogin "
    "getpid getppid getrandom getuid hub initial_seed load_state_dict_from_url mem_get_info memory_allocated orig_argv "
    "pathconf random read_file read_image readlink seed st_atime st_atime_ns statvfs stdin sysconf times uname "
    "urandom".split()
)
"""Names with such results in any module: `numpy.random`, `os.urandom`, `torch.hub`."""


def suspicious(source: str | bytes) -> str:
    """Return the first suspicious name in source code; empty if there is none, or if the source is not Python.

    Suspicious are imports of `MODULES`; `NAMES` that are imported or read as attributes; calls of `input`; calls of
    `hash` outside `__hash__`, because the hash of a string differs between processes; and the argument `dir_fd`,
    because a path relative to an open folder doesn't tell which file is meant.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    return next(_found(tree), "")


def _found(tree: ast.AST) -> Iterator[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__hash__"]
    of_own_hash = {node for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="hash")) if node not in of_own_hash:
                yield "hash"
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                if module.partition(".")[0] in MODULES:
                    yield module
                yield from (f"{module}.{each.name}" for each in names if each.name in NAMES)
            case ast.Call(func=ast.Name(id="__import__" | "import_module"), args=[ast.Constant(value=str(name)), *_]):
                if name.partition(".")[0] in MODULES:
                    yield name
            case ast.Call(func=ast.Name(id="input")):
                yield "input"
            case ast.keyword(arg="dir_fd"):
                yield "dir_fd"
            case ast.Attribute(attr=name) if name in NAMES:
                yield name
