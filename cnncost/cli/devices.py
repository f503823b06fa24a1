"""`cnncost devices`: lists known devices, and measures this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnncost.cli import terminal
from cnncost.cli.options import Command, result_format, result_options
from cnncost.cli.roofline import complete_device, device_file_option

if TYPE_CHECKING:
    from cnncost.devices import Device


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=complete_device)
@device_file_option
@click.option("--measure", is_flag=True, help="Measure this machine, and save it as a device.")
@click.option("--on", "backend", type=click.Choice(["cpu", "cuda"]), help="What to measure; by default cpu.")
@click.option("--save-as", metavar="NAME", help="The measured device's name; by default this-cpu or this-cuda.")
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads to measure with; by default all cores."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@result_options()
def command(
    name: str | None, device_file: Path | None, measure: bool, backend: str | None, save_as: str | None,
    threads: int | None, as_json: bool, form: str | None, output: str | None,
) -> None:  # fmt: skip
    """List the devices that --device accepts, show one in full, or measure this machine.

    --measure times what the roofline needs: large matrix products by dtype, copies by size, launches, convolutions and
    pooling. The result is saved in your own TOML file of devices, in which you may also describe others.
    """
    if measure and name:
        raise click.UsageError(f"--measure measures this machine; to name the result, use --save-as {name}")
    if not measure and (backend or save_as or threads):
        raise click.UsageError("--on, --save-as and --threads belong to --measure")
    if as_json and form not in {None, "json"}:
        raise click.UsageError(f"--json means --format json; leave out --format {form} or --json")
    form = result_format("json" if as_json else form, output)
    from cnncost.devices import catalog, find
    from cnncost.devices.document import catalog_document, device_document

    if measure:
        backend = backend or "cpu"
        document = device_document(_measure(backend, save_as or f"this-{backend}", threads, device_file))
    else:
        document = (
            device_document(find(name, device_file)) if name else catalog_document(list(catalog(device_file).values()))
        )
    terminal.write(document, form, output)


def _measure(backend: str, name: str, threads: int | None, device_file: Path | None) -> Device:
    from cnncost.bench.ceilings import measure
    from cnncost.cli.progress import steps
    from cnncost.devices.registry import own_file
    from cnncost.devices.save import save

    path = device_file or own_file()
    with steps(f"measuring this machine's {backend}") as show_step:
        device = measure(backend, name, threads, show_step)
    save(device, path)
    click.echo(f"saved as {name} in {path}", err=True)
    if device.noisy:
        click.echo(
            "other programs were busy, so the ceilings are too low; measure again when the machine is idle",
            err=True,
        )
    return device
