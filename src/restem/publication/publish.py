"""Publish a study: to a folder, or to the Hugging Face hub; first it is only said what would go."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from restem.config.load import load_study, read_yaml
from restem.errors import RestemError
from restem.pages.ledger import readable
from restem.policies.manifest import CHECKPOINT
from restem.publication.cards import Writer, commit
from restem.publication.contents import DATASET, Contents, Which, contents, lay_out
from restem.publication.licenses import Licenses
from restem.study.graph import StudyGraph


def publish(
    configfile: Path,
    which: Which,
    licenses: Mapping[str, str],
    folder: Path | None,
    owner: str | None,
    private: bool,
    send: bool,
) -> str:
    """Publish what may be published, or say what that is.

    which: the policies; licenses: stated by the user, by model or task; folder: where everything is
    laid out; owner: of the repositories on the hub, to which it is uploaded if `send`. Raises
    RestemError for a study without results, a folder that is not empty, and what the hub refuses.
    """
    config = Path("config")
    graph = StudyGraph(load_study(read_yaml(configfile), config, [configfile]))
    results = Path("results") / graph.study.study
    known = Licenses.of(graph.study, config, licenses)
    found = contents(graph, configfile, results, known, which)
    lines = [*_listed(found)]
    if folder is None and not (owner and send):
        to = f"--hub {owner} --send" if owner else "--output FOLDER, or --hub OWNER --send"
        return "\n".join([*lines, f"Nothing was written; to publish it: {to}"])
    if folder and folder.exists() and any(folder.iterdir()):
        raise RestemError("the folder is not empty", str(folder), "name a new one")
    staging = _staging(folder or results / "published")
    try:
        lay_out(found, staging, link=folder is None)
        Writer(found, owner).write(staging)
        if folder:
            staging.rename(folder)
            lines.append(f"written to {folder}")
        if owner and send:
            lines += _upload(folder or staging, found.study, owner, private)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return "\n".join(lines)


def _staging(folder: Path) -> Path:
    """Return an empty folder beside another; one that a kill left is taken away."""
    staging = folder.absolute().with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def _listed(found: Contents) -> list[str]:
    """Describe what is published and what is left out."""
    lines = [f"{found.study} at commit {commit()}"]
    if commit().endswith(("-dirty", "unknown")):
        lines.append("  note: this checkout has changes, so nobody can reproduce it from a commit")
    for name, policy in found.policies.items():
        files = (found.results / policy.path / CHECKPOINT).iterdir()
        size = readable(sum(file.stat().st_size for file in files if file.is_file()))
        lines.append(f"  model {name}: {size}, license {found.license_of(policy)}")
    lines.append(f"  data set {found.study}: completions at {len(found.draws)} addresses")
    lines += [f"  problems of {task}/{split}" for task, split in found.problems]
    lines += [f"  left out: {line}" for line in found.left_out]
    return lines


def _upload(folder: Path, study: str, owner: str, private: bool) -> list[str]:
    """Upload everything; equal files are not sent again. Raises RestemError."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api, message = HfApi(), f"restem publish: commit {commit()}"
    uploads = [(path, path.name, "model") for path in sorted((folder / "models").glob("*"))]
    lines = []
    for path, name, kind in [*uploads, (folder / DATASET, study, "dataset")]:
        repository = f"{owner}/{name}"
        try:
            api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repository, repo_type=kind, folder_path=path, commit_message=message
            )
        except (HfHubHTTPError, HFValidationError, OSError) as problem:
            reason = str(problem).strip().splitlines()[0]
            raise RestemError(
                f"the upload failed: {reason}",
                f"{kind} {repository}",
                "log in with `hf auth login` and a token that may write; then give the same "
                "command again: what is uploaded already is not sent twice",
            ) from problem
        lines.append(f"uploaded {kind} {repository}: {done.oid}")
    return lines
