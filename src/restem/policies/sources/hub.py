"""A base model from the Hugging Face Hub, at a pinned commit."""

from pathlib import Path

from restem.config.models import HubModel
from restem.policies.sources.local import PATTERNS, copy
from restem.tasks.hub import explained


def files(source: HubModel) -> list[Path]:
    """Return no file: a pinned commit cannot change."""
    return []


def fetch(source: HubModel, checkpoint: Path) -> None:
    """Download the checkpoint into the Hub's cache, unless it is there already, and copy it."""
    from huggingface_hub import errors, snapshot_download

    http_error = errors.HTTPError  # type: ignore[attr-defined]
    try:
        folder = snapshot_download(
            source.id, revision=source.revision, allow_patterns=list(PATTERNS)
        )
    except (http_error, errors.EntryNotFoundError, OSError, ValueError, RuntimeError) as error:
        command = f"hf download {source.id} --revision {source.revision}"
        raise explained(error, source.id, source.revision, "the model", command) from error
    copy(Path(folder), checkpoint)
