"""Which command that runs a model has which option: a new option, or a new hole, changes this table."""

import click
import pytest

from cnncost.cli import cli

OPTIONS = (
    "--input", "--inputs-json", "--model-args", "--batch", "--dtype", "--trace", "--autocast",
    "--picture", "--format", "-o",
)  # fmt: skip
LACKS = {
    "summarize": {"--picture": "a table of layers; memory, rf, roofline and compare draw"},
    "memory": {},
    "rf": {},
    "roofline": {},
    "compare": {},
    "diff": {"--picture": "a table of what changed; compare draws both models"},
    "verify": {"--picture": "counts that are the same or explained; nothing to draw"},
    "formula": {"--batch": "--vary batch: the size is what varies", "--dtype": "counts are the same in each"},
    "bench": {},
    "serve": {
        "--inputs-json": "--context and --new-tokens say what runs; --input is of a vision or an encoder part",
        "--trace": "prefill and decode are recorded without data: a cache has no values to run on",
        "--autocast": "a model that generates runs in its own --dtype",
        "--picture": "two rows, prefill and decode",
    },
    "sweep": {"--inputs-json": "a grid: --input takes several values, a file of the grid has the rest"},
}
"""What a command lacks, and why it would make no sense there."""


def found(command):
    return {name for each in cli.get_command(click.Context(cli), command).params for name in each.opts}


@pytest.mark.parametrize("command", LACKS)
def test_table(command):
    assert [option for option in OPTIONS if option not in found(command)] == [*LACKS[command]]


@pytest.mark.parametrize("command", LACKS)
def test_each_hole_has_a_reason(command):
    assert all(len(reason) > 20 for reason in LACKS[command].values())


def test_no_command_that_runs_a_model_is_left_out():
    commands = cli.list_commands(click.Context(cli))
    assert {name for name in commands if "--model-args" in found(name)} == {*LACKS}
