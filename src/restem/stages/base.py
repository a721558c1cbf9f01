"""Stage base: bring a pretrained model into the one form that all other stages read."""

import shutil
from pathlib import Path
from typing import Annotated

from restem.artifacts.store import Job
from restem.config.base import Loads, Strict
from restem.config.models import ModelSource
from restem.policies.manifest import write_policy
from restem.policies.sources import load_source
from restem.stages.declaration import InputFiles, OutputFile, OutputFolder, stage


class Settings(Strict):
    """What this stage reads of the configuration."""

    source: Annotated[ModelSource, Loads("restem.policies.sources.{kind}")]


@stage(lock="model", help={"files": "Local files that the model is read from."})
def run(
    job: Job,
    settings: Settings,
    files: InputFiles = (),
    *,
    output: OutputFile,
    checkpoint: OutputFolder,
) -> None:
    """Make the policy of a base model: fetch, convert, unpack or pretrain it."""
    source = settings.source
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    checkpoint.mkdir(parents=True)
    load_source(source.kind).fetch(source, checkpoint)
    _require_whole(checkpoint)
    report = {"source": source.model_dump(mode="json")}
    write_policy(output, job.provenance, report)
    size = sum(file.stat().st_size for file in checkpoint.iterdir()) / 1e6
    print(f"base: {source.kind} model in {checkpoint} ({size:.1f} MB)", flush=True)


def _require_whole(checkpoint: Path) -> None:
    """Refuse here, before anything is sampled, what no engine could load as it was trained."""
    from restem.policies.tokenizer import load_tokenizer
    from restem.policies.weights import require_weights

    require_weights(checkpoint)
    load_tokenizer(checkpoint)
