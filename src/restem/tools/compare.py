"""Compare two studies, or policies of them: recipes, estimates, costs.

A side is a folder of results or an archive, and a selection of its policies if one is given, as in
`results/demo:S/rest-em/last`. Differences are B minus A. What both sides name, such as two
variants, is compared though the names differ; everything else is compared where names are equal.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Any, Final

from restem.accounts.costs import Cost
from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.pages.document import Document, Section
from restem.pages.ledger import HEADERS as COSTS
from restem.pages.ledger import amount
from restem.statistics.comparison import HALTED, IDENTICAL, PAIRED, UNPAIRED, Comparison, Pair
from restem.statistics.evaluation import BASE, Measured, Row, collect, fewest_seeds
from restem.tools.comparison_sides import SELECTED, WAY, Side, read_side
from restem.tools.recipe_differences import HEADERS, differences, only_on_one
from restem.tools.study_results import Artifact

_BY_VARIANT: Final = ("generated_tokens", "trained_tokens", "flops", "seconds")
_MOST: Final = 100  # differences of recipes that are listed


def compare(first: str, second: str) -> Document:
    """Compare two sides.

    Raises RestemError if a side cannot be read, or if no policy was evaluated on both in one way.
    """
    a, b = read_side(first), read_side(second)
    comparisons = list(_estimates(a, b))
    renamed = _renamed(a, b)
    both = a.artifacts, renamed
    made = a.study.is_made, b.study.is_made
    recipes = differences(both, made, named=not _both_fix(a, b))
    only = [only_on_one(*both), only_on_one(*reversed(both))]
    sides = zip(("A", "B"), only, strict=True)
    more = [f"Only {side} has: {text}." for side, text in sides if text]
    costs = [side.cost(side.artifacts) for side in (a, b)]
    return Document(
        f"{a.label} and {b.label} compared",
        [
            _short(a, b, comparisons, len(recipes), bool(more), costs[0] == costs[1]),
            _recipes(recipes, more),
            _differences(a, b, comparisons),
            _costs(costs),
            *_costs_by_variant(a, b),
        ],
    )


def _both_fix(a: Side, b: Side) -> list[str]:
    return [name for name in SELECTED if name in a.fixed and name in b.fixed]


def _renamed(a: Side, b: Side) -> dict[str, Artifact]:
    """Return the artifacts of B at the paths at which A has those that they are compared with."""
    names = {(1, b.fixed[n]): a.fixed[n] for n in ("model",) if n in _both_fix(a, b)}
    names |= {(2, b.fixed[n]): a.fixed[n] for n in ("variant",) if n in _both_fix(a, b)}

    def renamed(path: str) -> str:
        parts = PurePosixPath(path).parts
        return "/".join(names.get((i, part), part) for i, part in enumerate(parts))

    return {renamed(path): artifact for path, artifact in b.artifacts.items()}


def _estimates(a: Side, b: Side) -> Iterator[tuple[Pair, Row]]:
    """Yield every pair of policies, with each difference."""
    settings = _estimators(a, b)
    comparison = Comparison(settings)
    of_a, of_b = (collect(side.rows, settings.ks) for side in (a, b))
    pairs = _matches(of_a, of_b, _both_fix(a, b))
    if not pairs:
        raise RestemError(
            "nothing was evaluated in the same way on both sides, so there is nothing to compare",
            f"{a.label} has {_listed(of_a)}; {b.label} has {_listed(of_b)}",
            "name policies on both sides, as in results/demo:rest-em, or evaluate them with equal "
            "names of task, split and decoding",
        )
    for first, second in pairs:
        place = f"{first.address['task']}/{first.address['split']}"
        digests = [side.study.problems.get(place, {}) for side in (a, b)]
        common = [
            name
            for name in set(first.problems) & set(second.problems)
            if digests[0].get(name, "A") == digests[1].get(name, "B")
        ]
        read = [
            [side.contents(policy, *inputs) for side, policy in ((a, first), (b, second))]
            for inputs in (("policy",), ("samples", "rewards"))
        ]
        same = [of_first == of_second for of_first, of_second in read]
        pair = Pair(first, second, common, same_weights=same[0], same_evaluation=same[1])
        for row in comparison.rows(pair):
            yield pair, row


def _estimators(a: Side, b: Side) -> Metrics:
    """Return A's estimators, with what B estimates too and both drew enough for."""
    settings, others = a.study.estimators, b.study.estimators
    most = min(max((row["draws"] for row in side.rows), default=1) for side in (a, b))
    both = {
        name: tuple(k for k in getattr(settings, name) if k in getattr(others, name) and k <= most)
        for name in ("ks", "votes", "distinct")
    }
    return settings.model_copy(update={**both, "ks": both["ks"] or (1,)})


def _matches(
    first: Sequence[Measured], second: Sequence[Measured], fixed: Sequence[str]
) -> list[tuple[Measured, Measured]]:
    """Pair policies that were evaluated in one way, by the names that not both sides fix.

    Of two variants with other numbers of iterations, the last ones are paired as well.
    """

    def key(policy: Measured, *but: str) -> tuple[Any, ...]:
        names = [n for n in (*WAY, *SELECTED) if n not in (*fixed, *but)]
        return tuple(policy.address[name] for name in names)

    def last(policies: Sequence[Measured]) -> dict[tuple[Any, ...], Measured]:
        return {key(policy, "iteration"): policy for policy in policies}  # sorted by iteration

    by_key = {key(policy): policy for policy in second}
    pairs = [(policy, by_key[key(policy)]) for policy in first if key(policy) in by_key]
    if "variant" in fixed and "iteration" not in fixed:
        lasts = last(second)
        both = [(p, lasts[place]) for place, p in last(first).items() if place in lasts]
        pairs += [(p, q) for p, q in both if p.address["iteration"] != q.address["iteration"]]
    return pairs


def _listed(policies: Sequence[Measured]) -> str:
    found = {f"{_name(p)} on {' '.join(p.address[n] for n in WAY)}": None for p in policies}
    return ", ".join([*found][:8]) + f" and {len(found) - 8} more" * (len(found) > 8)


def _name(policy: Measured) -> str:
    return "/".join(str(policy.address[name]) for name in SELECTED)


def _short(
    a: Side,
    b: Side,
    comparisons: Sequence[tuple[Pair, Row]],
    recipes: int,
    more: bool,
    same_costs: bool,
) -> Section:
    rows = [row for _, row in comparisons]
    methods = [row["method"].partition(":")[0] for row in rows]
    clear = sum(row["low"] is not None and not row["low"] <= 0 <= row["high"] for row in rows)
    names = {IDENTICAL: "are equal, from the same completions and verdicts"}
    names |= {PAIRED: "are paired by problem", UNPAIRED: "are not paired", HALTED: "have no result"}
    kinds = ", ".join(f"{methods.count(m)} {t}" for m, t in names.items() if m in methods)
    texts = [
        f"A is {a.label}, B is {b.label}.",
        f"Of {len(rows)} differences in estimates, {kinds}. "
        f"{clear} have an interval that excludes 0.",
    ]
    if not (recipes or more) and same_costs and set(methods) == {IDENTICAL}:
        texts.append("No difference: recipes, results and costs are the same.")
    return Section("In short", texts)


def _recipes(rows: Sequence[Sequence[str]], more: Sequence[str]) -> Section:
    if not rows:
        return Section("Recipes", [*more, "What both sides made has the same recipes."])
    left = [f"The first {_MOST} of {len(rows)} differences."] if len(rows) > _MOST else []
    return Section("Recipes", [*more, *left], HEADERS, "llll", rows[:_MOST])


def _differences(a: Side, b: Side, comparisons: Sequence[tuple[Pair, Row]]) -> Section:
    confidence = a.study.estimators.confidence
    texts = [
        f"In per cent and points, with {100 * confidence:g} % intervals. paired: on the problems "
        "that are the same on both sides. unpaired: on all problems of each side, as if drawn "
        "independently. Seeds are different trainings, unless the weights are the same.",
    ]
    pairs = [pair for pair, _ in comparisons if not pair.same_evaluation]
    if any(fewest_seeds([pair.first, pair.second]) == 1 for pair in pairs):
        texts.append("With one training seed, an interval says nothing about another training.")
    rows = []
    for pair, row in comparisons:
        names = dict.fromkeys((_name(pair.first), _name(pair.second)))
        way = " ".join(pair.first.address[name] for name in WAY)
        counts = " / ".join(map(str, dict.fromkeys(row["problems"])))
        cells = [_points(row[name]) for name in ("first", "second")]
        rows.append(
            [" → ".join(names), way, row["quantity"], *cells, _interval(row), counts, row["method"]]
        )
    headers = ("policy", "on", "quantity", "A", "B", "B − A", "problems", "how")
    return Section("Estimates", texts, headers, "lllrrrrl", rows)


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(row: Row) -> str:
    if row["estimate"] is None:
        return "–"
    if row["low"] is None:
        return f"{100 * row['estimate']:.1f}"
    return f"{100 * row['estimate']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def _costs(costs: Sequence[Cost]) -> Section:
    texts = ["Policies and completions with all that they were made from, each once."]
    rows = []
    for field in fields(Cost):
        values = [float(getattr(cost, field.name)) for cost in costs]
        ratio = f"{values[1] / values[0]:.2f}" if values[0] else "–"
        rows.append([COSTS[field.name], *map(amount, values), ratio])
    return Section("Costs", texts, ("cost", "A", "B", "B / A"), "lrrr", rows)


def _costs_by_variant(a: Side, b: Side) -> Iterator[Section]:
    """Yield the costs of variants, where several are compared."""
    names = [name for side in (a, b) for name in dict.fromkeys(row["variant"] for row in side.rows)]
    variants = [name for name in dict.fromkeys(names) if name != BASE]
    if len(variants) < 2 or "variant" in _both_fix(a, b):
        return
    text = "A / B. What several variants use is counted for each of them, and whole."
    rows = []
    for variant in variants:
        costs = [side.cost_of_variant(variant) for side in (a, b)]
        cells = (" / ".join(amount(getattr(c, name)) for c in costs) for name in _BY_VARIANT)
        rows.append([variant, *cells])
    headers = ["variant", *(COSTS[name] for name in _BY_VARIANT)]
    yield Section("Costs by variant", [text], headers, "l" + "r" * len(_BY_VARIANT), rows)
