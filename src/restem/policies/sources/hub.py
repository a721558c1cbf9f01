"""A base model from the Hugging Face hub, at a pinned commit."""

from pathlib import Path

from restem.config.models import HubModel
from restem.errors import RestemError
from restem.policies.sources.local import WANTED, copy


def files(source: HubModel) -> list[Path]:
    """List nothing: a pinned commit cannot change."""
    return []


def fetch(source: HubModel, checkpoint: Path) -> None:
    """Download the checkpoint into the hub's cache, unless it is there, and copy it."""
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
    copy(Path(folder), checkpoint)
