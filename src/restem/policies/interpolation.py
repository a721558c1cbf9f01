"""Average the weights of two policies: WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903, eq. 1)."""

from pathlib import Path

import torch

from restem.errors import RestemError
from restem.policies.checkpoint import load_policy, save_policy


def interpolate(base: Path, tuned: Path, share: float, out: Path) -> None:
    """Save (1 - share) * base + share * tuned at `out`, with the tuned policy's tokenizer.

    Raises RestemError when the two do not have the same parameters.
    """
    first, _ = load_policy(base)
    second, tokenizer = load_policy(tuned)
    ours, theirs = first.state_dict(), second.state_dict()
    if {n: t.shape for n, t in ours.items()} != {n: t.shape for n, t in theirs.items()}:
        raise RestemError(
            "the two policies do not have the same parameters",
            f"{base} and {tuned}",
            "interpolate between a base model and what was fine-tuned from it",
        )
    with torch.no_grad():
        for name, value in theirs.items():
            if value.is_floating_point():
                value.copy_((1 - share) * ours[name] + share * value)
    save_policy(second, tokenizer, out)
