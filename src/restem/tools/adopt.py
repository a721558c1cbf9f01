"""Take over the results of somebody else where the recipes are equal.

Every artifact of the other study whose contents match its seal is put at the same address, by hard
links or copies, unless something lies there already. Then the run is planned. What the plan calls
stale by itself was made from another recipe, and is removed again; so what stays is exactly what a
run of one's own would have made.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restem.artifacts.seals import (
    is_intact,
    read_seal,
    recorded_outputs,
    seals,
    state_path,
    write_seal,
)
from restem.artifacts.store import remove
from restem.artifacts.transfer import replace_by_links_or_copies
from restem.config.load import load_study, read_yaml
from restem.errors import RestemError
from restem.tools.dry_run import dry_run


def adopt(other: Path, configfile: Path | None) -> str:
    """Adopt results; return what was adopted, what was refused, and what differs.

    other: the folder results/<study> of somebody else. Raises RestemError if it holds no seals, or
    is the study's own folder.
    """
    config = configfile or Path("config/demo.yaml")
    own = Path("results") / load_study(read_yaml(config), Path("config")).study
    if own.exists() and own.resolve() == other.resolve():
        raise RestemError("these are the results of this study itself", str(other), "name others")
    sealed = list(seals(other))
    if not sealed:
        raise RestemError(
            "there are no sealed artifacts",
            str(other),
            "name the folder of a study, results/<study>, of somebody who runs the same study",
        )
    adopted, refused = [], []
    for first_output, seal in sealed:
        place = own / first_output.relative_to(other)
        if read_seal(place) is not None or _exists(place, seal):
            continue
        if bad := _unsound(first_output, seal):
            refused.append(bad)
        else:
            _take(first_output, place, seal)
            adopted.append(place)
    differing = _remove_what_differs(adopted, config)
    kept = len(adopted) - len(differing)
    lines = [f"adopted {kept} of {len(sealed)} artifacts from {other}"]
    lines += [f"refused {path}: it does not match its seal" for path in refused]
    lines += [f"left out {path}: {reason}" for path, reason in differing.items()]
    return "\n".join(lines)


def _exists(place: Path, seal: Mapping[str, Any]) -> bool:
    return any((place.parent / record["path"]).exists() for record in seal["outputs"].values())


def _unsound(first_output: Path, seal: Mapping[str, Any]) -> Path | None:
    """Return an output that is not what its seal says; pruned ones have nothing to compare."""
    for path, record in recorded_outputs(first_output, seal):
        if not (record.get("pruned") and not path.exists()):
            if not is_intact(path, record, verify=True):
                return path
    return None


def _take(first_output: Path, place: Path, seal: Mapping[str, Any]) -> None:
    """Put the outputs of a job in their place, then their seal."""
    for record in seal["outputs"].values():
        source = first_output.parent / record["path"]
        if source.exists():
            (place.parent / record["path"]).parent.mkdir(parents=True, exist_ok=True)
            replace_by_links_or_copies(source, place.parent / record["path"])
    write_seal(place, seal)


def _remove_what_differs(adopted: list[Path], config: Path) -> dict[Path, str]:
    """Remove what would be made again for reasons of its own; return the first reason of each."""
    planned, _ = dry_run(["--configfile", str(config)])
    reasons = {Path(job.output): job.reasons[0] for job in planned if job.reasons}
    differing = {place: reasons[place] for place in adopted if place in reasons}
    for place in differing:
        seal = read_seal(place)
        state_path(place, "seal.json").unlink()
        for record in seal["outputs"].values() if seal else ():
            remove(place.parent / record["path"])
    return differing
