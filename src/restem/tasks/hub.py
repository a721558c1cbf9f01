"""Download files of the Hugging Face hub at a pinned commit, and explain what goes wrong.

Nothing of a data set is run, and no folder is listed: files are named one by one.
"""

import os
from pathlib import Path

from restem.errors import RestemError


def download(name: str, revision: str, file: str, local_only: bool = False) -> Path:
    """Return a file of a data set, from the hub's cache or from the hub.

    Raises RestemError if it is in neither; local_only: if it is not in the cache.
    """
    # Imported here, because a local study must not need the hub's client.
    from huggingface_hub import errors, hf_hub_download

    http_error = errors.HTTPError  # type: ignore[attr-defined]
    try:
        path = hf_hub_download(
            name, file, repo_type="dataset", revision=revision, local_files_only=local_only
        )
    except (http_error, errors.EntryNotFoundError, OSError, ValueError) as error:
        raise explained(error, f"datasets/{name}", revision, file) from error
    return Path(path)


def explained(error: BaseException, repository: str, revision: str, file: str) -> RestemError:
    """Return an error of the hub's client as what happened, where, and what to do.

    repository: its name, after `datasets/` for a data set.
    """
    what, fix = _diagnosis(error, repository)
    return RestemError(f"{file} {what}", f"{repository} at {revision}", fix)


def _diagnosis(error: BaseException, repository: str) -> tuple[str, str]:
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{repository}"
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
    if isinstance(cause, errors.GatedRepoError):
        return (
            "is gated: the hub gives it only to users who have accepted its terms",
            f"accept the terms at {page} while you are logged in, then put a token with read "
            "access (https://huggingface.co/settings/tokens) into HF_TOKEN, or run "
            "`hf auth login` once; jobs on a cluster see neither unless your home or the "
            "environment is passed on",
        )
    if isinstance(cause, errors.RepositoryNotFoundError):
        return (
            "cannot be read: the hub has no such repository, or it is private",
            f"correct the id, or give a token that may read {page} in HF_TOKEN",
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return (
            "cannot be read: the repository has no such commit",
            f"name a commit that {page} lists under `History`",
        )
    if isinstance(cause, errors.EntryNotFoundError) and not isinstance(cause, OSError | None):
        return _no_file(page)
    if isinstance(cause, errors.RemoteEntryNotFoundError):
        return _no_file(page)
    return _unreachable(error, cause, constants.ENDPOINT)


def _no_file(page: str) -> tuple[str, str]:
    return "does not exist at that commit", f"name a file that {page} lists under `Files`"


def _unreachable(
    error: BaseException, cause: BaseException | None, endpoint: str
) -> tuple[str, str]:
    fetch = "fetch it where there is a network (`restem data fetch --configfile <study>`)"
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if offline or cause is None:
        return (
            "is not in the hub's cache on this machine, and no network may be used",
            f"{fetch} with the same HF_HOME, or unset HF_HUB_OFFLINE",
        )
    first = str(cause or error).strip().partition("\n")[0]
    if "Consistency check failed" in first or "peer closed" in first:
        return (
            f"was downloaded in part only: {first}",
            "run the same command again; what has been downloaded completely is kept",
        )
    return (
        f"cannot be downloaded from {endpoint}: {first or type(cause).__name__}",
        f"check the network and proxy, and try again; or {fetch}",
    )
