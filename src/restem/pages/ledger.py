"""The ledger as Markdown: one table of costs per scope."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from restem.artifacts.schemas.estimates import ALONE, SHARED, SUM
from restem.pages.markdown import table

HEADERS: Final = {
    "draws": "draws",
    "prompt_tokens": "prompt tokens",
    "cached_tokens": "cached tokens",
    "generated_tokens": "generated tokens",
    "trained_tokens": "trained tokens",
    "flops": "FLOPs",
    "seconds": "seconds",
    "cpu_seconds": "CPU-seconds",
    "gpu_seconds": "GPU-seconds",
}
SCOPES: Final = {
    "study": "The whole study, each artifact once",
    "experiment": "Experiments, with their evaluations: alone / shared",
    "variant": "Variants, with their evaluations: alone / shared",
    "policy": "Policies, one seed, with all that made them: alone / shared",
}


def markdown(rows: Sequence[Mapping[str, Any]], label: str) -> str:
    """Write the sums of all scopes."""
    parts = [f"# What it cost — {label}\n"]
    for scope, title in SCOPES.items():
        if cells := list(cells_of_scope(rows, scope)):
            columns = table(["name", *HEADERS.values()], "l" + "r" * len(HEADERS), cells)
            parts.append(f"## {title}\n\n{columns}\n")
    parts.append(
        "Alone: what a name would cost by itself, with only the draws and problems that it looked "
        "at. Shared: its part of what was computed, where what several names of a table use is "
        "divided among them equally; the sum of these parts counts everything once. Cached: prompt "
        "tokens that the first draw of the same problem had computed. FLOPs: of matrix products, "
        "attention included, counted in one way for sampling, training and validation.\n"
    )
    return "\n".join(parts)


def cells_of_scope(rows: Sequence[Mapping[str, Any]], scope: str) -> Iterator[list[str]]:
    """Yield the names of a scope, each with its costs alone and shared; last, their sum."""
    charged = {
        (row["name"], row["charge"]): row for row in rows if row["scope"] == scope
    }  # in the order of the ledger, in which the sum is last
    names = dict.fromkeys(name for name, _ in charged)
    for name in names if set(names) != {SUM} else ():  # a sum of nothing
        costs = [charged[name, charge] for charge in (ALONE, SHARED)]
        if scope == "study":
            costs = costs[:1]
        amounts = (" / ".join(amount(float(cost[key])) for cost in costs) for key in HEADERS)
        if name != SUM or scope != "study":
            yield [name if name != SUM else "sum", *amounts]


def readable(size: float) -> str:
    """Write a number of bytes with a decimal unit."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def amount(value: float) -> str:
    """Write a number with three digits and a unit: 12.3 M, 4.5e+18."""
    if value >= 1e15:
        return f"{value:.2e}"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"
