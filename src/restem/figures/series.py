"""Select the rows that a figure shows, and describe in words what is missing from them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from restem.errors import RestemError
from restem.statistics.evaluation import BASE, SCORE

Row: TypeAlias = Mapping[str, Any]


def select(
    summary: Sequence[Row], splits: Iterable[str], quantity: str, decoding: str | None = None
) -> list[Row]:
    """Return the rows of some splits with one quantity, or with all k of `pass@` or `maj@`.

    Raises RestemError if no row matches, or if rows of several decodings do.
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
        raise RestemError("the summary has nothing to plot", where, "run the evaluations first")
    decodings = sorted({row["decoding"] for row in rows})
    if len(decodings) > 1:
        raise RestemError(
            f"results of several decodings fit this figure: {', '.join(decodings)}",
            where,
            "plot it in an experiment whose figure names one of them under `decodings`",
        )
    return rows


def without_exams(rows: Sequence[Row]) -> list[Row]:
    """Leave out the tasks that a human graded: they have a score, and no curve over k."""
    exams = {row["task"] for row in rows if row["quantity"] == SCORE}
    return [row for row in rows if row["task"] not in exams]


def over_seeds(rows: Iterable[Row]) -> list[Row]:
    """Return the estimates over all training seeds."""
    return [row for row in rows if row["seed"] is None]


def names(rows: Iterable[Row], column: str, first: str | None = None) -> list[str]:
    """List the values of a column in alphabetical order, except that `first` comes first."""
    return sorted({str(row[column]) for row in rows}, key=lambda name: (name != first, name))


def rank(variant: str, references: Collection[str]) -> tuple[bool, bool, str]:
    """Return a sort key of variants: the base model, the references, the others."""
    return variant != BASE, variant not in references, variant


def matching(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """Return the rows with these values, sorted by iteration and k."""
    matches = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return sorted(matches, key=lambda row: (row["iteration"], row["k"]))


def methods(rows: Iterable[Row], references: Collection[str]) -> list[str]:
    """List the variants that are neither the base model nor a reference."""
    return [name for name in names(rows, "variant") if name != BASE and name not in references]


def by_iteration(rows: Sequence[Row], **address: object) -> dict[int, Row]:
    """Return a variant's estimates by iteration; iteration 0 is the base model."""
    base = matching(rows, **(address | {"variant": BASE}))
    estimates = [row for row in [*base, *matching(rows, **address)] if row["estimate"] is not None]
    return {row["iteration"]: row for row in estimates}


def last_iteration(rows: Sequence[Row], **address: object) -> list[Row]:
    """Return the estimates of a variant's last iteration that has any."""
    estimates = [row for row in matching(rows, **address) if row["estimate"] is not None]
    return [row for row in estimates if row["iteration"] == estimates[-1]["iteration"]]


def consecutive(iterations: Iterable[int]) -> list[list[int]]:
    """Split iterations into consecutive runs, so that no line is drawn across a gap."""
    runs: list[list[int]] = []
    for iteration in sorted(iterations):
        if runs and runs[-1][-1] == iteration - 1:
            runs[-1].append(iteration)
        else:
            runs.append([iteration])
    return runs


def with_decoding(quantity: str) -> str:
    """Return a quantity's name with the kind of decoding that gives it."""
    return "accuracy, greedy" if quantity == "accuracy" else f"{quantity}, sampled"


def sizes(rows: Iterable[Row]) -> str:
    """Describe how many problems and training seeds some rows are based on."""
    scored = [row for row in rows if row["estimate"] is not None]
    if not scored:
        return "no results"
    seeds = [row["seeds"] for row in scored if row["variant"] != BASE] or [1]
    problems = _span([row["problems"] for row in scored])
    return f"n = {problems} problems, {_span(seeds)} training seed{'s' if max(seeds) > 1 else ''}"


def interval_note(confidence: float, marks: str = "Bars") -> str:
    """Describe the intervals; marks: how the figure shows them."""
    return (
        f"{marks}: {100 * confidence:g} % bootstrap intervals over problems"
        " and, where there are several, training seeds."
    )


def remarks(rows: Iterable[Row], references: Collection[str], last: bool = False) -> list[str]:
    """Name the policies that halted, iterations without results, and variants with few solutions.

    Few solutions: not every training problem had the reference solution that the variant uses.
    last: the figure shows last iterations, so variants evaluated at their last one lack nothing.
    """
    estimates = over_seeds(rows)
    gaps = _gaps(estimates, references, last)
    return [*halts(estimates), *gaps, *few_solutions(estimates)]


def halts(rows: Iterable[Row]) -> list[str]:
    """Name the policies that halted, with the reason."""
    halted = {
        f"{row['model']} {row['variant']}, iteration {row['iteration']}: halted ({row['halted']})."
        for row in rows
        if row["halted"]
    }
    return sorted(halted)


def few_solutions(rows: Iterable[Row]) -> list[str]:
    """Name the variants that train on reference solutions which not every problem has."""
    counted: dict[str, list[str]] = {}
    for row in rows:
        if row.get("references"):
            counted.setdefault(row["references"], []).append(row["variant"])
    return [
        f"{', '.join(sorted(set(variants)))}: {count} training problems have a reference solution."
        for count, variants in sorted(counted.items())
    ]


def _gaps(rows: Sequence[Row], references: Collection[str], last: bool) -> list[str]:
    places: dict[str, list[str]] = {}
    for key in sorted({(row["task"], row["split"], row["model"], row["variant"]) for row in rows}):
        task, split, model, variant = key
        of_variant = matching(rows, task=task, split=split, model=model, variant=variant)
        iterations = {row["iteration"] for row in of_variant}
        gaps = ", ".join(str(i) for i in range(1, max(iterations)) if i not in iterations)
        if gaps and variant not in references and not (last and len(iterations) == 1):
            text = f"{model} {variant}: no results for iteration {gaps}"
            places.setdefault(text, []).append(f"{task} {split}")
    return [f"{text} ({', '.join(where)})." for text, where in places.items()]


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
