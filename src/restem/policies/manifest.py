"""A policy on disk: a Hugging Face checkpoint, and `policy.json` with its origin.

If no completion was correct, a method has nothing to train on. Its policy is then *halted*: it has
no checkpoint, the samples from it are empty, and the study goes on.

A policy may also have a prompt of its own, in its `report`, over weights that are not fine-tuned.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.digests import digest, file_digest
from restem.artifacts.files import read_json, write_json
from restem.errors import RestemError
from restem.policies.flops import Forward, shapes_in, whole_model

CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class PolicyManifest:
    """The content of policy.json.

    content: digest of weights and prompt. halted: the reason why there is no checkpoint. files:
    digests of the checkpoint's files. parameters, forward: number of the whole model's parameters,
    and the operations of its passes; both can be told without the weights, which can be pruned.
    """

    path: Path
    content: str
    halted: str | None
    files: Mapping[str, str]
    parameters: int
    forward: Forward
    report: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def own_prompt(self, task: str) -> str | tuple[tuple[str, str], ...] | None:
        """Return the policy's own worked examples for a task; None: use those of the task.

        They are a text, or the turns of a chat model: what is asked, and the answer.
        """
        prompt = self.report.get("prompt")
        if not prompt or prompt["task"] != task:
            return None
        turns = prompt.get("turns")
        return prompt["prefix"] if turns is None else tuple((asked, said) for asked, said in turns)

    @property
    def references(self) -> str | None:
        """Say how many problems had a reference solution to train on; None where all had one."""
        count = self.report.get("references")
        return f"{count['solutions']:,} of {count['problems']:,}" if count else None

    @property
    def checkpoint(self) -> Path:
        """Return the folder of the checkpoint."""
        return self.path.parent / CHECKPOINT


def read_policy(path: Path) -> PolicyManifest:
    """Read policy.json. Raises RestemError if it is damaged."""
    stored = read_json(path)
    try:
        return PolicyManifest(
            path,
            content=stored["content"],
            halted=stored["halted"],
            files=stored["files"],
            parameters=stored["parameters"],
            forward=Forward(**stored["forward"]),
            report=stored["report"],
            provenance=stored["provenance"],
        )
    except KeyError as error:
        raise RestemError(
            f"this is no policy: {error} is missing", str(path), "run the rule that makes it"
        ) from error


def verify_checkpoint(policy: PolicyManifest) -> Path:
    """Return the folder of the checkpoint, after comparing every file with the manifest."""
    for name, expected in policy.files.items():
        file = policy.checkpoint / name
        if not file.is_file() or file_digest(file) != expected:
            raise RestemError(
                "the checkpoint is not the one that its manifest describes",
                str(file),
                "run snakemake again: it makes a changed checkpoint again",
            )
    return policy.checkpoint


def write_policy(
    path: Path, provenance: Mapping[str, Any], report: Mapping[str, Any], halted: str | None = None
) -> None:
    """Write policy.json for the checkpoint folder beside it."""
    folder = path.parent / CHECKPOINT
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {str(path.relative_to(folder)): file_digest(path) for path in paths}
    weights = {name: value for name, value in files.items() if name != "README.md"}
    prompt = report.get("prompt")
    model = {"weights": weights, "prompt": prompt} if prompt else weights
    content = digest(["halted", halted] if halted else model)
    weights_below = whole_model(folder).glob("*.safetensors")
    parameters = sum(count_parameters(path) for path in weights_below)
    stored = {"content": content, "halted": halted, "files": files, "parameters": parameters}
    stored["forward"] = vars(Forward.of_checkpoint(folder))
    write_json(path, {**stored, "report": dict(report), "provenance": dict(provenance)})


def count_parameters(weights: Path) -> int:
    """Count the parameters in a safetensors file by its header; raises RestemError without one."""
    return sum(math.prod(shape) for shape in shapes_in(weights).values())
