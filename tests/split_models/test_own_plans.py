"""Models of Transformers by their own `tp_plan`, beside what Transformers itself makes of it in two processes."""

from __future__ import annotations

from collections import Counter
from math import prod

import pytest
import zoos
from split_models.by_rule import BY_TRANSFORMERS, LLAMA, OWN
from split_models.comparing import rows_of, seen, told

import cnncost
from cnncost.sources.parallel import parse
from cnncost.sources.settings import Settings
from tests.samples import WHOLE

pytestmark = [
    zoos.needs("transformers"),
    pytest.mark.filterwarnings("ignore:FSDP2-wrapped module.*returned a view:UserWarning"),  # torch's advice
]
CHOSEN = [name for name, (_, axes, _) in BY_TRANSFORMERS.items() if axes == "tp=2" or WHOLE]
LEFT_PARTIAL = {"Qwen3 by Transformers, tp=2": Counter({("all_reduce", 16 * 4): 2 * LLAMA["num_hidden_layers"]})}
"""Gradients of norms of single heads, which torch's style leaves to FSDP or the optimizer; Transformers sums them."""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """What each rank did, by program and rank."""
    return rows_of(CHOSEN, tmp_path_factory.mktemp("ranks") / "rows.jsonl")


@pytest.mark.parametrize("name", CHOSEN)
def test_a_rank_is_as_transformers_splits_it(name, real):
    """In inference Transformers' styles multiply without DTensor, and let go of some tensors earlier."""
    architecture, axes, program = BY_TRANSFORMERS[name]
    size = prod(program.mesh.values())
    for rank in range(size):
        row = real[name, rank]
        settings = Settings(model_args={**LLAMA, **OWN[architecture]})
        with parse(axes, rank=rank).resolved(f"hf:{architecture}Model", settings) as built:
            report = cnncost.analyze(built, training=True)
            buffers = sum(t.nbytes for t in built.model.buffers())
        assert report.totals.params == row["parameters"]
        assert report.memory.parameters == row["bytes"]
        assert told(report.graph) == seen(row["inference_collectives"])
        assert told(report.training) + LEFT_PARTIAL.get(name, Counter()) == seen(row["training_collectives"])
        before = row["bytes"] + buffers + 128 * 8
        alike = [real[name, other] for other in range(size)]  # one that waits lets go later
        inference, training = (min(each[run] for each in alike) for run in ("inference", "training"))
        assert report.memory.inference_peak == pytest.approx(before + inference, rel=0.02)
        assert report.memory.training_peak == pytest.approx(before + training, rel=0.005)
