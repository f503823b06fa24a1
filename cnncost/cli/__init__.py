"""The command line. Only this package prints or exits.

Each command is imported when it is called, so `cnncost --help` imports neither torch nor rich.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from cnncost import versions
from cnncost.cli import stdout
from cnncost.errors import CnncostError, InputError, UntestedTorchWarning

_COMMANDS = {
    "summarize": "Cost of a model, layer by layer.",
    "memory": "Memory of a forward and a training step, and whether it fits a device.",
    "rf": "Receptive fields, layer by layer, as tables and as a picture.",
    "lecture": "A lecture's figures, each checked against the real networks.",
    "zoo": "The reference networks and their published figures.",
    "verify": "The same model counted by fvcore and torch, with every difference explained.",
    "roofline": "The predicted time on a device, op by op.",
    "devices": "The devices that roofline and bench know; --measure adds this machine.",
    "bench": "Measured and predicted times, end to end and layer by layer.",
    "check": "Budgets for CI: whether each model is within its limits.",
    "diff": "The differences between two models, and the layers that cause them.",
    "compare": "Models side by side, and a picture of them.",
    "formula": "Costs as exact formulas of batch, image size, sequence length or width.",
    "serve": "Prefill, decode and cache of a model that generates token by token.",
    "sweep": "Many models, sizes and dtypes as one table, in processes or on a cluster.",
    "cache": "Recordings of models that were analyzed before.",
    "completion": "Print the line that turns on completion in your shell.",
}


class _Commands(click.Group):
    """Lists the commands in the table above, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"cnncost.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from cnncost.near import suggestion

            raise click.UsageError(error.message.rstrip(".") + suggestion(args[0], _COMMANDS), ctx) from None

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments; this also prints --help."""
        with stdout.errors_translated():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, handling broken pipes: click would exit silently with 1."""
        _check_folder()
        with stdout.errors_translated():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=lambda ctx, _, value: _versions(ctx, value),
    help="Show the versions of cnncost and torch.",
)  # fmt: skip
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--no-cache", is_flag=True, help="Analyze all models anew, without the cache; see cnncost cache --help.")
@click.option("--verbose", is_flag=True, help="Say on stderr which results come from the cache, and why others don't.")
def cli(**_switches: bool) -> None:  # `main` reads the switches, at any position
    """The true cost of neural networks: parameters, MACs and FLOPs, exact, without running them."""


def _check_folder() -> None:
    """Raise InputError if the working folder has been removed: torch would abort the process."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise InputError("the working folder has been removed; change to one that exists: cd ~") from None


def _versions(context: click.Context, value: bool) -> None:
    """Print the versions and exit, as click's own version option does."""
    if not value or context.resilient_parsing:
        return
    installed = versions.installed()
    click.echo(f"cnncost, version {installed['cnncost']}, torch {installed['torch']}")
    context.exit()


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
    """Print cnncost's own warnings as one line, without the source location."""
    if issubclass(category, UntestedTorchWarning):
        click.echo(f"cnncost: {message}", err=True)
    else:
        _SHOW_OTHER_WARNING(message, category, *where, **options)


_SHOW_OTHER_WARNING = warnings.showwarning


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 the command found a problem, 2 wrong usage or broken input."""
    is_program = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    switches = {each for each in arguments if each in _SWITCHES}  # at any position, because users append them
    debug, arguments = "--debug" in switches, [each for each in arguments if each not in _SWITCHES]
    stdout.replace_closed()
    try:
        with _caching(is_program and "--no-cache" not in switches, verbose="--verbose" in switches):
            code = _run(arguments)
        stdout.flush()
    except CnncostError as error:
        if debug:
            raise
        _say(error)
        code = 2
    except stdout.ReaderGone:
        code = 0
    except KeyboardInterrupt:  # before or after click's own handling
        code = 130
    stdout.discard()
    if is_program:
        stdout.redirect_for_good()
    sys.exit(code)


_SWITCHES = ("--debug", "--no-cache", "--verbose")


@contextmanager
def _caching(enabled: bool, verbose: bool) -> Iterator[None]:
    """In this context, recordings are cached if `enabled`. With `verbose`, print what came from the cache to stderr."""
    from cnncost.cache import store

    if not enabled or not store.enabled():
        yield
        return
    from cnncost.cache.recordings import caching

    with caching() as recordings:
        try:
            yield
        finally:
            for line in recordings.messages if verbose else ():
                click.echo(f"cnncost: {line}", err=True)


def _run(arguments: list[str]) -> int:
    """Run the command line and return the exit code."""
    try:
        with warnings.catch_warnings():  # torch warns about tensor["name"], but that raises an error anyway
            warnings.showwarning = _show_warning
            warnings.filterwarnings("ignore", message="Using a non-tuple sequence for multidimensional indexing")
            code = cli.main(arguments, prog_name="cnncost", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        _say(_one_line(error))
        return 2
    return code if isinstance(code, int) else 0  # a command returns an exit code, or None for success


def _say(error: object) -> None:
    """Write an error to standard error; if that is impossible, only the exit code reports the error."""
    with suppress(OSError):
        click.echo(f"cnncost: {error}", err=True)


def _one_line(error: click.ClickException) -> str:
    """Return click's error as one line; click itself adds lines on usage and help, and a line for each choice."""
    text = " ".join(error.format_message().split()).removesuffix(".")
    context = getattr(error, "ctx", None)
    return f"{text}; see {context.command_path} --help" if context is not None else text
