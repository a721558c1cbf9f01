from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from restem.config.training import Lora, Training
from restem.policies.flops import Forward
from restem.training.examples import Encoded
from restem.training.flops import TrainingFlops, attention_pairs
from restem.training.packs import packs

EXAMPLES = [Encoded([4, 5, 6, 7, 8, k], [k, 5, 6], 1.0) for k in range(4, 9)]


def test_what_is_counted_is_what_torch_counts(llama: Any) -> None:
    """Torch counts the padded pass's matrix products, its attention without the causal half."""
    settings = Training(layout="padded")
    flops = TrainingFlops.of(llama, settings)
    (pack,) = packs(EXAMPLES, settings, 1.0)
    (one_pass,) = pack.passes
    own = llama.config._attn_implementation
    llama.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        hidden = llama.model(input_ids=one_pass.ids, use_cache=False).last_hidden_state
        llama.lm_head(hidden.flatten(0, 1)[one_pass.sources])
    llama.set_attn_implementation(own)
    rows, columns = one_pass.ids.shape
    whole = rows * columns * columns
    attention = flops.per_pair * (whole - attention_pairs(one_pass))
    assert flops.step([pack]) == 3 * (counter.get_total_flops() - attention)


def test_trees_cost_less_and_frozen_weights_too(llama: Any) -> None:
    counts = {
        layout: TrainingFlops.of(llama, Training()).step(
            packs(EXAMPLES, Training(layout=layout), 1.0)
        )
        for layout in ("tree", "packed", "padded")
    }
    assert counts["tree"] < 0.6 * counts["packed"] <= 0.6 * counts["padded"]
    split = packs(EXAMPLES, Training(pass_tokens=6), 1.0)
    assert TrainingFlops.of(llama, Training()).step(split) == counts["tree"]
    assert TrainingFlops.of(llama, Training(lora=Lora())).forwards == 2
    assert TrainingFlops.of(llama, Training(gradient_checkpointing=True)).forwards == 4


def test_a_checkpoint_is_counted_like_the_model_that_is_trained(llama: Any, tmp_path: Path) -> None:
    """One way of counting: the ledger reads headers, training reads the loaded model."""
    llama.save_pretrained(tmp_path)
    forward = Forward.of_checkpoint(tmp_path)
    flops = TrainingFlops.of(llama, Training())
    assert vars(forward) == {
        name: getattr(flops, name) for name in ("per_token", "per_pair", "per_target")
    }


def test_sampling_is_counted_like_the_passes_that_it_takes(llama: Any) -> None:
    """A completion of t tokens takes as much as a pass over them, after the prompt's pass."""
    flops = TrainingFlops.of(llama, Training())
    forward = Forward(flops.per_token, flops.per_pair, flops.per_target)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        llama.set_attn_implementation("eager")
        llama.model(input_ids=torch.arange(4, 12)[None], use_cache=False)
    whole = forward.prompt(3) + forward.completion(3, 5) - 5 * forward.per_target
    assert whole == counter.get_total_flops() - flops.per_pair * (8 * 8 - 8 * 9 // 2)
