"""The tests and the figures of ten networks on each version of torch: reports/versions.md, from nothing.

    tests/versions/run                                    all versions, one after the other, each in its environment
    tests/versions/run --only 2.13 --only 2.15            some; `2.15` is on both of its Pythons, `2.15.0` on one
    tests/versions/run --tests tests/ops --tests tests/cli    some tests; the page says that it was not all
    tests/versions/run --no-tests                         the networks' figures alone
    tests/versions/run --index-url https://download.pytorch.org/whl/cpu    torch from there
    tests/versions/run --prepare CMD                      `CMD VERSION DIR PYTHON` makes an environment with torch in it
    tests/versions/run --report                           the page of what is kept; nothing runs

What was found is kept in build/versions, a file a version, folder by folder of tests, and is not found again as long
as the code is the same; `--fresh` finds it again. An environment takes a gigabyte or more: there is one at a time, and
it is removed afterwards but with `--keep`, or where it was there before (DIR/torch-2.13.0 with `--environments DIR`).
Exit code 1 if a test fails, or a figure differs from version to version without a reason (`page.EXPLAINED`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.versions.page import page, unexplained  # noqa: E402  # found by the line above

VERSIONS = ("2.9.1", "2.10.0", "2.11.0", "2.12.1", "2.13.0", "2.14.1", "2.15.0", "2.15.0-python3.14")
"""The newest patch of each version from the oldest that is supported to the newest that there is.

Each runs on the Python that runs this script. The last one runs on the newest Python, which must be on the path.
"""
KEPT = ROOT / "build" / "versions"
PAGE = ROOT / "reports" / "versions.md"


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="VERSION", action="append", help="Only this one, as 2.13 or 2.13.0.")
    parser.add_argument("--tests", metavar="PATH", action="append", help="Only these tests.")
    parser.add_argument("--no-tests", action="store_true", help="Only the networks' figures.")
    parser.add_argument("--prepare", metavar="CMD", help="Makes an environment: CMD VERSION DIR PYTHON.")
    parser.add_argument("--index-url", metavar="URL", help="Where pip finds torch.")
    parser.add_argument("--environments", type=Path, default=KEPT / "environments", metavar="DIR")
    parser.add_argument("--keep", action="store_true", help="Leave environments where they are.")
    parser.add_argument("--jobs", default="1", metavar="N", help="Tests at a time, as pytest-xdist's -n.")
    parser.add_argument("--fresh", action="store_true", help="Find again what is kept.")
    parser.add_argument("--report", action="store_true", help="Write the page of what is kept.")
    options = parser.parse_args(argv)
    if options.no_tests and options.tests:
        parser.error("--no-tests and --tests exclude each other")
    return options


def chosen(only: Iterable[str] | None) -> tuple[str, ...]:
    """The versions that are asked for. Raises SystemExit: one of them is none of the matrix."""
    if not only:
        return VERSIONS
    found = []
    for asked in only:
        fitting = [version for version in VERSIONS if version == asked or version.startswith(f"{asked}.")]
        if not fitting:
            raise SystemExit(f"--only {asked}: expected one of {', '.join(VERSIONS)}")
        found += fitting
    return tuple(found)


def code() -> str:
    """A digest of what figures and tests depend on."""
    digest = hashlib.sha256()
    for folder in ("cnncost", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def parts(paths: Iterable[str] | None) -> tuple[str, ...]:
    """What is run and kept as one: the folders of `tests/` that hold tests, all files there; or what is asked for."""
    if paths:
        return tuple(paths)
    tests = ROOT / "tests"
    folders = {path.relative_to(tests).parts[0] for path in tests.rglob("test_*.py") if path.parent != tests}
    return (*(f"tests/{folder}" for folder in sorted(folders)), "tests/test_*.py")


def files(part: str) -> list[str]:
    """What pytest is given for it, which takes no patterns."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(part)) if "*" in part else [part]


def requirements() -> list[str]:
    """What the tests need beside torch: by pyproject.toml, without what would bring another torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    return [line for line in wanted if not line.startswith("torch>")]


def constraints(folder: Path) -> Path:
    """constraints.txt without torch and what hangs on it."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    path = folder / "constraints.txt"
    path.write_text("\n".join(line for line in lines if not line.startswith("torch")) + "\n")
    return path


def prepare(version: str, folder: Path, options: argparse.Namespace) -> None:
    """An environment with this torch, the tests' dependencies and this tree."""
    python = folder / "bin" / "python"
    torch, _, asked = version.partition("-")
    interpreter = asked or sys.executable
    if options.prepare:
        subprocess.run([*shlex.split(options.prepare), torch, str(folder), interpreter], check=True)
    else:
        subprocess.run([interpreter, "-m", "venv", str(folder)], check=True)
        index = ["--index-url", options.index_url] if options.index_url else []
        subprocess.run([str(python), "-m", "pip", "install", "-q", *index, f"torch=={torch}"], check=True)
    pip = [str(python), "-m", "pip", "install", "-q"]
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([*pip, "-c", str(constraints(Path(scratch))), *requirements()], check=True)
    subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True)


def run(python: Path, *given: str) -> subprocess.CompletedProcess[str]:
    """A command of the environment, on this tree, on one thread."""
    around = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run([str(python), *given], cwd=ROOT, env=around, capture_output=True, text=True, check=False)


ABOUT = "import json, platform, torch; print(json.dumps([torch.__version__, platform.python_version()]))"


def figures(python: Path) -> dict[str, Any]:
    """torch and Python as they call themselves, and what the networks give."""
    about, found = run(python, "-c", ABOUT), run(python, "-W", "ignore", str(HERE / "figures.py"))
    if about.returncode or found.returncode:
        raise SystemExit(f"{python}: figures.py failed:\n{about.stderr}{found.stderr}")
    torch, version = json.loads(about.stdout)
    return {"torch": torch, "python": version, "figures": json.loads(found.stdout)}


def tested(python: Path, part: str, jobs: str) -> dict[str, Any]:
    """What pytest says of some tests."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "tests.xml"
        done = run(
            python, "-m", "pytest", "-q", "-n", jobs, "-p", "no:cacheprovider", f"--junitxml={told}", *files(part)
        )
        if not told.exists():
            said = done.stdout[-2000:] + done.stderr[-2000:]
            raise SystemExit(f"{part}: pytest ended with {done.returncode}:\n{said}")
        found = counts(told)
        if found["failed"]:
            found["said"] = done.stdout[-50_000:]  # not to be found out by running it again
    return found | {"seconds": round(time.perf_counter() - begun)}


def counts(told: Path) -> dict[str, Any]:
    """From pytest's XML: how many passed, were skipped and failed, and which did."""
    cases = list(ET.parse(told).iter("testcase"))
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"passed": len(cases) - skipped - len(failed), "skipped": skipped, "failed": failed}


def kept(version: str) -> dict[str, Any]:
    """What is known of a version; nothing at first."""
    path = KEPT / f"{version}.json"
    return json.loads(path.read_text()) if path.exists() else {"version": version, "tests": {}}


def keep(entry: dict[str, Any]) -> None:
    """Write it down at once: what comes after may be interrupted."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{entry['version']}.json"
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(entry, indent=1) + "\n")
    scratch.replace(path)


def missing(entry: dict[str, Any], wanted: tuple[str, ...], now: str) -> list[str]:
    """Which parts are yet to run: those not run, or on other code."""
    return [part for part in wanted if entry["tests"].get(part, {}).get("code") != now]


def measure(version: str, options: argparse.Namespace) -> None:
    """Whatever is not known of a version."""
    now, entry = code(), kept(version) if not options.fresh else {"version": version, "tests": {}}
    entry["whole"] = list(parts(None))
    todo = [] if options.no_tests else missing(entry, parts(options.tests), now)
    if not todo and entry.get("code") == now:
        print(f"{version}: kept", flush=True)
        return
    folder = options.environments / f"torch-{version}"
    found = folder.exists()
    try:
        if not found:
            prepare(version, folder, options)
        python = folder / "bin" / "python"
        if entry.get("code") != now:
            keep(entry := entry | figures(python) | {"code": now})
        for part in todo:
            entry["tests"][part] = tested(python, part, options.jobs) | {"code": now}
            keep(entry)
            told = entry["tests"][part]
            print(f"{version}: {part}: {told['passed']} passed, {len(told['failed'])} failed", flush=True)
    finally:
        if not found and not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Measure, write the page; 1 if anything is not as it should be."""
    options = arguments(argv)
    if not options.report:
        for version in chosen(options.only):
            measure(version, options)
    entries = [entry for version in VERSIONS if "figures" in (entry := kept(version))]
    PAGE.write_text(page(entries, VERSIONS, code()))
    print(PAGE.relative_to(ROOT) if PAGE.is_relative_to(ROOT) else PAGE)
    failed = [name for entry in entries for told in entry["tests"].values() for name in told["failed"]]
    return 1 if failed or unexplained(entries) else 0


if __name__ == "__main__":
    sys.exit(main())
