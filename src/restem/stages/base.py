"""Stage base: bring a pretrained model into the one form that all other stages read."""

import shutil
from pathlib import Path

from restem.artifacts.store import Job
from restem.config.base import Strict
from restem.config.models import ModelSource
from restem.policies.manifest import write_policy
from restem.policies.sources import load_source


class Settings(Strict):
    """What this stage reads of the configuration."""

    source: ModelSource


def run(job: Job, output: Path, checkpoint: Path) -> None:
    """Write the checkpoint of a base model and its manifest."""
    source = Settings.model_validate(job.recipe.settings).source
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    checkpoint.mkdir(parents=True)
    load_source(source.kind).fetch(source, checkpoint)
    report = {"source": source.model_dump(mode="json")}
    write_policy(output, job.provenance, report)
    size = sum(file.stat().st_size for file in checkpoint.iterdir()) / 1e6
    print(f"base: {source.kind} model in {checkpoint} ({size:.1f} MB)", flush=True)
