"""The ledger as Markdown: one table a scope."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
    "experiment": "Experiments: what each would need by itself",
    "variant": "Variants, with their evaluations: what each would need by itself",
    "policy": "Policies: all sampling and training back to the base model",
}


def markdown(rows: Sequence[Mapping[str, Any]], note: str) -> str:
    """Write the sums of all scopes."""
    parts = [f"# What it cost — {note}\n"]
    for scope, title in SCOPES.items():
        mine = [row for row in rows if row["scope"] == scope]
        if mine:
            parts.append(f"## {title}\n\n{_table(mine)}\n")
    parts.append(
        "Cached: prompt tokens that the first draw of the same problem had computed. FLOPs: 2 a "
        "parameter and forward token, 6 a parameter and trained token, counted. Sums of scopes "
        "overlap, because artifacts are shared.\n"
    )
    return "\n".join(parts)


def amount(value: float) -> str:
    """Write a number so that sizes can be compared: 12.3 M, 4.5e+18."""
    if value >= 1e15:
        return f"{value:.2e}"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = f"| name | {' | '.join(HEADERS.values())} |\n| :-- |{' --: |' * len(HEADERS)}"
    lines = [
        f"| {row['name']} | " + " | ".join(amount(float(row[key])) for key in HEADERS) + " |"
        for row in rows
    ]
    return "\n".join([head, *lines])
