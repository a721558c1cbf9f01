"""Print an artifact for people: what it contains, some rows in full, and where it came from."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from restem.artifacts.container import in_words
from restem.artifacts.files import artifact_digest, read_json
from restem.artifacts.pins import is_pinned
from restem.artifacts.seals import HIDDEN, read_seal, state_path
from restem.artifacts.tables import read_provenance, read_rows
from restem.pages.document import visible
from restem.policies.manifest import PolicyManifest, read_policy
from restem.tools.rows import row_lines

WIDTH = 100


def show(path: Path, rows: int, problem: str | None) -> str:
    """Return an artifact as text, with some of its rows; problem: the id whose rows are shown."""
    if path.suffix == ".parquet":
        return visible("\n".join(_table(path, rows, problem)))
    if path.name == "policy.json":
        return visible("\n".join(_policy(path)))
    return visible(path.read_text())


def _table(path: Path, count: int, problem: str | None) -> Iterable[str]:
    provenance = read_provenance(path)
    kind = provenance["schema"]
    rows = read_rows(path, kind)
    yield f"{kind}: {len(rows)} rows, content {provenance['content'][:12]}   {path}"
    if "counts" in provenance:
        yield f"counts: {json.dumps(provenance['counts'])}"
    if "seeds" in provenance:
        yield f"seeds: {provenance['seeds']} ({provenance['reproducible']})"
    if rows and "decision" in rows[0]:
        yield f"decisions: {dict(Counter(row['decision'] for row in rows))}"
    if problem is not None:
        id_column = "id" if kind == "problems" else "problem_id"
        rows = [row for row in rows if row.get(id_column) == problem]
        count = len(rows)
        yield f"{count} rows of problem {problem}"
    for row in rows[:count]:
        yield ""
        yield from row_lines(row)
    yield ""
    yield from _origin(path, provenance)


def _policy(path: Path) -> Iterable[str]:
    policy = read_policy(path)
    yield f"policy: content {policy.content[:12]}, {_state(policy)}   {path}"
    if is_pinned(path):
        pin = read_json(state_path(path, "pin.json"))
        yield f"  pinned on {pin['since']}: {pin['reason']}"
    for name, value in policy.report.items():
        text = json.dumps(value)
        yield f"  {name}: {text if len(text) < WIDTH else text[:WIDTH] + ' ...'}"
    yield ""
    yield from _origin(path, policy.provenance)


def _state(policy: PolicyManifest) -> str:
    """Say where the checkpoint is, or why there is none."""
    if policy.halted:
        return f"halted: {policy.halted}"
    if policy.checkpoint.is_dir():
        return f"checkpoint in {policy.checkpoint}"
    record = (read_seal(policy.path) or {"outputs": {}})["outputs"].get("checkpoint", {})
    return (
        f"checkpoint pruned on {record['pruned']}" if "pruned" in record else "checkpoint missing"
    )


def _origin(path: Path, provenance: Mapping[str, Any]) -> Iterable[str]:
    """Follow the digests of the inputs back to the base model and the data."""
    paths = _paths_by_content(path)
    yield "made from"
    shown: set[str] = set()
    stack = _inputs(provenance, 1)
    while stack:
        depth, name, content = stack.pop(0)
        source = paths.get(content)
        yield f"{'  ' * depth}{name} {content[:12]}  {source or 'not an artifact of this study'}"
        if source is not None and content not in shown:
            shown.add(content)
            stack = _inputs(_provenance(source), depth + 1) + stack
    yield f"settings {json.dumps(provenance.get('settings', {}), sort_keys=True)}"
    code, environment = (str(provenance.get(k, "?"))[:12] for k in ("code", "environment"))
    made = in_words(provenance.get("image"))
    yield f"code {code}, environment {environment}, made {made}"


def _inputs(provenance: Mapping[str, Any], depth: int) -> list[tuple[int, str, str]]:
    inputs = provenance.get("inputs", {})
    return [(depth, name, content) for name in inputs for content in inputs[name]]


def _provenance(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".parquet":
        return read_provenance(path)
    return read_policy(path).provenance if path.name == "policy.json" else {}


def _paths_by_content(path: Path) -> dict[str, Path]:
    """Return the path of every artifact of the same study by its content digest."""
    root = next((p for p in path.parents if p.parent.name == "results"), path.parent)
    files = [*root.rglob("*.parquet"), *root.rglob("policy.json")]
    return {artifact_digest(file): file for file in files if HIDDEN not in file.parts}
