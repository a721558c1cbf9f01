"""A base model from the Hugging Face Hub, at a pinned commit."""

from pathlib import Path

from restem.config.models import HubModel
from restem.errors import RestemError
from restem.policies.sources.local import PATTERNS, copy


def files(source: HubModel) -> list[Path]:
    """Return no file: a pinned commit cannot change."""
    return []


def fetch(source: HubModel, checkpoint: Path) -> None:
    """Download the checkpoint into the Hub's cache, unless it is there already, and copy it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            source.id, revision=source.revision, allow_patterns=list(PATTERNS)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise RestemError(
            f"the model cannot be downloaded from the Hub: {error}",
            f"{source.id} at {source.revision}",
            "check id, revision and connection; a gated model needs HF_TOKEN; or download it "
            "elsewhere and use kind: local",
        ) from error
    copy(Path(folder), checkpoint)
