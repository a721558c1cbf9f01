"""Print an artifact for a human: what it holds, one thing of it in full, and where it came from."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from restem.artifacts.store import HIDDEN, content_of
from restem.artifacts.tables import read_provenance, read_rows
from restem.policies.manifest import read_policy

WIDTH = 100


def show(path: Path, rows: int, problem: str | None) -> str:
    """Return the text for an artifact; `problem` picks the rows of one problem id."""
    if path.suffix == ".parquet":
        return "\n".join(_table(path, rows, problem))
    if path.name == "policy.json":
        return "\n".join(_policy(path))
    return path.read_text()


def _table(path: Path, count: int, problem: str | None) -> Iterable[str]:
    provenance = read_provenance(path)
    kind = provenance["schema"]
    found = read_rows(path, kind)
    yield f"{kind}: {len(found)} rows, content {provenance['content'][:12]}   {path}"
    if "counts" in provenance:
        yield f"counts: {json.dumps(provenance['counts'])}"
    if "decision" in (found[0] if found else {}):
        yield f"decisions: {dict(Counter(row['decision'] for row in found))}"
    key = "id" if kind == "problems" else "problem_id"
    if problem is not None:
        found = [row for row in found if row.get(key) == problem]
        count = len(found)
        yield f"{count} rows of problem {problem}"
    verdicts = _verdicts(path, kind)
    for row in found[:count]:
        yield ""
        yield from _row({**row, **verdicts.get((row.get("problem_id"), row.get("draw")), {})})
    yield ""
    yield from _origin(path, provenance)


def _verdicts(path: Path, kind: str) -> dict[Any, dict[str, Any]]:
    """Return the verdicts that stand beside some samples, by problem and draw."""
    beside = path.parent.parent / "rewards" / path.name
    if kind != "samples" or not beside.is_file():
        return {}
    shown = ("verdict", "extracted", "layer")
    return {
        (row["problem_id"], row["draw"]): {name: row[name] for name in shown}
        for row in read_rows(beside, "rewards")
    }


def _row(row: Mapping[str, Any]) -> Iterable[str]:
    short = {k: v for k, v in row.items() if not (isinstance(v, str) and len(v) > 40)}
    yield "  ".join(f"{k}={v}" for k, v in short.items() if v is not None and v != [])
    for name, text in row.items():
        if name not in short:
            yield f"  {name}:"
            yield "\n".join(f"    | {line}" for line in text.splitlines())


def _policy(path: Path) -> Iterable[str]:
    policy = read_policy(path)
    state = f"halted: {policy.halted}" if policy.halted else f"checkpoint in {policy.checkpoint}"
    yield f"policy: content {policy.content[:12]}, {state}   {path}"
    for name, value in policy.report.items():
        text = json.dumps(value)
        yield f"  {name}: {text if len(text) < WIDTH else text[:WIDTH] + ' ...'}"
    yield ""
    yield from _origin(path, policy.provenance)


def _origin(path: Path, provenance: Mapping[str, Any]) -> Iterable[str]:
    """Follow the digests of the inputs back to the base model and the data."""
    index = _index(path)
    yield "made from"
    seen: set[str] = set()
    waiting = [(1, name, d) for name, ds in _inputs(provenance) for d in ds]
    while waiting:
        depth, name, content = waiting.pop(0)
        place = index.get(content)
        yield f"{'  ' * depth}{name} {content[:12]}  {place or 'no longer here'}"
        if place is None or content in seen:
            continue
        seen.add(content)
        nested = [(depth + 1, n, d) for n, ds in _inputs(_provenance(place)) for d in ds]
        waiting = nested + waiting
    yield f"settings {json.dumps(provenance.get('settings', {}), sort_keys=True)}"
    code, environment = (str(provenance.get(k, "?"))[:12] for k in ("code", "environment"))
    yield f"code {code}, environment {environment}"


def _inputs(provenance: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return list(provenance.get("inputs", {}).items())


def _provenance(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".parquet":
        return read_provenance(path)
    return read_policy(path).provenance if path.name == "policy.json" else {}


def _index(path: Path) -> dict[str, Path]:
    """Find every artifact of the study by its content."""
    root = next((p for p in path.parents if p.parent.name == "results"), path.parent)
    files = [*root.rglob("*.parquet"), *root.rglob("policy.json")]
    return {content_of(file): file for file in files if HIDDEN not in file.parts}
