"""Run all checks, and print what they find: what `restem doctor` does."""

import importlib
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from restem.config.load import load_families
from restem.deployment.engines import with_engines
from restem.deployment.profile import Profile, find_profile
from restem.deployment.site import Site, load_site
from restem.doctor.configuration import read_study
from restem.doctor.findings import CHECKS, Finding, described
from restem.doctor.subject import Place, Subject
from restem.errors import RestemError

GROUPS: Final = ("study", "models", "data", "machine", "folders", "cluster", "images")
MODULES: Final = ("configuration", "models", "data", "machine", "folders", "cluster", "images")
SLURM: Final = "slurm"

Diagnosis = dict[str, list[Finding]]
"""Findings by group, in the order of the groups."""


def diagnose(path: Path, profile: str | None = None, root: Path = Path()) -> Diagnosis:
    """Return everything that can be known of a study before a job starts.

    path: of the study. profile: the Snakemake profile to check; by default `slurm` where there is a
    SLURM. root: of the clone. Problems of the study do not hide those of the machine, and the other
    way round.
    """
    for module in MODULES:
        importlib.import_module(f"restem.doctor.{module}")
    found: Diagnosis = {group: [] for group in GROUPS}
    site = _site(found)
    place = Place(root, site, _profile(profile, found), profile is not None)
    study, problems = read_study(path, root / "config")
    found["study"] += problems
    subject = None
    if study is not None:
        study = with_engines(study, place.engine)
        families = load_families(root / "config")
        subject = Subject(
            **vars(place), path=path, study=study, families=families, is_sound=not problems
        )
    for check in CHECKS:
        if not check.needs_study:
            found[check.group] += check.findings(place)
        elif subject is not None:
            found[check.group] += check.findings(subject)
    if subject is None:
        what = "models, data, machine and images are checked when the study can be read"
        found["study"].append(Finding("skipped", what))
    return {group: list(dict.fromkeys(listed)) for group, listed in found.items()}


def _site(found: Diagnosis) -> Site:
    try:
        return load_site()
    except RestemError as problem:
        found["cluster"].append(described(problem))
        return Site()


def _profile(name: str | None, found: Diagnosis) -> Profile | None:
    if name is None and shutil.which("sinfo") is None:
        return None
    try:
        profile = find_profile(name or SLURM)
    except RestemError as problem:
        found["cluster"].append(described(problem))
        return None
    found["cluster"].append(Finding("ok", f"checked as for `--profile {name or SLURM}`"))
    return profile


def in_words(found: Diagnosis) -> str:
    """Return a diagnosis for a person: one line for each finding, and what to do about it."""
    lines = []
    for group, listed in found.items():
        if listed:
            lines += ["", group, *(line for finding in listed for line in _lines(finding))]
    return "\n".join([*lines[1:], "", _summary(found)])


def _lines(finding: Finding) -> Sequence[str]:
    first, *others = finding.text.splitlines()
    lines = [f"  {finding.level:<8} {first}", *(f"{'':11}{line}" for line in others)]
    return [*lines, textwrap.indent(f"-> {finding.fix}", " " * 11)] if finding.fix else lines


def _summary(found: Diagnosis) -> str:
    listed = [finding for findings in found.values() for finding in findings]
    counts = {
        level: sum(finding.level == level for finding in listed)
        for level in ("error", "warning", "ok", "skipped")
    }
    text = f"{_plural(counts['error'], 'error')}, {_plural(counts['warning'], 'warning')}"
    verdict = "a run would stop" if stops(found) else "nothing that would stop a run is known"
    return f"{text}, {counts['ok']} ok, {counts['skipped']} not checked: {verdict}"


def _plural(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def stops(found: Diagnosis) -> bool:
    """Tell whether something would stop a run."""
    return any(finding.level == "error" for listed in found.values() for finding in listed)
