"""Put examples into the prompt: in-context learning; no weight changes (Agarwal et al. 2024)."""

from typing import Any

from restem.artifacts.store import Job
from restem.policies.manifest import PolicyManifest
from restem.training.m_steps import MStepInputs
from restem.training.m_steps.prompt import choose, keep_weights, recorded, shots_of, written


def make(job: Job, inputs: MStepInputs, start: PolicyManifest) -> dict[str, Any]:
    """Link the weights of the start; return the report with the prompt."""
    settings, pool = inputs.settings, shots_of(inputs)
    count = settings.m_step.shots
    examples = written(choose(pool, count, [settings.seed], 0), settings.prompt)
    keep_weights(start, inputs.checkpoint)
    print(f"policy: a prompt of {count} examples, weights of {inputs.start.parent}", flush=True)
    return {
        "examples": len(pool),
        "shots": count,
        "prompt": recorded(examples, settings.task),
    }
