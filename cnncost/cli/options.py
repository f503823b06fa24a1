"""Options and arguments shared by several commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from cnncost.cli import stdout
from cnncost.errors import InputError
from cnncost.render.formats import FORMATS, VIEWERS, Formats

_Command = TypeVar("_Command", bound=Callable[..., Any])


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    """Complete names of the zoo and prefixes of libraries; if none fits, files, for `path/to/file.py:Class`."""
    from cnncost import zoo

    names = [*zoo.names(), "timm:", "torchvision:", "hf:"]
    items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return items or [CompletionItem(incomplete, type="file")]


_EXTRA_SHAPE = re.compile(r"unexpected extra argument.*\((\d+(?:[xX×,]\d+)+)")
"""Matches click's message about an extra argument that is a shape, such as `1x3x224x224`."""


class Command(click.Command):
    """A command that reserves standard output for its result: the output of a model's code goes to standard error.

    Args:
        renamed: old name → new name of options whose old names are accepted for one more version.
    """

    def __init__(self, *args: Any, renamed: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.renamed = renamed or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, replacing old names of options by the new ones."""
        end = args.index("--") if "--" in args else len(args)
        known = {name for each in self.get_params(ctx) for name in each.opts if name.startswith("--")}
        for each in args[:end]:
            if f"-{each}" in known:  # -input is read as -i nput
                raise click.UsageError(f"No such option {each!r}. Did you mean '-{each}'?", ctx)
        try:
            return super().parse_args(ctx, [*map(self._current, args[:end]), *args[end:]])
        except click.UsageError as error:
            if (extra := _EXTRA_SHAPE.search(error.message)) and "--input" in known:
                raise click.UsageError(f"{error.message}; an input is given by --input {extra[1]}", ctx) from None
            raise

    def _current(self, argument: str) -> str:
        """Return an argument with the current name of its option; a note says if the old one was used."""
        name, equals, value = argument.partition("=")
        if name not in self.renamed:
            return argument
        note(f"{name} is now {self.renamed[name]}; the next version will not accept the old name")
        return self.renamed[name] + equals + value

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; `terminal` prints its result."""
        with stdout.redirected():
            return super().invoke(ctx)


def note(text: str) -> None:
    """Print a line on standard error, because standard output is reserved for the result."""
    click.echo(f"cnncost: {text}", err=True)


class _Format(click.Choice):  # type: ignore[type-arg]  # generic only for type checkers
    """The name of a format; `rich` and `table`, former names of `text`, are accepted for one more version."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in {"rich", "table"}:
            note(f"--format {value} is now --format text; the next version will not accept the old name")
            value = "text"
        if value not in self.choices and value in {form.name for form in VIEWERS}:
            self.fail(
                f"{value} shows ops over predicted time, which needs a device: "
                f"cnncost roofline MODEL --device NAME --format {value}", param, ctx,
            )  # fmt: skip
        return super().convert(value, param, ctx)


def result_options(
    formats: Formats = FORMATS, files: Formats | None = None, more: str = ""
) -> Callable[[_Command], _Command]:
    """Return a decorator that adds `--format`, as the argument `form`, and `-o FILE`, as `output`.

    Args:
        formats: formats that `--format` offers.
        files: formats that `-o` offers; None: the same.
        more: text to append to the help of `-o`.
    """
    meanings = "; ".join(f"{form.name}: {form.meaning}" for form in formats if form.meaning)
    form = click.option(
        "--format", "form", type=_Format(formats.names),
        help=f"Output format; by default determined by FILE's ending, else text.{f' {meanings}.' if meanings else ''}",
    )  # fmt: skip
    endings = (files or formats).usual_endings
    output = click.option("-o", "--output", metavar="FILE", help=f"Write to a file: {endings}{more}.")
    return lambda command: form(output(command))


def result_format(form: str | None, output: str | None, picture: str | None = None, formats: Formats = FORMATS) -> str:
    """Return the name of the format to write, and check the paths of results; call it before the work.

    Raises:
        OutputError: `--format` and the file's ending contradict each other, or a file can't be written.
    """
    name = formats.choose(form, output)
    check_places(output, picture)
    return name


def check_places(output: str | None, picture: str | None = None) -> None:
    """Check, before the work, that results can be written to these paths. Raises OutputError."""
    from cnncost.files import check

    if output is not None:
        check(output)
    if picture is not None:
        from cnncost.plots.picture import check_picture

        check_picture(picture)


model_argument = click.argument("model", shell_complete=complete_model)
input_option = click.option(
    "--input", "inputs", multiple=True, metavar="SHAPE",
    help="Input such as 1x3x224x224, 1x128:int64, ids=1x128:int64 or t=scalar:int64; repeat it for each input. "
    "Networks of the zoo have default inputs.",
)  # fmt: skip
model_args_option = click.option(
    "--model-args", "--dim", "model_args", multiple=True, metavar="NAME=VALUE",
    help="Keyword argument for the factory, such as width=64, or the size of a symbolic axis of an ONNX file, such as "
    "batch=1; repeatable, or separate several by commas.",
)  # fmt: skip
strict_option = click.option("--strict", is_flag=True, help="Fail if an op has no rule.")


def parsed_model_args(texts: tuple[str, ...]) -> dict[str, Any]:
    """Return `("width=64,deep=True", "act='relu'")` as keyword arguments; a bare word is a string.

    Raises:
        InputError: a text is not of the form NAME=VALUE, a value is no literal, or a name is given twice.
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        for name, value in _pairs(text):
            if name in arguments:
                raise InputError(f"--model-args {text!r}: {name} is given twice")
            arguments[name] = value
    return arguments


def _pairs(text: str) -> list[tuple[str, Any]]:
    """Parse `width=64,deep=True` as Python parses keyword arguments. Raises InputError."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
    except SyntaxError:
        call = None
    if (
        not isinstance(call, ast.Call)
        or not isinstance(call.func, ast.Name)  # `a=3)(b=4` parses as two calls
        or call.args
        or not call.keywords
        or None in [k.arg for k in call.keywords]  # `**arguments`
    ):
        raise InputError(
            f"--model-args {text!r}: expected NAME=VALUE, for example width=64 or act=relu,depth=3; "
            "text with other characters needs quotes: path='./x.txt'"
        )
    return [(str(k.arg), _value(text, k.value)) for k in call.keywords]


def _value(text: str, node: ast.expr) -> Any:
    """Return an argument's value: a literal, true, false or none in any case, or another bare word as a string.

    Raises:
        InputError: another expression.
    """
    if isinstance(node, ast.Name):
        return {"true": True, "false": False, "none": None}.get(node.id.lower(), node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise InputError(
            f"--model-args {text!r}: {ast.unparse(node)} is not a plain value; expected a number, True, a word, "
            "'quoted text', or a list of these"
        ) from None
