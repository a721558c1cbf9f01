"""What of a study is published: the policies, the completions with verdicts, tables and figures.

Everything is first laid out in a folder as it will lie on the hub: `models/<name>` for each policy,
and `dataset` for all completions, their verdicts, the problems and the archive of the study.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from restem.artifacts.schemas.loop import PROBLEMS, REWARDS, SAMPLES
from restem.artifacts.seals import state_path
from restem.artifacts.tables import read_table
from restem.errors import RestemError
from restem.policies.manifest import CHECKPOINT, read_policy, verify_checkpoint
from restem.publication.licenses import Licenses
from restem.study.addresses import Draws, Policy
from restem.study.graph import StudyGraph
from restem.tools.archive import archive

Which = Literal["last", "all", "none"]

DATASET: Final = "dataset"
ARCHIVE: Final = "study.tar.gz"
STUDY_FILE: Final = "study.yaml"
_SAMPLES: Final = ("problem_id", "draw", "completion", "tokens", "finish_reason")
_REWARDS: Final = ("problem_id", "draw", "verdict", "reward", "extracted")
_PROBLEMS: Final = ("id", "question", "answer", "subject", "level")


@dataclass
class Contents:
    """What is published and what is not.

    policies: with the name of each one's repository; draws: the completions; problems: tasks and
    splits whose texts may be passed on; left_out: what is not published, each with the reason.
    """

    graph: StudyGraph
    configfile: Path
    results: Path
    licenses: Licenses
    policies: dict[str, Policy] = field(default_factory=dict)
    draws: list[Draws] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def study(self) -> str:
        """Return the name of the study."""
        return self.graph.study.study

    def license_of(self, policy: Policy) -> str | None:
        """Return the license of the base model of a policy."""
        return self.licenses.of_model(policy.model, self.graph.study.models[policy.model])


def contents(
    graph: StudyGraph, configfile: Path, results: Path, licenses: Licenses, which: Which
) -> Contents:
    """Find what can be published. Raises RestemError if the study has no results."""
    if not (results / "summary.parquet").is_file():
        raise RestemError(
            "there are no results to publish",
            str(results),
            f"run the study first: snakemake --configfile {configfile}",
        )
    found = Contents(graph, configfile, results, licenses)
    for policy in graph.trained if which != "none" else ():
        if which == "all" or graph.is_last(policy):
            reason = _why_not(found, policy)
            if reason:
                found.left_out.append(f"{policy.path}: {reason}")
            else:
                found.policies[_name(graph, policy)] = policy
    for draws in graph.sampled():
        if _shards(results, draws, "samples"):
            found.draws.append(draws)
        else:
            found.left_out.append(f"{draws.path}: not sampled yet")
    for task, split in graph.splits():
        if licenses.is_open(task, licenses.of_data(task, graph.study)):
            found.problems += [
                (task, name)
                for name in (split, "shots")
                if (task, name) not in found.problems
                and (results / task / "problems" / f"{name}.parquet").is_file()
            ]
        else:
            found.left_out.append(
                f"texts of {task}/problems/{split}: no license that lets everybody pass them on is "
                f"known; if you may, say --license {task}=ID"
            )
    return found


def _why_not(found: Contents, policy: Policy) -> str | None:
    """Return why a policy cannot be published, or None."""
    manifest = found.results / policy.path / "policy.json"
    if not manifest.is_file():
        return "not made yet"
    stored = read_policy(manifest)
    if stored.halted:
        return f"halted: {stored.halted}"
    if not stored.checkpoint.is_dir():
        return "its checkpoint was pruned"
    known = found.license_of(policy)
    if not found.licenses.is_open(policy.model, known):
        stated = f"is under {known}, which sets conditions" if known else "has no known license"
        return f"base model {policy.model} {stated}; if you may, say --license {policy.model}=ID"
    return None


def _name(graph: StudyGraph, policy: Policy) -> str:
    parts = (graph.study.study, policy.variant, policy.model)
    return "-".join((*parts, f"seed{policy.seed}", f"iter{policy.iteration}"))


def _shards(results: Path, draws: Draws, kind: str) -> list[Path]:
    return sorted((results / draws.path / kind).glob("*.parquet"))


def lay_out(found: Contents, folder: Path, link: bool) -> None:
    """Write everything but the cards.

    link: whether weights may be hard links to those of the study, as nobody edits them there.
    Raises RestemError if weights differ from their manifest, or a table is damaged.
    """
    for name, policy in found.policies.items():
        _lay_out_policy(found.results / policy.path, folder / "models" / name, link)
    dataset = folder / DATASET
    for draws in found.draws:
        target = dataset / "completions" / f"{draws.path}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(target, _schema()) as writer:
            for table in _completions(found.results, draws):
                writer.write_table(table)
    for task, split in found.problems:
        target = dataset / "problems" / task / f"{split}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        source = found.results / task / "problems" / f"{split}.parquet"
        pq.write_table(read_table(source, PROBLEMS).select(_PROBLEMS), target)
    archive(found.results, dataset / ARCHIVE)
    shutil.copyfile(found.configfile, dataset / STUDY_FILE)


def _lay_out_policy(source: Path, target: Path, link: bool) -> None:
    """Link or copy a checkpoint, its manifest and its seal."""
    verify_checkpoint(read_policy(source / "policy.json"))
    target.mkdir(parents=True)
    seal = state_path(source / "policy.json", "seal.json")
    files = {path: path.name for path in (source / CHECKPOINT).iterdir() if path.is_file()}
    for path, name in {**files, source / "policy.json": "policy.json", seal: "seal.json"}.items():
        if name == "README.md":
            continue  # the card is written anew
        if link:
            with suppress(OSError):
                os.link(path, target / name)
                continue
        shutil.copyfile(path, target / name)


def _completions(results: Path, draws: Draws) -> Iterator[pa.Table]:
    """Yield the completions of each shard with their verdicts and the policy that drew them."""
    policy = draws.policy
    about = {
        "model": policy.model,
        "variant": policy.variant,
        "training_seed": policy.seed,
        "iteration": policy.iteration,
    }
    verdicts = {path.name: path for path in _shards(results, draws, "rewards")}
    for shard in _shards(results, draws, "samples"):
        table = read_table(shard, SAMPLES).select(_SAMPLES)
        if shard.name in verdicts:
            judged = read_table(verdicts[shard.name], REWARDS).select(_REWARDS)
            table = table.join(judged, keys=["problem_id", "draw"], join_type="left outer")
        order = [("problem_id", "ascending"), ("draw", "ascending")]
        columns = {name: [value] * len(table) for name, value in about.items()}
        rows = {name: table[name] for name in table.column_names}
        for name in set(_schema().names) - set(rows) - set(columns):
            columns[name] = [None] * len(table)
        whole = pa.table({**columns, **rows}).select(_schema().names).cast(_schema())
        yield whole.sort_by(order)


def _schema() -> pa.Schema:
    text, number = pa.string(), pa.int32()
    columns: dict[str, Any] = {
        "model": text, "variant": text, "training_seed": number, "iteration": number,
        "problem_id": text, "draw": number, "completion": text, "tokens": number,
        "finish_reason": text, "verdict": text, "reward": pa.float64(), "extracted": text,
    }  # fmt: skip
    return pa.schema(list(columns.items()))
