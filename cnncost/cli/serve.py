"""`cnncost serve`: prefill and decode of a model that generates token by token from a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cnncost.cli import terminal
from cnncost.cli.options import (
    Command,
    model_args_option,
    model_argument,
    parsed_model_args,
    result_format,
    result_options,
)
from cnncost.cli.roofline import complete_device, device_file_option


@click.command(cls=Command)
@model_argument
@click.option(
    "--context", type=click.IntRange(min=1), required=True, metavar="N", help="Number of tokens in each prompt."
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=1, metavar="N", help="Number of sequences served together."
)
@click.option(
    "--new-tokens",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Number of tokens to generate for each sequence.",
)
@click.option(
    "--chunk",
    type=click.IntRange(min=1),
    metavar="N",
    help="Prefill in chunks of N tokens; by default all at once.",
)
@click.option(
    "--dtype", metavar="NAME", help="dtype of parameters and cache: bf16, fp16, float32; by default the model's own."
)
@click.option(
    "--device", metavar="NAME", shell_complete=complete_device, help="Predict times on one of `cnncost devices`."
)
@device_file_option
@click.option("--fit", is_flag=True, help="Find the largest batch and the longest context that fit the device.")
@click.option("--last-logits", is_flag=True, help="Compute logits only for the prompt's last token, as generate does.")
@click.option(
    "--input", "inputs", metavar="SHAPE",
    help="The prompt of a model with a method step(inputs, cache): batch and tokens are its first two axes, 1x1x512.",
)  # fmt: skip
@model_args_option
@result_options()
def command(
    model: str, context: int, batch: int, new_tokens: int, chunk: int | None, dtype: str | None, device: str | None,
    device_file: Path | None, fit: bool, last_logits: bool, inputs: str | None, model_args: tuple[str, ...],
    form: str | None, output: str | None,
) -> None:  # fmt: skip
    """Show the cost of serving MODEL: prefilling the prompt, and decode steps that use the cache.

    MODEL is a Transformers architecture (hf:llama), or a model with a method step(inputs, cache) that returns its
    outputs and the new cache; the first call gets None as the cache.

    \b
    Examples:
      cnncost serve hf:llama --context 8192 --batch 16 --device h100 --dtype bf16
      cnncost serve hf:mamba --context 4096 --new-tokens 256
      cnncost serve net.py:Decoder --context 512 --input 1x1x256
    """  # noqa: D301  # click's mark for text that is not rewrapped
    form = result_format(form, output)
    from cnncost.decoding import serving
    from cnncost.decoding.document import document

    options: dict[str, Any] = {"device": device, "device_file": device_file, "last_logits": last_logits, "fit": fit}
    result = serving(
        model, inputs, context=context, batch=batch, dtype=dtype, model_args=parsed_model_args(model_args),
        new_tokens=new_tokens, chunk=chunk, **options,
    )  # fmt: skip
    terminal.write(document(result), form, output)
