"""Small wrong changes to the code, one at a time, and whether a test of its part notices.

    python tests/mutation/run.py reach --most 40          forty of the changes to ops/reach, drawn with a seed
    python tests/mutation/run.py all --results FILE       goes on where FILE ends
    python tests/mutation/run.py reach --most 40 --again  those that survived once more, for the tests there are now

Tests are collected once. A first run of them all says how long each takes and which lines it runs. Then each change is
made in a child of this process: in place, where it lies in the body of a function that a test runs; else its module and
all that know it are imported anew. The tests that run the changed line follow, the fastest first, until one fails.
Nothing is written to the tree, so that a test that starts another program doesn't meet the change.

A change that no test notices survives; the ones that change nothing are named in `survivors.md`, with why.
`tests/mutation/test_mutation.py` holds what the script itself does.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gc
import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import _lru_cache_wrapper, cache
from itertools import accumulate, islice
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.mutation.changes import Place, changed, function_of, functions, places  # noqa: E402  # by the path

FIELDS = (
    "tests/passes/receptive_field", "-tests/passes/receptive_field/test_zoo.py",
    "-tests/passes/receptive_field/test_op_tables.py",
)  # fmt: skip
COSTS = (
    "tests/ops", "tests/passes/test_memory.py", "tests/passes/test_compute.py", "tests/passes/test_roofline.py",
    "tests/frontends/test_fused_lstm.py", "tests/frontends/test_counts.py", "tests/frontends/test_sparse.py",
)  # fmt: skip
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # files (those after a minus are left out), and the tests that concern them
    "reach": (("cnncost/ops/reach",), FIELDS),
    "fields": (("cnncost/passes/receptive_field",), FIELDS),
    "scratch": (("cnncost/ops/scratch.py",), COSTS),
    "matmul": (("cnncost/ops/matmul.py",), COSTS),
    "ops": (("cnncost/ops", "-cnncost/ops/reach"), COSTS),
    "passes": (
        ("cnncost/passes", "-cnncost/passes/receptive_field"),
        ("tests/passes", "-tests/passes/receptive_field", "tests/test_sparsity.py", "tests/test_activations.py",
         "tests/frontends/test_training.py"),
    ),
    "shapes": (
        ("cnncost/frontends/torch/shapes",),
        ("tests/frontends/test_shapes.py", "tests/frontends/test_shape_settings.py", "tests/frontends/test_memo.py",
         "tests/frontends/test_storages.py", "tests/frontends/test_autocast.py"),
    ),
    "memo": (
        ("cnncost/frontends/torch/memo.py",),
        ("tests/frontends/test_memo.py", "tests/frontends/test_shapes.py", "tests/frontends/test_storages.py",
         "tests/frontends/test_recording.py"),
    ),
}  # fmt: skip
LOG = Path(tempfile.gettempdir()) / "cnncost-mutation.log"
"""What the last child printed."""
OPTIONS = ["-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "ignore", "--no-header"]


class Change(NamedTuple):
    """A change: the file, the line, what it is, and where in the tree."""

    file: str
    line: int
    said: str
    place: Place

    def key(self) -> str:
        """What a result is kept under: it holds for as long as the changed file is the same."""
        text = ast.dump(changed((ROOT / self.file).read_text(), self.place))
        return f"{self.file}:{self.line} {self.said} {_digest(text)}"


class Known(NamedTuple):
    """What the first run says of a test: seconds, whether it passes, and the lines that it runs by file."""

    seconds: float
    passes: bool
    lines: dict[str, list[int]]


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()[:10]  # noqa: S324  # no secret


def _files(paths: Iterable[str], pattern: str) -> list[str]:
    """Files below these paths, without those below paths that a minus stands before."""
    found: dict[str, None] = {}
    for path in paths:
        at = ROOT / path.removeprefix("-")
        names = [str(f.relative_to(ROOT)) for f in ([at] if at.is_file() else sorted(at.rglob(pattern)))]
        for name in names:
            if path.startswith("-"):
                found.pop(name, None)
            else:
                found[name] = None
    return list(found)


WATCHED = list(dict.fromkeys(file for part in PARTS.values() for file in _files(part[0], "*.py")))
"""All files that are changed."""


@cache
def _line_map(file: str, before: str) -> dict[int, int]:
    """Lines of a file as it was, and where they are now."""
    old, new = before.splitlines(), (ROOT / file).read_text().splitlines()
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return {block.a + i + 1: block.b + i + 1 for block in blocks for i in range(block.size)}


def _now(file: str, before: str, lines: list[int]) -> list[int]:
    """Lines that were run, in the file as it is now."""
    moved = _line_map(file, before)
    return [moved[line] for line in lines if line in moved]


def drawn(part: str, most: int | None, seed: int, inside: bool = False) -> list[Change]:
    """The changes to a part's files, or so many of them; `inside`: in functions alone."""
    found = [
        Change(file, line, said, place)
        for file in _files(PARTS[part][0], "*.py")
        for place, line, said in places((ROOT / file).read_text())
    ]
    found.sort(key=lambda change: _digest(f"{seed} {change}"))  # so that one that is gone leaves the others' order
    taken = (c for c in found if not inside or function_of((ROOT / c.file).read_text(), c.place) is not None)
    return list(islice(taken, most))


# ---- in a child


def forked(work: Callable[[], int], seconds: float) -> int:
    """What a child of this process returns; 1 if it does not end in time, or ends by itself."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            out = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            code = work()
        except BaseException:  # noqa: BLE001  # whatever it is, the change was noticed
            traceback.print_exc()
        os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return 1 if os.waitstatus_to_exitcode(status) else 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1


def forget() -> None:
    """Empty all that the code remembers of what it was asked."""
    for name, module in list(sys.modules.items()):
        if name.startswith("cnncost"):
            for value in list(vars(module).values()):
                if isinstance(value, _lru_cache_wrapper):
                    value.cache_clear()
    for module, table in (("ops.registry", "_COSTS"), ("ops.reach.registry", "_REACHES"),
                          ("frontends.torch.meta_cache", "_RESULTS"), ("frontends.torch.skeleton_cache", "_CACHE"),
                          ("frontends.torch.memo", "_MEMOS"), ("frontends.torch.memo", "_FRESH"),
                          ("frontends.torch.memo", "_SPECS")):  # fmt: skip
        if (loaded := sys.modules.get(f"cnncost.{module}")) is not None:
            getattr(loaded, table).clear()


def passes(item: pytest.Item, after: pytest.Item | None) -> bool:
    """Whether a test passes, from a cold start and with the same random numbers each time."""
    forget()
    random.seed(0)
    sys.modules["torch"].manual_seed(0)
    return not any(report.failed for report in runtestprotocol(item, nextitem=after, log=False))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def patched(functions: dict[tuple[str, int], list[FunctionType]], path: str, change: Change) -> bool:
    """Make a change in the functions there are. False: it must be imported anew."""
    source = (ROOT / change.file).read_text()
    line = function_of(source, change.place)
    if line is None:
        return False
    new = compile(changed(source, change.place), path, "exec")
    here = [code for code in _codes(new) if code.co_firstlineno == line and code.co_name != "__annotate__"]
    found = [code for code in here if functions.get((code.co_qualname, line))]  # annotations are code, from 3.14 on
    if len(found) != 1:
        return False
    for function in functions[found[0].co_qualname, line]:
        try:
            function.__code__ = found[0]
        except ValueError:  # it knows other variables of what is around it
            return False
    return True


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        if fullname != self.name:
            return None
        places = [str(Path(self.path).parent)] if self.path.endswith("__init__.py") else None
        spec = importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=places
        )
        return spec

    def exec_module(self, module: Any) -> None:
        exec(compile(self.tree, self.path, "exec"), module.__dict__)  # noqa: S102  # our own code


class _InOrder:
    """Puts tests into an order."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place = {name: i for i, name in enumerate(self.names)}
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])

    def pytest_runtest_setup(self) -> None:
        forget()
        random.seed(0)
        sys.modules["torch"].manual_seed(0)


def anew(change: Change, names: list[str]) -> int:
    """Import the changed module and all that know it, and run tests. 0: all passed."""
    for name in [name for name in sys.modules if name.split(".")[0] in {"cnncost", "tests", "conftest"}]:
        del sys.modules[name]
    path = str(ROOT / change.file)
    name = change.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    sys.meta_path.insert(0, _Finder(name, path, changed((ROOT / change.file).read_text(), change.place)))
    files = list(dict.fromkeys(name.partition("::")[0] for name in names))
    return int(pytest.main([*OPTIONS, "-x", "--rootdir", str(ROOT), *files], plugins=[_InOrder(names)]))


# ---- the run


class Runner:
    """Takes the place of pytest's loop over tests."""

    def __init__(self, part: str, options: argparse.Namespace) -> None:
        self.part, self.options = part, options
        self.results = Path(options.results)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All changes of the part."""
        self.items = {item.nodeid: item for item in session.items}
        for item in session.items:
            _shorten(item, self.options.examples)
        _warm()
        self.functions = _functions_of(_files(PARTS[self.part][0], "*.py"))
        gc.collect()
        gc.freeze()
        self.known = self._first_run()
        left_out = [name for name, known in self.known.items() if not known.passes]
        if left_out:
            print(f"fail unchanged, and are left out: {', '.join(left_out)}", flush=True)
        done = {entry["key"]: entry["survived"] for entry in _entries(self.results)}
        alive, start = [], time.perf_counter()
        changes = drawn(self.part, self.options.most, self.options.seed, self.options.inside)
        for change in changes:
            key = change.key()
            if key not in done or (self.options.again and done[key]):
                begin = time.perf_counter()
                done[key], how = self._survives(change)
                took = round(time.perf_counter() - begin, 1)
                _append(self.results, key=key, survived=done[key], seconds=took, how=how)
                if done[key]:
                    print(f"survived: {key} ({took} s, {how})", flush=True)
            if done[key]:
                alive.append(key)
        seconds = time.perf_counter() - start
        print(f"{self.part}: {len(alive)} of {len(changes)} survived ({seconds:.0f} s)", flush=True)
        return True

    def _first_run(self) -> dict[str, Known]:
        """What is known of each test. It holds while the test's file and those beside it that it uses are the same."""
        store = Path(f"{self.results}.tests")
        shared = _digest("".join((ROOT / file).read_text() for file in _files(FIELDS[:1], "[!t]*.py")))
        marks = {file: f"{shared} {_digest((ROOT / file).read_text())}"
                 for file in {name.partition("::")[0] for name in self.items}}  # fmt: skip
        known: dict[str, Known] = {}
        sources: dict[str, str] = {}
        for entry in _entries(store):
            if "sources" in entry:
                sources = entry["sources"]
            elif marks.get(entry["name"].partition("::")[0]) == entry["mark"]:
                lines = {file: _now(file, sources[file], found) for file, found in entry["lines"].items()}
                known[entry["name"]] = Known(entry["seconds"], entry["passes"], lines)
        missing = [item for name, item in self.items.items() if name not in known]
        if missing:
            print(f"first run of {len(missing)} tests", flush=True)
            _append(store, sources={file: (ROOT / file).read_text() for file in WATCHED})
            if forked(lambda: _measure(missing, marks, store), 3600):
                pytest.exit("the first run of the tests was cut off")
            return self._first_run()
        return {name: known[name] for name in self.items}

    def _survives(self, change: Change) -> tuple[bool, str]:
        """Whether all tests pass that run the changed line, or the function that it is in, and how it was made."""
        source = (ROOT / change.file).read_text()
        line = function_of(source, change.place)
        if line is not None and not self._is_run(change, source):
            line = None  # by imports, if at all
        names = sorted(self._names(change, source, line), key=lambda name: self.known[name].seconds)
        taken = list(accumulate(self.known[name].seconds for name in names))
        budget = self.options.budget if line is not None else self.options.budget / 4  # they start slowly
        names = [name for name, seconds in zip(names, taken, strict=True) if seconds <= budget]
        path = str(ROOT / change.file)
        how = f"in place, {len(names)} tests"

        def in_place() -> int:
            if line is None or not patched(self.functions[path], path, change):
                return anew(change, names)
            _limit()
            for name, after in zip(names, [*names[1:], None], strict=True):
                signal.alarm(int(20 + 20 * self.known[name].seconds))
                if not passes(self.items[name], self.items[after] if after else None):
                    return 1
            return 0

        if line is None:
            how = f"anew, {len(names)} tests"
        seconds = 120 + 5 * sum(self.known[name].seconds for name in names)
        return forked(in_place, seconds) == 0, how

    def _is_run(self, change: Change, source: str) -> bool:
        """Whether some test runs the function that is changed."""
        _, function = _lines(source, change.place)
        return any(function & set(known.lines.get(change.file, ())) for known in self.known.values())

    def _names(self, change: Change, source: str, line: int | None) -> list[str]:
        """The tests that run a changed line; all of the file, where it is none of a function or no test runs it."""
        told = {name: known for name, known in self.known.items() if known.passes}
        of_file = {name: set(known.lines.get(change.file, ())) for name, known in told.items()}
        if line is None:
            return [name for name, lines in of_file.items() if lines] or list(told)
        wanted, function = _lines(source, change.place)
        found = [name for name, lines in of_file.items() if lines & wanted]
        return found or [name for name, lines in of_file.items() if lines & function] or list(told)


def _lines(source: str, place: Place) -> tuple[set[int], set[int]]:
    """Lines of the changed node, or of the statement that is taken out; and of the function that it is in."""
    tree = ast.parse(source)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place[0])
    function = next(each for each in functions(tree.body) if any(node is inner for inner in ast.walk(each)))
    if isinstance(node, (ast.FunctionDef, ast.For, ast.While, ast.With, ast.If)):
        node = node.body[place[1] - 2] if place[1] > 1 else getattr(node, "test", node)
    return _span(node), set().union(*(_span(statement) for statement in function.body))


def _span(node: ast.AST) -> set[int]:
    return set(range(node.lineno, node.end_lineno + 1))  # type: ignore[attr-defined,operator]  # of source


def _warm() -> None:
    """What torch imports when it is first needed takes seconds; children have it already."""
    analyze, torch = sys.modules["cnncost"].analyze, sys.modules["torch"]
    for layer, shape in ((torch.nn.InstanceNorm2d(4), (2, 4, 5, 5)), (torch.nn.GRU(4, 3), (2, 3, 4)),
                         (torch.nn.Upsample(scale_factor=2, mode="bicubic"), (1, 2, 4, 4))):  # fmt: skip
        analyze(layer, shape)
    from cnncost.frontends.torch import record

    class Fourier(torch.nn.Module):  # type: ignore[name-defined,misc]  # torch comes from sys.modules
        def forward(self, x: Any) -> Any:
            return torch.fft.rfft2(x).abs().repeat_interleave(2, 0)

    record(Fourier(), (2, 4, 6))
    forget()


def _shorten(item: pytest.Item, most: int) -> None:
    """A property test with fewer examples."""
    name = "_hypothesis_internal_use_settings"
    test = getattr(item, "obj", None)
    if (before := getattr(test, name, None)) is not None:
        setattr(test, name, hypothesis.settings(before, max_examples=min(before.max_examples, most)))


def _limit() -> None:
    """A change may ask for any number of elements."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 6 * 2**30, resource.RLIM_INFINITY))


def _functions_of(files: Iterable[str]) -> dict[str, dict[tuple[str, int], list[FunctionType]]]:
    """The functions there are, by file, and by name and first line."""
    found: dict[str, dict[tuple[str, int], list[FunctionType]]] = {
        str(ROOT / file): defaultdict(list) for file in files
    }
    gc.unfreeze()  # the suite freezes what is there before its first test, which `get_objects` leaves out
    everything = gc.get_objects()
    gc.freeze()
    for each in everything:
        if type(each) is FunctionType and each.__code__.co_filename in found:
            code = each.__code__
            found[code.co_filename][code.co_qualname, code.co_firstlineno].append(each)
    return found


def _measure(items: list[pytest.Item], marks: dict[str, str], store: Path) -> int:
    """Run tests, and append what they take and run."""
    watched = {str(ROOT / file): file for file in WATCHED}
    lines: dict[str, set[int]] = defaultdict(set)

    def called(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in watched:
            return None
        found = lines[watched[frame.f_code.co_filename]]
        found.add(frame.f_lineno)

        def inside(frame: FrameType, event: str, argument: object) -> Any:
            if event == "line":
                found.add(frame.f_lineno)
            return inside

        return inside

    for item, after in zip(items, [*items[1:], None], strict=True):
        lines.clear()
        sys.settrace(called)
        start = time.perf_counter()
        passed = passes(item, after)
        seconds = time.perf_counter() - start
        sys.settrace(None)
        _append(store, name=item.nodeid, mark=marks[item.nodeid.partition("::")[0]], seconds=round(seconds, 3),
                passes=passed, lines={file: sorted(found) for file, found in lines.items()})  # fmt: skip
    return 0


def _entries(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _append(path: Path, **entry: Any) -> None:
    with path.open("a") as out:
        out.write(json.dumps(entry) + "\n")


def main() -> None:
    """Run, and print the survivors and the count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--most", type=int, help="so many changes of each part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="try once more what survived")
    parser.add_argument("--inside", action="store_true", help="changes in functions alone, which are made at once")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests a change, as they took unchanged")
    parser.add_argument("--examples", type=int, default=10, help="so many of a property test")
    parser.add_argument("--results", default=str(Path(tempfile.gettempdir()) / "cnncost-mutation.jsonl"))
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    importlib.import_module("torch").set_num_threads(1)
    quiet = hypothesis.settings(
        deadline=None, database=None, derandomize=True, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
    )  # a failure is enough, the smallest example of it is not asked for
    hypothesis.settings.register_profile("mutation", quiet)
    hypothesis.settings.load_profile("mutation")
    for part in PARTS if options.part == "all" else (options.part,):
        if options.part == "all" and forked(lambda part=part: 0, 60):
            raise SystemExit(1)
        _run(part, options)


def _run(part: str, options: argparse.Namespace) -> None:
    tests = [test for test in PARTS[part][1] if not test.startswith("-")]
    ignored = [f"--ignore={test[1:]}" for test in PARTS[part][1] if test.startswith("-")]
    pytest.main([*OPTIONS, *ignored, *tests], plugins=[Runner(part, options)])


if __name__ == "__main__":
    main()
