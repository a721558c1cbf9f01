"""Pick out of the summary what a figure draws, and say in words what is missing from it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from restem.errors import RestemError
from restem.statistics.evaluation import BASE, SCORE, is_reference

Row: TypeAlias = Mapping[str, Any]


def select(
    summary: Sequence[Row], splits: Iterable[str], quantity: str, decoding: str | None = None
) -> list[Row]:
    """Return the rows of some splits with one quantity, or all pass@k for `pass@`.

    Raises RestemError when nothing is left, or when several decodings are and none was named.
    """
    wanted = set(splits)
    rows = [
        row
        for row in summary
        if row["split"] in wanted
        and quantity in (row["quantity"], row["quantity"].split("@")[0] + "@")
        and decoding in (None, row["decoding"])
    ]
    where = f"split {' and '.join(sorted(wanted))}, quantity {quantity}"
    if not rows:
        raise RestemError("the summary has nothing to draw", where, "run the evaluations first")
    decodings = sorted({row["decoding"] for row in rows})
    if len(decodings) > 1:
        raise RestemError(
            f"several decodings could be drawn: {', '.join(decodings)}", where, "name one of them"
        )
    return rows


def without_exams(rows: Sequence[Row]) -> list[Row]:
    """Leave out the tasks that a human graded: they have a score, and no curve over k."""
    exams = {row["task"] for row in rows if row["quantity"] == SCORE}
    return [row for row in rows if row["task"] not in exams]


def whole(rows: Iterable[Row]) -> list[Row]:
    """Return the rows over all seeds."""
    return [row for row in rows if row["seed"] is None]


def names(rows: Iterable[Row], key: str, first: str | None = None) -> list[str]:
    """List the values of a column in order, with one of them first."""
    return sorted({str(row[key]) for row in rows}, key=lambda name: (name != first, name))


def matching(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """Return the rows whose cells are as wanted, by iteration and then k."""
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return sorted(found, key=lambda row: (row["iteration"], row["k"]))


def loops(rows: Iterable[Row]) -> list[str]:
    """List the variants that iterate; base and SFT variants are references."""
    return [name for name in names(rows, "variant") if not is_reference(name)]


def references(rows: Iterable[Row]) -> list[str]:
    """List the SFT variants."""
    return [name for name in names(rows, "variant") if is_reference(name) and name != BASE]


def path_of(rows: Sequence[Row], **address: object) -> list[Row]:
    """Return a variant's estimates by iteration, the base model's as iteration 0."""
    base = matching(rows, **(address | {"variant": BASE}))
    return [row for row in [*base, *matching(rows, **address)] if row["estimate"] is not None]


def last_of(rows: Sequence[Row], **address: object) -> list[Row]:
    """Return the estimates of a variant's last iteration that has any."""
    found = [row for row in matching(rows, **address) if row["estimate"] is not None]
    return [row for row in found if row["iteration"] == found[-1]["iteration"]]


def sizes(rows: Iterable[Row]) -> str:
    """Say how many problems and training seeds stand behind some rows."""
    scored = [row for row in rows if row["estimate"] is not None]
    if not scored:
        return "no results"
    seeds = [row["seeds"] for row in scored if row["variant"] != BASE] or [1]
    problems = _span([row["problems"] for row in scored])
    return f"n = {problems} problems, {_span(seeds)} training seed{'s' if max(seeds) > 1 else ''}"


def unbroken(iterations: Iterable[int]) -> list[list[int]]:
    """Split iterations into runs without a gap, so that no line crosses what is missing."""
    parts: list[list[int]] = []
    for iteration in sorted(iterations):
        if parts and parts[-1][-1] == iteration - 1:
            parts[-1].append(iteration)
        else:
            parts.append([iteration])
    return parts


def remarks(rows: Iterable[Row]) -> list[str]:
    """Say which policies halted and why, and which iterations are missing between others."""
    found = whole(rows)
    return [*halts(found), *_missing(found)]


def halts(rows: Iterable[Row]) -> list[str]:
    """Say which policies halted and why."""
    halted = {
        f"{row['model']} {row['variant']}, iteration {row['iteration']}: halted ({row['halted']})."
        for row in rows
        if row["halted"]
    }
    return sorted(halted)


def interval_note(confidence: float, what: str = "Bars") -> str:
    """Say what the intervals are."""
    return (
        f"{what}: {100 * confidence:g} % bootstrap intervals over problems"
        " and, where there are several, training seeds."
    )


def _missing(rows: Sequence[Row]) -> list[str]:
    where: dict[str, list[str]] = {}
    for key in sorted({(row["task"], row["split"], row["model"], row["variant"]) for row in rows}):
        task, split, model, variant = key
        mine = matching(rows, task=task, split=split, model=model, variant=variant)
        seen = {row["iteration"] for row in mine}
        gaps = ", ".join(str(i) for i in range(1, max(seen)) if i not in seen)
        if gaps and not is_reference(variant):
            text = f"{model} {variant}: no results for iteration {gaps}"
            where.setdefault(text, []).append(f"{task} {split}")
    return [f"{text} ({', '.join(places)})." for text, places in where.items()]


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
