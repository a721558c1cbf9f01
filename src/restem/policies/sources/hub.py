"""A base model from the Hugging Face Hub, at a pinned commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from restem.config.models import HubModel
from restem.errors import RestemError
from restem.policies.sources.local import PATTERNS, checkpoint_problems, copy
from restem.tasks.hub import explained


def files(source: HubModel) -> list[Path]:
    """Return no file: a pinned commit cannot change."""
    return []


def fetch(source: HubModel, checkpoint: Path) -> None:
    """Download the checkpoint into the Hub's cache, unless it is there already, and copy it."""
    copy(download(source), checkpoint)


def download(source: HubModel, local_only: bool = False) -> Path:
    """Return the folder of a checkpoint in the Hub's cache; download what is missing.

    Raises RestemError if it cannot be had or is not complete; local_only: if it is not there.
    """
    with _explained(source):
        from huggingface_hub import snapshot_download

        folder = snapshot_download(
            source.id,
            revision=source.revision,
            allow_patterns=list(PATTERNS),
            local_files_only=local_only,
        )
    problems = checkpoint_problems(Path(folder))
    if problems:
        raise RestemError(
            "the model is not complete: " + "; ".join(problems),
            f"{source.id} at {source.revision}, in {folder}",
            "remove that folder and fetch the model again; if it is complete, name another model",
        )
    return Path(folder)


def check_access(source: HubModel) -> None:
    """Ask the Hub for the head of a file. Raises RestemError if it does not give it to us."""
    with _explained(source):
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(source.id, "config.json", revision=source.revision)
        get_hf_file_metadata(url, timeout=10)


def size(source: HubModel) -> int:
    """Return the bytes of a checkpoint as the Hub states them. Raises RestemError if it cannot."""
    with _explained(source):
        from huggingface_hub import HfApi

        api = HfApi()
        about = api.model_info(source.id, revision=source.revision, files_metadata=True, timeout=10)
    found = about.siblings or []
    read = [file for file in found if any(fnmatch(file.rfilename, name) for name in PATTERNS)]
    return sum(file.size or 0 for file in read)


@contextmanager
def _explained(source: HubModel) -> Iterator[None]:
    from huggingface_hub import errors

    http_error = errors.HTTPError  # type: ignore[attr-defined]
    try:
        yield
    except (http_error, errors.EntryNotFoundError, OSError, ValueError, RuntimeError) as error:
        command = f"hf download {source.id} --revision {source.revision}"
        raise explained(error, source.id, source.revision, "the model", command) from error
