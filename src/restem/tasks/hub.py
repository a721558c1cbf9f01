"""Download files of the Hugging Face hub at a pinned commit, and explain what goes wrong.

Nothing of a data set is run, and no folder is listed: files are named one by one.
"""

import errno
import os
from pathlib import Path
from typing import Final

from restem.errors import RestemError

DISK: Final = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR),
    errno.EEXIST,
)
FETCH: Final = "restem data fetch --configfile <study>"


class UnreachableError(RestemError):
    """The hub cannot be asked: there is no network, or it must not be used."""


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
    except (http_error, errors.EntryNotFoundError, OSError, ValueError, RuntimeError) as error:
        raise explained(error, f"datasets/{name}", revision, file) from error
    return Path(path)


def size(name: str, revision: str, file: str) -> int | None:
    """Return the size of a file of a data set in bytes, as the hub states it.

    Raises RestemError if the hub cannot be asked, or does not have the file.
    """
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(name, file, repo_type="dataset", revision=revision)
    http_error = errors.HTTPError  # type: ignore[attr-defined]
    try:
        return get_hf_file_metadata(url, timeout=10).size
    except (http_error, OSError, ValueError) as error:
        raise explained(error, f"datasets/{name}", revision, file) from error


def explained(
    error: BaseException, repository: str, revision: str, file: str, fetch: str = FETCH
) -> RestemError:
    """Return an error of the hub's client as what happened, where, and what to do.

    repository: its name, after `datasets/` for a data set. fetch: the command that fetches it.
    """
    from huggingface_hub import constants, errors

    where = f"{repository} at {revision}"
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
    known = _refusal(cause, f"{constants.ENDPOINT}/{repository}")
    if known:
        return RestemError(f"{file} {known[0]}", where, known[1])
    first = str(cause or "").strip().partition("\n")[0]
    if "Consistency check failed" in first or "peer closed" in first:
        return RestemError(
            f"{file} was downloaded in part only: {first}",
            where,
            "run the same command again; files that are complete are kept",
        )
    if isinstance(cause, OSError) and cause.errno in DISK:
        return RestemError(
            f"{file} cannot be kept in the hub's cache: {cause.strerror}",
            str(cause.filename or constants.HF_HUB_CACHE),
            "name a folder in HF_HOME that you can write to and that has space",
        )
    what, fix = _unreachable(cause, constants.ENDPOINT, fetch)
    return UnreachableError(f"{file} {what}", where, fix)


def _refusal(cause: BaseException | None, page: str) -> tuple[str, str] | None:
    """Return what the hub answered, and what to do; None if it did not answer."""
    from huggingface_hub import errors

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
            f"correct the id, or put a token that may read {page} into HF_TOKEN",
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return (
            "cannot be read: the repository has no such commit",
            f"name a commit that {page} lists under `History`",
        )
    if isinstance(cause, errors.EntryNotFoundError):
        return "does not exist at that commit", f"name a file that {page} lists under `Files`"
    return None


def _unreachable(cause: BaseException | None, endpoint: str, command: str) -> tuple[str, str]:
    fetch = f"fetch it where there is a network (`{command}`)"
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if offline:
        return (
            "is not in the hub's cache on this machine, and no network may be used",
            f"{fetch} with the same HF_HOME, or unset HF_HUB_OFFLINE",
        )
    if cause is None:
        return "is not in the hub's cache on this machine", f"{fetch} with the same HF_HOME"
    first = str(cause).strip().partition("\n")[0]
    return (
        f"cannot be downloaded from {endpoint}: {first or type(cause).__name__}",
        f"check the network and proxy, and try again; or {fetch}",
    )
