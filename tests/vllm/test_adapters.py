"""vLLM serves an adapter on top of its base without merging, and samples as from merged weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.config.training import Lora
from restem.embedded import weights
from restem.embedded.world import PROMPT, problems
from restem.errors import RestemError
from restem.policies.checkpoint import load_policy
from restem.sampling.engine import Request
from restem.sampling.loading import load_engine
from restem.training.lora import save_alone, with_adapters

# Warnings of another project's libraries are not ours to fail on.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

GREEDY = Decoding(draws=1, temperature=0, max_tokens=48)
VLLM = EngineSettings(name="vllm", device="cpu", rows=16, cache_gib=0.25)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policies") / "base"
    weights.unpack("S", folder)
    return folder


def adapter(base: Path, rank: int) -> Path:
    """Save an adapter of random updates beside its base."""
    model, tokenizer = load_policy(base)
    adapted = with_adapters(model, Lora(rank=rank, merged=False))
    torch.manual_seed(0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    out = base.parent / f"rank-{rank}"
    save_alone(adapted, tokenizer, base, out)
    return out


def texts(checkpoint: Path, settings: EngineSettings) -> dict[str, str]:
    asked = [
        Request(p["id"], "", PROMPT["chain"].format(question=p["question"]), (0,), (0,))
        for p in problems("chain", "test", 40)
    ]
    engine: Any = load_engine(checkpoint, settings, 1)
    groups = engine.sample(asked, GREEDY, ("\n\n",))
    return {completion.problem_id: completion.text for group in groups for completion in group}


def test_an_unmerged_adapter_draws_what_the_merged_weights_draw(base: Path) -> None:
    served = texts(adapter(base, 12), VLLM)
    merged = texts(base.parent / "rank-12", EngineSettings(device="cpu"))
    plain = texts(base, EngineSettings(device="cpu"))
    assert sum(served[name] == merged[name] for name in merged) >= 38
    assert sum(served[name] == plain[name] for name in plain) <= 20


def test_a_rank_that_vllm_has_no_room_for_is_refused(base: Path) -> None:
    with pytest.raises(RestemError, match="rank 512 at most, this one has 600"):
        load_engine(adapter(base, 600), VLLM, 1)
