"""The ledger as Markdown: one table of costs per scope."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
    "experiment": "Experiments: what each would need by itself",
    "variant": "Variants, with their evaluations: what each would need by itself",
    "policy": "Policies: all sampling and training back to the base model",
}


def markdown(rows: Sequence[Mapping[str, Any]], label: str) -> str:
    """Write the sums of all scopes."""
    parts = [f"# What it cost — {label}\n"]
    for scope, title in SCOPES.items():
        of_scope = [row for row in rows if row["scope"] == scope]
        if of_scope:
            cells = [
                [row["name"], *(amount(float(row[key])) for key in HEADERS)] for row in of_scope
            ]
            columns = table(["name", *HEADERS.values()], "l" + "r" * len(HEADERS), cells)
            parts.append(f"## {title}\n\n{columns}\n")
    parts.append(
        "Cached: prompt tokens that the first draw of the same problem had computed. FLOPs: 2 a "
        "parameter and forward token, 6 a parameter and trained token, counted. Sums of scopes "
        "overlap, because artifacts are shared.\n"
    )
    return "\n".join(parts)


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
