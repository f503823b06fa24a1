"""Models that `--parallel` splits by rule, beside the same that real processes split by hand."""

from __future__ import annotations

from importlib.util import find_spec
from math import prod
from pathlib import Path

import pytest
import torch.distributed as dist
from split_models.by_rule import BY_RULE, LLAMA, WORDS
from split_models.comparing import check_rank, rows_of

import cnncost
from cnncost.sources.parallel import parse
from cnncost.sources.settings import Settings
from tests.samples import WHOLE, sample

pytestmark = pytest.mark.filterwarnings("ignore:FSDP2-wrapped module.*returned a view:UserWarning")  # torch's advice
HERE = Path(__file__).resolve().parent
THERE = [name for name, (model, _, _) in BY_RULE.items() if model != "llama" or find_spec("transformers")]
SMALL = [name for name in THERE if prod(BY_RULE[name][2].mesh.values()) == 2]
CHOSEN = THERE if WHOLE else sample(SMALL, 1)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """What each rank did, by program and rank."""
    return rows_of(CHOSEN, tmp_path_factory.mktemp("ranks") / "rows.jsonl")


@pytest.mark.long
@pytest.mark.parametrize("name", CHOSEN)
def test_each_rank_by_rule_is_as_in_a_real_process(name, real):
    model, axes, program = BY_RULE[name]
    mixed = "bf16" if "mixed" in name else None
    plan = tuple(f"{path}={word}" for path, word in WORDS.items()) if model == "language" and "tp" in axes else ()
    spec, settings = ("hf:llama", Settings(model_args=LLAMA))
    if model == "language":
        spec, settings = f"{HERE / 'by_rule.py'}:Language", Settings(inputs=("2x24:int64",))
    for rank in range(prod(program.mesh.values())):
        parallel = parse(axes, rank=rank, mixed=mixed, plan=plan)
        with parallel.resolved(spec, settings) as built:
            report = cnncost.analyze(built, training=True)
            buffers = sum(t.nbytes for t in built.model.buffers())
        ids = 2 * 24 * 8 if model == "language" else 128 * 8
        check_rank(name, rank, real, report, report, buffers + ids)
    assert not dist.is_initialized()
