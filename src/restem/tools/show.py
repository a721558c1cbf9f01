"""Print an artifact for people: what it contains, some rows in full, and where it came from."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from restem.artifacts.container import in_words
from restem.artifacts.files import artifact_digest, read_json
from restem.artifacts.pins import is_pinned
from restem.artifacts.schemas.every import KINDS
from restem.artifacts.seals import HIDDEN, notes_of, read_seal, state_path
from restem.artifacts.tables import read_provenance, read_rows
from restem.errors import RestemError
from restem.pages.document import visible
from restem.policies.manifest import PolicyManifest, read_policy
from restem.tools.rows import have_texts, table_lines

WIDTH = 100
TEXTS, LINES = 5, 50  # rows to show


def show(path: Path, rows: int | None, problem: str | None) -> str:
    """Return an artifact as text, with some of its rows; problem: the id whose rows are shown."""
    if path.suffix == ".parquet":
        return visible("\n".join(_table(path, rows, problem)))
    if path.name == "policy.json":
        return visible("\n".join(_policy(path)))
    return visible(path.read_text())


def _table(path: Path, count: int | None, problem: str | None) -> Iterable[str]:
    provenance = read_provenance(path)
    kind = provenance["schema"]
    if kind not in KINDS:
        raise RestemError(
            f"there is no table of the kind {kind!r}", str(path), "use the version that wrote it"
        )
    rows = read_rows(path, KINDS[kind])
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
    if count is None:
        count = TEXTS if have_texts(rows[:LINES]) else LINES
    if shown := rows[:count]:
        yield from table_lines(shown)
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
    yield "made from"
    yield from _sources(provenance, _paths_by_content(path), set(), "  ")
    yield f"settings {json.dumps(provenance.get('settings', {}), sort_keys=True)}"
    code, environment = (str(provenance.get(k, "?"))[:12] for k in ("code", "environment"))
    made = in_words(provenance.get("image"))
    yield f"code {code}, environment {environment}, made {made}"
    for note in notes_of(read_seal(path) or {}):
        yield f"accepted, though it was made when this was different: {note}"


def _sources(
    provenance: Mapping[str, Any], paths: Mapping[str, Path], shown: set[str], indent: str
) -> Iterable[str]:
    """Yield a line for each input, and below it those of what it was made from, once."""
    for name, contents in provenance.get("inputs", {}).items():
        if others := ", ".join(c[:12] for c in contents if c not in paths):
            yield f"{indent}{name}, not artifacts of this study: {others}"
        for content in contents:
            if source := paths.get(content):
                yield f"{indent}{name} {content[:12]}  {source}"
                if content not in shown:
                    shown.add(content)
                    yield from _sources(_provenance(source), paths, shown, indent + "  ")


def _provenance(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".parquet":
        return read_provenance(path)
    return read_policy(path).provenance if path.name == "policy.json" else {}


def _paths_by_content(path: Path) -> dict[str, Path]:
    """Return the path of every artifact of the same study by its content digest."""
    root = next((p for p in path.parents if p.parent.name == "results"), path.parent)
    files = [*root.rglob("*.parquet"), *root.rglob("policy.json")]
    return {artifact_digest(file): file for file in files if HIDDEN not in file.parts}
