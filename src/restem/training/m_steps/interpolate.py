"""Average the weights of two policies: WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903, eq. 1)."""

from pathlib import Path
from typing import Any

import torch

from restem.artifacts.store import Job
from restem.errors import RestemError
from restem.policies.checkpoint import load_policy, save_policy
from restem.policies.manifest import PolicyManifest, read_policy, verify_checkpoint
from restem.training.m_steps import MStepInputs


def make(job: Job, inputs: MStepInputs, start: PolicyManifest) -> dict[str, Any]:
    """Average the weights of the start with those of the base model; return the report."""
    base, share = read_policy(inputs.averaged_with[0]), inputs.settings.m_step.share
    interpolate(verify_checkpoint(base), verify_checkpoint(start), share, inputs.checkpoint)
    print(f"policy: averaged weights of {inputs.start.parent}", flush=True)
    return {"share": share, "between": [base.content, start.content]}


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
