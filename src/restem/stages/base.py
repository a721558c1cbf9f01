"""Stage base: bring a pretrained model into the one form that all other stages read."""

import shutil
from pathlib import Path

from restem.artifacts import Job
from restem.config.models import EmbeddedModel, HubModel, LocalModel, ModelSource, PackageModel
from restem.config.strict import Strict
from restem.errors import RestemError
from restem.policies import write_policy

WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "tokenizer*", "*.model", "*.txt")


class Settings(Strict):
    """What this stage reads of the configuration."""

    source: ModelSource


def run(job: Job, output: Path, checkpoint: Path) -> None:
    """Write the checkpoint of a base model and its manifest."""
    source = Settings.model_validate(job.recipe.settings).source
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    checkpoint.mkdir(parents=True)
    _fetch(source, checkpoint)
    report = {"source": source.model_dump(mode="json")}
    write_policy(output, job.provenance, report)
    size = sum(file.stat().st_size for file in checkpoint.iterdir()) / 1e6
    print(f"base: {source.kind} model in {checkpoint} ({size:.1f} MB)", flush=True)


def _fetch(source: ModelSource, checkpoint: Path) -> None:
    if isinstance(source, HubModel):
        _download(source, checkpoint)
    elif isinstance(source, LocalModel):
        _copy(source.directory, checkpoint)
    elif isinstance(source, PackageModel):
        from restem.conversion import convert_package

        convert_package(source.package, checkpoint)
    else:
        _embedded(source, checkpoint)


def _download(source: HubModel, checkpoint: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(source.id, revision=source.revision, allow_patterns=list(WANTED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as problem:
        raise RestemError(
            f"the hub did not give the model: {problem}",
            f"{source.id} at {source.revision}",
            "check id, revision and connection; a gated model needs HF_TOKEN; or download it "
            "elsewhere and use kind: local",
        ) from problem
    _copy(Path(folder), checkpoint)


def _copy(folder: Path, checkpoint: Path) -> None:
    if not (folder / "config.json").is_file():
        raise RestemError(
            "the directory holds no Hugging Face checkpoint: config.json is missing",
            str(folder),
            "name the directory that `save_pretrained` wrote",
        )
    for file in {file for pattern in WANTED for file in folder.glob(pattern)}:
        shutil.copyfile(file, checkpoint / file.name)
    if not any(checkpoint.glob("*.safetensors")):
        raise RestemError(
            "the checkpoint has no safetensors weights",
            str(folder),
            "convert it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
        )


def _embedded(source: EmbeddedModel, checkpoint: Path) -> None:
    if source.pretrain:
        from restem.embedded.pretraining import pretrain

        pretrain(source.size, source.seed, checkpoint)
    else:
        from restem.embedded.weights import unpack

        unpack(source.size, checkpoint)
