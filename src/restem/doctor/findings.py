"""What a check finds, and the list of all checks.

A check is a generator of findings under the decorator `check`, in a module of this folder that
`restem.doctor.diagnosis` lists.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from restem.errors import RestemError

Level: TypeAlias = Literal["ok", "skipped", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis: a fact, why a check does not apply, or a problem and its way out."""

    level: Level
    text: str
    fix: str = ""


Findings: TypeAlias = Iterator[Finding]


def ok(text: str) -> Finding:
    """Return what is as it has to be."""
    return Finding("ok", text)


def skipped(text: str) -> Finding:
    """Return why something is not checked."""
    return Finding("skipped", text)


def warning(text: str, fix: str) -> Finding:
    """Return what may go wrong, and what to do."""
    return Finding("warning", text, fix)


def error(text: str, fix: str) -> Finding:
    """Return what would stop a run, and what to do."""
    return Finding("error", text, fix)


def described(problem: RestemError) -> Finding:
    """Return a problem that something else has found."""
    return error(f"{problem.what} ({problem.where})", problem.fix)


@dataclass(frozen=True)
class Check:
    """A check: the heading that its findings stand under, and whether it needs a study."""

    group: str
    run: Callable[[Any], Findings]
    needs_study: bool

    def findings(self, subject: Any) -> list[Finding]:
        """Return all findings; what the check cannot look at is one of them."""
        found: list[Finding] = []
        try:
            found.extend(self.run(subject))
        except RestemError as problem:
            found.append(described(problem))
        return found


CHECKS: Final[list[Check]] = []


def check(
    group: str, needs_study: bool = True
) -> Callable[[Callable[[Any], Findings]], Callable[[Any], Findings]]:
    """Add the function below to the checks.

    It gets a `Subject`, or, if it needs no study, a `Place`.
    """

    def add(run: Callable[[Any], Findings]) -> Callable[[Any], Findings]:
        CHECKS.append(Check(group, run, needs_study))
        return run

    return add
