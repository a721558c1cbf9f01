"""A policy on disk: a Hugging Face checkpoint and `policy.json`, which says what made it.

A method can run dry: no completion was right, so there is nothing to train on. Its policy then is
a *halted* one, without a checkpoint; what would be drawn from it is empty, and the study goes on.

A policy may also be frozen weights with a prompt of its own; `report` holds that then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.digests import digest, file_digest
from restem.artifacts.store import read_json, write_json
from restem.errors import RestemError

CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class PolicyManifest:
    """What policy.json says: the checkpoint beside it, or why there is none."""

    path: Path
    content: str
    halted: str | None
    files: Mapping[str, str]
    report: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def prefix(self, task: str) -> str | None:
        """Return the prompt that belongs to the policy on a task; None: that of the task."""
        prompt = self.report.get("prompt")
        return prompt["prefix"] if prompt and prompt["task"] == task else None

    @property
    def checkpoint(self) -> Path:
        """Return the checkpoint's folder."""
        return self.path.parent / CHECKPOINT


def read_policy(path: Path) -> PolicyManifest:
    """Read policy.json. Raises RestemError when it is damaged."""
    stored = read_json(path)
    try:
        names = ("content", "halted", "files", "report", "provenance")
        return PolicyManifest(path, *(stored[name] for name in names))
    except KeyError as problem:
        raise RestemError(
            f"this is no policy: {problem} is missing", str(path), "run the rule that makes it"
        ) from problem


def verify_checkpoint(policy: PolicyManifest) -> Path:
    """Return the checkpoint's folder, after comparing every file with the manifest."""
    for name, expected in policy.files.items():
        file = policy.checkpoint / name
        if not file.is_file() or file_digest(file) != expected:
            raise RestemError(
                "the checkpoint is not the one that its manifest describes",
                str(file),
                "run snakemake again: a checkpoint that is not what was written is made anew",
            )
    return policy.checkpoint


def write_policy(
    path: Path, provenance: Mapping[str, Any], report: Mapping[str, Any], halted: str | None = None
) -> None:
    """Write policy.json for the checkpoint folder beside it."""
    folder = path.parent / CHECKPOINT
    inside = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {str(path.relative_to(folder)): file_digest(path) for path in inside}
    weights = {name: value for name, value in files.items() if name != "README.md"}
    prompt = report.get("prompt")
    made = {"weights": weights, "prompt": prompt} if prompt else weights
    content = digest(["halted", halted] if halted else made)
    stored = {"content": content, "halted": halted, "files": files, "report": dict(report)}
    write_json(path, {**stored, "provenance": dict(provenance)})
