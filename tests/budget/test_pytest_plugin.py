"""The plugin in runs of pytest of its own: what passes, what fails, and what a failure says."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import cnncost.budget.testing
import cnncost.frontends.torch  # pytester forgets what a run has imported, and torch takes a second

pytest_plugins = ["pytester"]

REGISTERED = any(entry.value == "cnncost.budget.pytest_plugin" for entry in entry_points(group="pytest11"))
PLUGIN = [] if REGISTERED else ["-p", "cnncost.budget.pytest_plugin"]
OTHERS = ("randomly", "xdist", "hypothesispytest", "anyio", "pytest_cov")
"""Plugins that would be read anew for each run."""
NET = """
    from torch import nn


    class Net(nn.Sequential):
        def __init__(self, kernel=3):
            super().__init__(nn.Conv2d(3, 8, kernel, padding=kernel // 2), nn.ReLU(), nn.Conv2d(8, 4, 1))
"""
MACS = 8 * 8 * 8 * 3 * 9 + 8 * 8 * 4 * 8
"""Of Net on 1x3x8x8."""
MARKED = "@pytest.mark.complexity({})\ndef test_it({}):\n"
LENET = '    complexity("lenet5")\n'


@pytest.fixture
def run(pytester):
    """Write a test module, run pytest on it: outcomes and output. The process is this one: torch is there already."""
    pytester.makepyfile(net=NET)
    pytester.syspathinsert()

    def call(source, *options):
        pytester.makepyfile(test_it="import pytest\nfrom net import Net\n\n" + source)
        sys.modules.pop("net", None)
        others = [option for name in OTHERS for option in ("-p", f"no:{name}")]
        return pytester.runpytest_inprocess(*others, *PLUGIN, *options)

    return call


def test_a_figure_is_an_int(run):
    source = f"""
def test_it(complexity):
    found = complexity(Net(), "1x3x8x8")
    assert found.macs == {MACS}
    assert found.params == 8 * 27 + 8 + 4 * 8 + 4 == found.trainable_params
    assert found.flops > 2 * found.macs
    assert found.arithmetic_intensity > 1
    assert found.report.layer("0").kind == "conv"
    assert isinstance(found.macs, int)
"""
    run(source).assert_outcomes(passed=1)


def test_a_limit_on_a_training_step(run):
    """The figure is the Report's; where Reports have none, that is said."""
    import inspect

    result = run("""
@pytest.mark.complexity(training_peak="<= 1B")
def test_it(complexity):
    complexity(Net(), "1x3x8x8")
""")
    result.assert_outcomes(failed=1)
    known = "training" in inspect.signature(cnncost.analyze).parameters
    result.stdout.fnmatch_lines(
        ["*training peak of Net: * B, limit*" if known else "*training steps can't be analyzed*"]
    )


def test_a_failure_shows_the_biggest_layers(run):
    result = run("""
def test_it(complexity):
    assert complexity(Net(), "1x3x8x8").macs <= 10_000
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        f"*assert MACs of Net: {MACS:,} <= 10000, 59 % more*",
        "*the biggest layers by *",
        "*0 (Conv2d): 13.8 k MACs, 87 %*",
        "*2 (Conv2d): 2.05 k MACs, 13 %*",
    ])  # fmt: skip


def test_a_failure_shows_what_changed_since_the_snapshot(run):
    check = 'def test_it(complexity):\n    complexity.check(Net(), "1x3x8x8")\n'
    run(check, "--complexity-update").assert_outcomes(passed=1)
    result = run('def test_it(complexity):\n    assert complexity(Net(5), "1x3x8x8").macs <= 20_000\n')
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*since the snapshot:*", "*+24.6 k MACs (+155 %): 100 % in 0 (kernel 3→5, padding 1→2)*"]
    )


def test_snapshots(run, pytester):
    source = 'def test_it(complexity):\n    complexity.check(Net(KERNEL), "1x3x8x8")\n'
    place = pytester.path / "__complexity__" / "test_it" / "Net.json"
    first = run("KERNEL = 3\n" + source)
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(["*Net: there is no snapshot *Net.json; write it with --complexity-update*"])
    assert not place.exists()
    run("KERNEL = 3\n" + source, "--complexity-update").assert_outcomes(passed=1)
    before = place.read_text()
    run("KERNEL = 3\n" + source).assert_outcomes(passed=1)
    grown = run("KERNEL = 5\n" + source)
    grown.assert_outcomes(failed=1)
    grown.stdout.fnmatch_lines([
        "*Net: the model has changed; if that is intended, run pytest --complexity-update*",
        "*+24.6 k MACs (+155 %): 100 % in 0 (kernel 3→5, padding 1→2)*",
        "*0: kernel 3→5, padding 1→2, +384 params, +24.6 k MACs, +49.2 k FLOPs*",
    ])  # fmt: skip
    assert place.read_text() == before
    run("KERNEL = 5\n" + source, "--complexity-update").assert_outcomes(passed=1)
    run("KERNEL = 5\n" + source).assert_outcomes(passed=1)


def test_a_snapshot_with_limits(run):
    source = 'def test_it(complexity):\n    complexity.check(Net(KERNEL), "1x3x8x8", macs="+200%", params=LIMIT)\n'
    run('KERNEL = 3\nLIMIT = "+0"\n' + source, "--complexity-update").assert_outcomes(passed=1)
    run('KERNEL = 5\nLIMIT = "+200%"\n' + source).assert_outcomes(passed=1)
    over = run('KERNEL = 5\nLIMIT = "+1%"\n' + source)
    over.assert_outcomes(failed=1)
    over.stdout.fnmatch_lines(["*params of Net: 644, limit ≤ 263 (baseline 260 +1%): over by 145 %*"])


def test_the_marker_holds_what_the_fixture_is_given(run):
    source = """
@pytest.mark.complexity(macs="<= 16k", params="<= 1k")
def test_within(complexity):
    complexity(Net(), "1x3x8x8")

@pytest.mark.complexity(macs="<= 15k")
def test_over(complexity):
    complexity(Net(), "1x3x8x8")

@pytest.mark.complexity(macs="<= 16k")
class TestNearest:
    @pytest.mark.complexity(macs="<= 1k")
    def test_over_too(self, complexity):
        complexity(Net(), "1x3x8x8")
"""
    result = run(source, "--strict-markers")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines([f"*MACs of Net: {MACS:,}, limit ≤ 15.0 k: over by 5.8 %*", "*the biggest layers by *"])
    result.stdout.no_fnmatch_line("*testing.py*")  # how the fixture works is not what one looks for


@pytest.mark.parametrize(
    ("source", "outcome", "told"),
    [
        (MARKED.format("macs=1", "") + "    pass\n", "errors", "does not use the fixture"),
        (MARKED.format("macs=1", "complexity") + "    pass\n", "errors", "passed no model to the fixture"),
        (MARKED.format("1", "complexity") + "    pass\n", "errors", "pass limits by name"),
        (MARKED.format("mcas=1", "complexity") + LENET, "failed", "did you mean macs"),
        (MARKED.format("macs='4GiB'", "complexity") + LENET, "failed", "unit of bytes"),
        (MARKED.format("macs='+1%'", "complexity") + LENET, "failed", "relative to a baseline"),
        ('def test_it(complexity):\n    complexity("lenet5").mcas\n', "failed", "did you mean macs"),
        ('def test_it(complexity):\n    complexity("lenet6")\n', "failed", "did you mean lenet5"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_no_pass(run, source, outcome, told):
    result = run(source)
    found = result.parseoutcomes()

    assert found.get(outcome) or found.get(outcome.removesuffix("s")), found
    result.stdout.fnmatch_lines([f"*{told}*"])


def test_a_damaged_snapshot_is_told_of(run, pytester):
    source = 'def test_it(complexity):\n    complexity.check("lenet5")\n'
    run(source, "--complexity-update").assert_outcomes(passed=1)
    place = pytester.path / "__complexity__" / "test_it" / "lenet5.json"
    place.write_text(place.read_text()[:-100])
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*lenet5.json:*broken JSON*"])


def test_other_comparisons_are_left_alone(run):
    result = run("""
def test_it(complexity):
    complexity("lenet5")
    assert [1, 2] == [1, 3]
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert [[]1, 2] == [[]1, 3]*"])


def test_the_plugin_brings_in_nothing_of_weight():
    code = (
        "import sys, pytest; before = set(sys.modules); import cnncost.budget.pytest_plugin\n"
        "new = sorted(name for name in set(sys.modules) - before if not name.startswith('cnncost'))\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'rich', 'click'} & set(sys.modules)), len(new))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))

    heavy, _, count = out.stdout.rpartition(" ")
    assert heavy == "[]"
    assert int(count) < 5
