"""The rates of false positives as Markdown: a table per check, a line per policy and origin."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from restem.pages.markdown import table

ABOUT: Final = {
    "second grader": "Math-Verify compares the answer with the gold answer. It sees no wrong step, "
    "and it is no better than our verifier: look at the rejected ones.",
    "equations": "A solution is rejected when an equation of numbers in it is wrong, whatever its "
    "answer is.",
    "held-back tests": "Programs run the tests of their problem that did not decide the reward.",
}
_COLUMNS: Final = {
    "task": "task",
    "model": "model",
    "variant": "variant",
    "iteration": "iteration",
    "origin": "solutions",
    "kept": "kept",
    "checked": "checked",
    "undecided": "undecided",
    "rejected": "rejected",
    "known": "already known",
}


def markdown(
    rows: Sequence[Mapping[str, Any]], label: str, confidence: float, without: Mapping[str, str]
) -> str:
    """Write the rates of every check over all training seeds; without: tasks left out, and why."""
    over_seeds = [row for row in rows if row["seed"] is None]
    parts = [
        f"# False positives among what policies were trained on — {label}\n",
        "A sample of the kept solutions, judged a second time; first tries and those that were "
        "found with the answer as a hint (rationalised) apart. Undecided ones count neither way. "
        "Already known: rejected ones that the verifier had not accepted either, which some "
        f"methods keep. In brackets: {100 * confidence:g} % Wilson intervals in which the "
        "solutions of one problem count as one.\n",
    ]
    parts += [f"Not checked: task {task}; {why}.\n" for task, why in without.items()]
    if not over_seeds:
        parts.append("No solution of a model was kept.\n")
    for check in dict.fromkeys(row["check"] for row in over_seeds):
        lines = [
            [*(str(row[name]) for name in _COLUMNS), _rate(row)]
            for row in over_seeds
            if row["check"] == check
        ]
        rates = table([*_COLUMNS.values(), "rate, %"], "lllrlrrrrrr", lines)
        parts.append(f"## {check}\n\n{ABOUT[check]}\n\n{rates}\n")
    return "\n".join(parts)


def _rate(row: Mapping[str, Any]) -> str:
    if row["estimate"] is None:
        return "–"
    estimate, low, high = (f"{100 * row[name]:.1f}" for name in ("estimate", "low", "high"))
    return f"{estimate} [{low}, {high}]"
