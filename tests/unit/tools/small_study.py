"""A small study on disk, with seals, as a run leaves it, without running anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from restem.artifacts.digests import digest
from restem.artifacts.files import artifact_digest, write_json
from restem.artifacts.schemas.estimates import CLAIMS, LIFTS, SUMMARY
from restem.artifacts.schemas.every import KINDS
from restem.artifacts.seals import Recipe
from restem.artifacts.store import produce
from restem.artifacts.tables import table, write_table
from restem.config.metrics import Metrics
from restem.stages import metrics as metrics_stage
from restem.statistics.evaluation import lifts, summarise
from restem.tasks.problem import Problem, to_row

Row = dict[str, Any]
ESTIMATORS = Metrics(ks=(1, 2), resamples=200)
DECODINGS = {"greedy": 1, "sample": 4}
HOSTILE = "so \x1b[2J\x1b]0;title\x07 the answer \u202e is"


@dataclass(frozen=True)
class SmallStudy:
    """What differs between small studies.

    gains: of each variant by iteration, in logits. question: what the problems begin with.
    changed: settings of the M-step; code: digest of its module; weights: what they begin with.
    """

    gains: Mapping[str, Sequence[float]] = field(
        default_factory=lambda: {"rest-em": (0.8, 1.6), "sft": (0.4,)}
    )
    seeds: Sequence[int] = (0, 1)
    problems: int = 40
    question: str = "add"
    changed: Mapping[str, Any] = field(default_factory=lambda: {"training": {"patience": 3}})
    code: str = "a"
    weights: str = "w"
    words: str = HOSTILE
    sources: Sequence[tuple[str, int]] = (("model", 0),)

    def write(self, results: Path) -> Path:
        """Write all artifacts; return their folder."""
        problems = [
            Problem(f"p{i:03}", f"{self.question} {i}", str(i)) for i in range(self.problems)
        ]
        for split in ("train", "test"):
            self._seal(results / f"sums/problems/{split}.parquet", "problems",
                       [to_row(p) for p in problems], {}, {"data": ["file"]})  # fmt: skip
        found: list[tuple[Path, list[Row]]] = []
        base = ("pretrained", "base", 0, 0)
        self._policy(results, base, "base", {})
        explore = self._draws(results, base, "train", "explore", 4, 0.0)
        found += self._evaluations(results, base, 0.0)
        for variant, gains in self.gains.items():
            for seed in self.seeds:
                for step, gain in enumerate(gains, 1):
                    policy = ("sums", variant, seed, step)
                    self._examples(results, policy, explore)
                    examples = [artifact_digest(results / self._place(policy) / "examples.parquet")]
                    self._policy(results, policy, "policy", {"examples": examples})
                    found += self._evaluations(results, policy, gain)
        self._summary(results, sorted(found))
        return results

    @staticmethod
    def _place(policy: tuple[str, str, int, int]) -> str:
        task, variant, seed, iteration = policy
        return f"{task}/S/{variant}/seed-{seed}/iter-{iteration}"

    def _seal(self, path: Path, stage: str, rows: Sequence[Row], settings: Mapping[str, Any],
              inputs: Mapping[str, list[str]], kind: str = "", **more: Any) -> str:  # fmt: skip
        code = {f"restem.stages.{stage}": self.code if stage == "policy" else "same"}
        recipe = Recipe(stage, settings, code, "lock", inputs)
        with produce(recipe, {"output": path}) as job:
            of_rows = KINDS[kind or stage]
            write_table(path, of_rows, table(of_rows, rows), {**job.provenance, **more})
        return artifact_digest(path)

    def _policy(self, results: Path, policy: Any, stage: str, inputs: Mapping[str, Any]) -> None:
        path = results / self._place(policy) / "policy.json"
        content = digest([self.weights, *policy] if stage == "policy" else "base")
        settings = {**self.changed, "seed": policy[2]} if stage == "policy" else {}
        stored: Row = {"content": content, "halted": None, "files": {}, "parameters": 10}
        stored |= {"forward": {"per_token": 2, "per_pair": 1, "per_target": 1}, "provenance": {}}
        stored["report"] = {} if stage == "base" else {"tokens": {"target": 100}, "flops": 1e6}
        recipe = Recipe(stage, settings, {f"restem.stages.{stage}": self.code}, "lock", inputs)
        with produce(recipe, {"output": path}):
            write_json(path, stored)

    def _draws(self, results: Path, policy: Any, split: str, decoding: str, draws: int,
               gain: float) -> tuple[list[Row], list[Row], dict[str, list[str]]]:  # fmt: skip
        """Write samples and rewards; return them, and their digests."""
        folder = results / self._place(policy) / f"sums/{split}/{decoding}/seed-0"
        rng = np.random.default_rng([len(policy[1]), *policy[2:], draws, len(decoding)])
        hard = np.random.default_rng(7).normal(0, 1, self.problems)
        samples, rewards = [], []
        for i in range(self.problems):
            right = rng.random(draws) < 1 / (1 + np.exp(hard[i] - gain))
            for draw in range(draws):
                verdict = "correct" if right[draw] else "incorrect"
                key: Row = {"problem_id": f"p{i:03}", "draw": draw}
                samples.append(key | {
                    "seed": draw, "completion": f"{self.words} {i} {verdict}", "tokens": 10,
                    "prompt_tokens": 5, "finish_reason": "stop", "logprob": -1.0, "request": "r",
                    "stop_reason": None, "engine": None,
                })  # fmt: skip
                rewards.append(key | {
                    "reward": float(right[draw]), "fraction": float(right[draw]), "layer": "string",
                    "verdict": verdict, "flexible": verdict, "extracted": str(i), "detail": None,
                    "of": None,
                })  # fmt: skip
        asked = results / f"sums/problems/{split}.parquet"
        sampler = results / self._place(policy) / "policy.json"
        contents = {"policy": [artifact_digest(sampler)], "problems": [artifact_digest(asked)]}
        drawn = self._seal(folder / "samples/1-of-1.parquet", "samples", samples, {}, contents)
        judged = self._seal(
            folder / "rewards/1-of-1.parquet", "rewards", rewards, {}, {"samples": [drawn]}
        )
        return samples, rewards, contents | {"samples": [drawn], "rewards": [judged]}

    def _evaluations(self, results: Path, policy: Any, gain: float) -> list[tuple[Path, list[Row]]]:
        found = []
        for decoding, draws in DECODINGS.items():
            samples, rewards, contents = self._draws(results, policy, "test", decoding, draws, gain)
            path = results / self._place(policy) / f"sums/test/{decoding}/seed-0/metrics.parquet"
            address = {"task": "sums", "split": "test", "decoding": decoding, "model": "S",
                       "variant": policy[1], "seed": policy[2], "iteration": policy[3],
                       "greedy": draws == 1}  # fmt: skip
            drawn = metrics_stage.Drawn(
                {(row["problem_id"], row["draw"]): place for place, row in enumerate(samples)},
                [row["tokens"] for row in samples],
                pa.array(row["completion"] for row in samples),
            )
            rows = [
                metrics_stage._row(
                    address, Problem(f"p{i:03}", "", ""),
                    metrics_stage._count(rewards[i * draws : (i + 1) * draws], drawn, None), None,
                ) | {"references": None}
                for i in range(self.problems)
            ]  # fmt: skip
            self._seal(path, "metrics", rows, {**address, "train_task": "sums"}, contents)
            found.append((path, rows))
        return found

    def _examples(self, results: Path, policy: Any, explore: Any) -> None:
        _, rewards, contents = explore
        name, age = self.sources[0]
        rows = []
        for reward in rewards:
            kept = reward["verdict"] == "correct" and reward["draw"] < 3
            decision = "kept" if kept else "over the cap" if reward["reward"] else "incorrect"
            rows.append({
                "problem_id": reward["problem_id"], "draw": reward["draw"], "decision": decision,
                "source": f"{name}:{age}" if age else name, "weight": float(kept), "prefix": None,
                "prompt": None, "target": None,
            })  # fmt: skip
        settings = {"sources": [list(source) for source in self.sources]}
        inputs = {"samples": contents["samples"] * len(self.sources)}
        path = results / self._place(policy) / "examples.parquet"
        self._seal(path, "examples", rows, settings | {"seed": policy[2]}, inputs)

    def _summary(self, results: Path, found: Sequence[tuple[Path, list[Row]]]) -> None:
        rows = [row for _, of_policy in found for row in of_policy]
        settings = {"metrics": ESTIMATORS.model_dump(mode="json", exclude_defaults=True),
                    "aliases": [], "references": ["sft"]}  # fmt: skip
        recipe = Recipe("summary", settings, {"restem.stages.summary": "same"}, "lock",
                        {"metrics": [artifact_digest(path) for path, _ in found]})  # fmt: skip
        outputs = {"output": results / "summary.parquet", "lifts": results / "lifts.parquet"}
        with produce(recipe, outputs):
            write_table(outputs["output"], SUMMARY, table(SUMMARY, summarise(rows, ESTIMATORS)), {})
            differences = lifts(rows, ESTIMATORS, ["sft"])
            write_table(outputs["lifts"], LIFTS, table(LIFTS, differences), {})
        # Its outputs are ordered otherwise by their names in the seal than by their paths.
        claims = {"output": results / "claims.parquet", "page": results / "claims.md"}
        recipe = Recipe("claims", {}, {}, "lock", recipe.inputs)
        with produce(recipe, claims):
            write_table(claims["output"], CLAIMS, table(CLAIMS, []), {})
            claims["page"].write_text("# Claims")
