"""Which command that runs a model has which option: a new option, or a new hole, changes this table."""

import click
import pytest

from cnncost.cli import cli

RUN = ("--input", "--inputs-json", "--model-args", "--batch", "--dtype", "--trace", "--autocast")
LACKS = {
    "summarize": (), "memory": (), "rf": (), "roofline": (), "compare": (), "diff": (),
    "verify": ("--trace", "--autocast"),  # the peers count one static run in float32 or --dtype
    "formula": ("--batch", "--dtype"),  # --vary batch; what varies is the size
    "bench": (),
}  # fmt: skip


@pytest.mark.parametrize("command", LACKS)
def test_table(command):
    context = click.Context(cli)
    found = cli.get_command(context, command)
    has = {name for each in found.params for name in each.opts}
    assert [option for option in RUN if option not in has] == [*LACKS[command]]


def test_no_command_that_runs_a_model_is_left_out():
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    runs = {name for name, each in commands.items() if any("--model-args" in param.opts for param in each.params)}
    assert runs - {"serve", "sweep"} == {*LACKS}  # those two have a context, and a grid, in place of one input
