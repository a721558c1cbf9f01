"""Read what a study found and what it was made from, so that two studies can be compared.

It can be saved in a folder of a few files, without completions and weights: results by problem,
recipes, costs, and digests of the problems. These files are part of an archive.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa

from restem.accounts.costs import Cost, cost_of_policy, cost_of_samples, read_costs
from restem.artifacts.digests import digest
from restem.artifacts.files import read_json, write_json
from restem.artifacts.schemas.evaluation import COSTS, METRICS
from restem.artifacts.schemas.loop import PROBLEMS
from restem.artifacts.seals import Recipe, seals
from restem.artifacts.tables import read_rows, read_table, table, write_table
from restem.config.errors import validate
from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.policies.manifest import read_policy
from restem.statistics.aliases import repeat

SUMMARY_FILE: Final = "summary.parquet"
METRICS_FILE: Final = "metrics.parquet"
COSTS_FILE: Final = "costs.parquet"
RECIPES: Final = "recipes.json"
PROBLEMS_FILE: Final = "problems.json"
SAVED: Final = (METRICS_FILE, COSTS_FILE, RECIPES, PROBLEMS_FILE)

POLICY_DEPTH: Final = 5  # task, model, variant, seed, iteration
_VERSION: Final = 1
_WHOLE: Final = {"below_draw": 0, "below_problem": 0, "problems": 0}


@dataclass(frozen=True)
class Artifact:
    """What one job made: its recipe, and the content digest of each output by its path."""

    recipe: Recipe
    contents: Mapping[str, str | None]

    @property
    def by_name(self) -> dict[str, str | None]:
        """Return the contents by the names of files, which are the same for all policies."""
        return {PurePosixPath(path).name: content for path, content in self.contents.items()}


@dataclass(frozen=True)
class StudyResults:
    """What a study found, and what it was made from.

    artifacts: by the path of their first output; paths are relative to the study's results.
    metrics: results by problem of all policies. costs: by address of a policy or of completions.
    problems: by task and split, the digest of each problem by its id.
    """

    artifacts: Mapping[str, Artifact]
    metrics: pa.Table
    costs: Mapping[str, Cost]
    problems: Mapping[str, Mapping[str, str]]

    @property
    def estimators(self) -> Metrics:
        """Return the settings of the study's estimates."""
        return validate(Metrics, self._settings["metrics"], f"the settings of {SUMMARY_FILE}")

    @property
    def _settings(self) -> Mapping[str, Any]:
        return self.artifacts[SUMMARY_FILE].recipe.settings

    def rows(self) -> list[dict[str, Any]]:
        """Return the results by problem, under every name that the study gives a policy."""
        return list(repeat(self._settings["aliases"], self.metrics.to_pylist()))

    def evaluations(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield the address of every evaluation, and the path of its metrics."""
        found = [
            {**artifact.recipe.settings, "path": path}
            for path, artifact in self.artifacts.items()
            if artifact.recipe.stage == "metrics"
        ]
        for address in repeat(self._settings["aliases"], found):
            yield address, address["path"]

    @cached_property
    def _made(self) -> Mapping[str, Sequence[str]]:
        """List by content the artifacts that hold it."""
        made: dict[str, list[str]] = defaultdict(list)
        for path, artifact in self.artifacts.items():
            for content in artifact.contents.values():
                if content is not None:
                    made[content].append(path)
        return made

    def _makers(self, content: str, reader: str) -> list[str]:
        """Return who made an input: of equal contents, such as policies that halted, the nearest.

        A seal has the contents of inputs and not their places, so that results can be moved.
        """
        shared = {p: len(os.path.commonpath([p, reader])) for p in self._made.get(content, ())}
        return [path for path, length in shared.items() if length == max(shared.values())]

    def is_made(self, content: str) -> bool:
        """Tell whether a content was made by the study; else it is data from outside."""
        return content in self._made

    def upstream(self, paths: Iterable[str]) -> dict[str, Artifact]:
        """Return artifacts and all that they were made from, by path."""
        waiting, found = list(paths), set[str]()
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            found.add(path)
            inputs = self.artifacts[path].recipe.inputs.values()
            contents = {content for of_name in inputs for content in of_name}
            waiting += [maker for content in contents for maker in self._makers(content, path)]
        return {path: artifact for path, artifact in self.artifacts.items() if path in found}

    def save(self, folder: Path) -> None:
        """Write it into the files of an archive; equal results give equal files."""
        code = {digest(dict(a.recipe.code)): dict(a.recipe.code) for a in self.artifacts.values()}
        recipes = {
            path: {**asdict(a.recipe), "code": digest(dict(a.recipe.code)), "contents": a.contents}
            for path, a in self.artifacts.items()
        }
        costs = [{"name": n, **_WHOLE, **vars(c)} for n, c in sorted(self.costs.items())]
        write_table(folder / METRICS_FILE, METRICS, self.metrics, {})
        write_table(folder / COSTS_FILE, COSTS, table(COSTS, costs), {})
        stated = {"version": _VERSION, "recipes": recipes, "code": code}
        write_json(folder / RECIPES, stated)
        write_json(folder / PROBLEMS_FILE, self.problems)


def load(folder: Path) -> StudyResults:
    """Read what `save` wrote. Raises RestemError if it cannot be read."""
    stated = read_json(folder / RECIPES, "fetch the archive again")
    if stated.get("version") != _VERSION:
        raise RestemError(
            f"the archive is of version {stated.get('version')!r}, and {_VERSION} can be read",
            str(folder / RECIPES),
            "archive the study again with this version",
        )
    try:
        artifacts = {
            path: Artifact(
                Recipe(**{n: recipe[n] for n in Recipe.__dataclass_fields__}
                       | {"code": stated["code"][recipe["code"]]}),
                recipe["contents"],
            )
            for path, recipe in stated["recipes"].items()
        }  # fmt: skip
        artifacts[SUMMARY_FILE].recipe.settings["metrics"]
    except (KeyError, TypeError, AttributeError) as problem:
        raise RestemError(
            f"the recipes of the archive are damaged: {problem!r}",
            str(folder / RECIPES),
            "fetch the archive again, or make it with restem archive",
        ) from problem
    costs = {name: cost for name, _, cost in read_costs(folder / COSTS_FILE)}
    problems = read_json(folder / PROBLEMS_FILE, "fetch the archive again")
    return StudyResults(artifacts, read_table(folder / METRICS_FILE, METRICS), costs, problems)


def read_study(results: Path) -> StudyResults:
    """Read a study's folder, results/<study>.

    What no table or figure of the study was made from is left out, such as variants that the study
    no longer has. Raises RestemError if it has no sealed estimates, or if these are older than the
    results by problem.
    """
    sealed = {
        first.relative_to(results).as_posix(): _artifact(first.relative_to(results), seal)
        for first, seal in seals(results)
    }
    if SUMMARY_FILE not in sealed or not (results / SUMMARY_FILE).is_file():
        raise RestemError(
            "there are no sealed estimates", str(results), "run the study first: snakemake all"
        )
    everything = StudyResults(sealed, pa.table({}), {}, {})
    ends = [path for path in sealed if len(PurePosixPath(path).parts) <= 2]  # tables and figures
    artifacts = everything.upstream(ends)
    return StudyResults(
        artifacts,
        _metrics(results, artifacts),
        _costs(results, artifacts),
        _problems(results, artifacts),
    )


def _artifact(first_output: Path, seal: Mapping[str, Any]) -> Artifact:
    recipe = Recipe(**{name: seal[name] for name in Recipe.__dataclass_fields__})
    folder = first_output.parent
    records = seal["outputs"].values()
    return Artifact(recipe, {(folder / r["path"]).as_posix(): r["content"] for r in records})


def _metrics(results: Path, artifacts: Mapping[str, Artifact]) -> pa.Table:
    """Return the results by problem from which the present estimates were made."""
    present = {
        content: path
        for path, artifact in artifacts.items()
        if artifact.recipe.stage == "metrics"
        for content in artifact.contents.values()
    }
    wanted = artifacts[SUMMARY_FILE].recipe.inputs["metrics"]
    if any(content not in present for content in wanted):
        raise RestemError(
            "the estimates were made from other results than those that are there",
            str(results / SUMMARY_FILE),
            "finish the run (snakemake), or use an archive that was made before it",
        )
    tables = [read_table(results / present[content], METRICS) for content in wanted]
    return pa.concat_tables(tables) if tables else table(METRICS, [])


def _costs(results: Path, artifacts: Mapping[str, Artifact]) -> dict[str, Cost]:
    """Return the cost of every policy and of all completions at one address.

    A study with a ledger has counted them; of others they are counted here, in the same way.
    """
    costs: dict[str, Cost] = defaultdict(Cost)
    contents = {c for a in artifacts.values() for c in a.contents.values()}
    for path, artifact in artifacts.items():
        recipe = artifact.recipe
        if recipe.stage == "costs" and contents.issuperset(chain(*recipe.inputs.values())):
            for name, _, cost in read_costs(results / path):
                costs[name] += cost
    counted = set(costs)
    for path, artifact in artifacts.items():
        address = address_of_cost(path, artifact)
        if address is None or address in counted:
            continue
        if artifact.recipe.stage == "samples":
            policy = Path(results, *PurePosixPath(path).parts[:POLICY_DEPTH], "policy.json")
            costs[address] += cost_of_samples(results / path, read_policy(policy).forward)
        else:
            costs[address] += cost_of_policy(results / path)
    return dict(costs)


def address_of_cost(path: str, artifact: Artifact) -> str | None:
    """Return the address of a policy or of completions; None for what the ledger does not count."""
    if artifact.recipe.stage in ("policy", "base"):
        return str(PurePosixPath(path).parent)
    return str(PurePosixPath(path).parents[1]) if artifact.recipe.stage == "samples" else None


def _problems(results: Path, artifacts: Mapping[str, Artifact]) -> dict[str, dict[str, str]]:
    """Return the digest of every problem of every split, by task and split."""
    found = {}
    for path, artifact in artifacts.items():
        if artifact.recipe.stage == "problems":
            place = PurePosixPath(path)
            rows = read_rows(results / path, PROBLEMS)
            found[f"{place.parts[0]}/{place.stem}"] = {r["id"]: _digest(r) for r in rows}
    return found


def _digest(problem: Mapping[str, Any]) -> str:
    """Return the digest of question and answer, short: it tells problems of one id apart."""
    text = json.dumps([problem["question"], problem["answer"]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
