"""The study itself: splits, decodings, figures, estimates and names against each other."""

from collections.abc import Iterable
from pathlib import Path

from restem.config.errors import ConfigurationError
from restem.config.load import in_full, known_contradictions, load_study, read_yaml
from restem.config.study import Study
from restem.doctor.findings import Finding, Findings, check, described, error, ok, skipped
from restem.doctor.subject import Subject
from restem.errors import RestemError
from restem.study.checks import known_problems
from restem.study.references import known_shortages

CORRECT = "correct the key that it names"


def read_study(path: Path, config: Path) -> tuple[Study | None, list[Finding]]:
    """Return the study of a file and its contradictions, or None and what is wrong with the file.

    config: folder of the repository's configuration.
    """
    try:
        stated = in_full(read_yaml(path), config)
        study = load_study(stated, config, checked=False)
        return study, list(from_lines(known_contradictions(study, stated)))
    except ConfigurationError as problem:
        return None, list(from_lines(problem.lines))
    except RestemError as problem:
        return None, [described(problem)]


def from_lines(lines: Iterable[str]) -> Findings:
    """Turn lines such as `key: problem; what to do` into errors."""
    for line in lines:
        text, _, fix = line.partition("; ")
        yield error(text, fix or CORRECT)


@check("study")
def is_consistent(subject: Subject) -> Findings:
    """Look for what a run would die of: splits, shots, k, figures, claims, names."""
    problems = known_problems(subject.graph)
    results = subject.root / "results" / subject.study.study
    yield from from_lines([*problems, *known_shortages(subject.study, results)])
    if not problems and subject.is_sound:
        study = subject.study
        yield ok(
            f"{subject.path}: {_count(study.variants, 'variant')}, "
            f"{_count(study.evaluations, 'evaluation')}, {_count(study.seeds, 'training seed')}; "
            "splits, decodings, estimates and figures fit together"
        )


def _count(things: Iterable[object], name: str) -> str:
    count = len(list(things))
    return f"{count} {name}{'' if count == 1 else 's'}"


@check("study")
def has_graders(subject: Subject) -> Findings:
    """Say which results a human has to give."""
    for name, block in subject.study.tasks.items():
        if not subject.graph.by_hand(name):
            continue
        if block.graded_sheets and block.graded_sheets.is_dir():
            yield ok(f"{name}: a human grades it, in {block.graded_sheets}")
        else:
            yield skipped(
                f"{name}: a human grades it; its results are missing until then "
                "(docs/how-to/grade-by-hand.md)"
            )
