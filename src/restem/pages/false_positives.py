"""The audit as Markdown: a table a check, a line a policy and origin of its solutions."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

ABOUT: Final = {
    "second grader": "Math-Verify compares the answer with the gold answer. It sees no wrong step, "
    "and it is no better than our verifier: look at the rejected ones.",
    "equations": "A solution is rejected when an equation of numbers in it is wrong, whatever its "
    "answer is.",
    "held-back tests": "Programs run the tests of their problem that did not decide the reward.",
}
_HEAD: Final = (
    "| task | model | variant | iteration | solutions | kept | audited | undecided | rejected | "
    "already known | rate, % |\n| :-- | :-- | :-- | --: | :-- |" + " --: |" * 6
)


def markdown(
    rows: Sequence[Mapping[str, Any]], note: str, confidence: float, without: Mapping[str, str]
) -> str:
    """Write what every check found, over all training seeds; without: tasks left out, and why."""
    whole = [row for row in rows if row["seed"] is None]
    parts = [
        f"# False positives among what policies were trained on — {note}\n",
        "A sample of the kept solutions, judged a second time; first tries and those that were "
        "found with the answer as a hint (rationalised) apart. Undecided ones count neither way. "
        "Already known: rejected ones that the verifier had not accepted either, which some "
        f"methods keep. In brackets: {100 * confidence:g} % Wilson intervals in which the "
        "solutions of one problem count as one.\n",
    ]
    parts += [f"Not audited: task {task}; {why}.\n" for task, why in without.items()]
    if not whole:
        parts.append("No solution of a model was kept.\n")
    for check in dict.fromkeys(row["check"] for row in whole):
        lines = [_line(row) for row in whole if row["check"] == check]
        parts.append("\n".join([f"## {check}\n", f"{ABOUT[check]}\n", _HEAD, *lines, ""]))
    return "\n".join(parts)


def _line(row: Mapping[str, Any]) -> str:
    names = ("task", "model", "variant", "iteration", "origin", "kept", "audited", "undecided")
    cells = [str(row[name]) for name in (*names, "rejected", "known")]
    return f"| {' | '.join(cells)} | {_rate(row)} |"


def _rate(row: Mapping[str, Any]) -> str:
    if row["estimate"] is None:
        return "–"
    numbers = [f"{100 * row[name]:.1f}" for name in ("estimate", "low", "high")]
    return "{} [{}, {}]".format(*numbers)
