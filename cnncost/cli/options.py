"""Options and arguments shared by several commands."""

from __future__ import annotations

import ast
from typing import Any

import click
from click.shell_completion import CompletionItem

from cnncost.cli import stdout
from cnncost.errors import InputError


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    """Zoo names, and files for `path/to/file.py:Class`."""
    from cnncost import zoo

    names = [*zoo.names(), "timm:", "torchvision:", "hf:"]
    items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return items or [CompletionItem(incomplete, type="file")]


class Command(click.Command):
    """A command that reserves standard output for its result: what a model prints goes to standard error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its own output is printed by `terminal`."""
        with stdout.aside():
            return super().invoke(ctx)


model_argument = click.argument("model", shell_complete=complete_model)
input_option = click.option(
    "--input", "inputs", multiple=True, metavar="SHAPE",
    help="Input such as 1x3x224x224, 1x128:int64, ids=1x128:int64 or t=scalar:int64; once for each input. "
    "The zoo knows its own.",
)  # fmt: skip
model_args_option = click.option(
    "--model-args", multiple=True, metavar="NAME=VALUE",
    help="Keyword argument for the factory, such as width=64; repeatable, or several separated by commas.",
)  # fmt: skip
trace_option = click.option(
    "--trace", type=click.Choice(["auto", "static", "real"]), default="auto", show_default=True,
    help="Run forward without data; on values, for models that read what they compute; or on values where needed.",
)  # fmt: skip
autocast_option = click.option(
    "--autocast", metavar="DTYPE",
    help="Run forward and loss under torch.autocast: bf16, fp16, or by CUDA's lists of ops cuda:bf16, cuda (fp16).",
)  # fmt: skip
strict_option = click.option("--strict", is_flag=True, help="Fail if an op has no rule.")


def parsed_inputs(texts: tuple[str, ...]) -> Any:
    """Inputs as for `analyze`, or None if none were given."""
    from cnncost.shapes import parse_inputs

    return parse_inputs(texts) if texts else None


def parsed_model_args(texts: tuple[str, ...]) -> dict[str, Any]:
    """`("width=64,deep=True", "act='relu'")` as keyword arguments; a bare word is a string.

    Raises:
        InputError: not of the form NAME=VALUE.
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        for name, value in _pairs(text):
            if name in arguments:
                raise InputError(f"--model-args {text!r}: {name} is given twice")
            arguments[name] = value
    return arguments


def _pairs(text: str) -> list[tuple[str, Any]]:
    try:
        call = ast.parse(f"f({text})", mode="eval").body
    except SyntaxError:
        call = None
    one = isinstance(call, ast.Call) and isinstance(call.func, ast.Name)  # `a=3)(b=4` parses as two calls
    if (
        not isinstance(call, ast.Call)
        or not one
        or call.args
        or not call.keywords
        or None in [k.arg for k in call.keywords]
    ):
        raise InputError(
            f"--model-args {text!r}: expected NAME=VALUE, for example width=64 or act=relu,depth=3; "
            "text with other signs needs quotes: path='./x.txt'"
        )
    return [(str(k.arg), _value(text, k.value)) for k in call.keywords]


def _value(text: str, node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return {"true": True, "false": False, "none": None}.get(node.id.lower(), node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise InputError(
            f"--model-args {text!r}: {ast.unparse(node)} is no plain value; expected a number, True, a word, "
            "'quoted text', or a list of these"
        ) from None
