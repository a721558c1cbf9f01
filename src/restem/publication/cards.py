"""The cards of what is published: what it is, how it was made, how sure, under which license."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from restem.artifacts.digests import flatten
from restem.artifacts.files import write_text
from restem.artifacts.schemas.estimates import SUMMARY
from restem.artifacts.tables import read_rows
from restem.config.models import EmbeddedModel, HubModel
from restem.policies.manifest import read_policy
from restem.publication.contents import ARCHIVE, DATASET, STUDY_FILE, Contents
from restem.publication.crate import write_crate
from restem.sampling.prompts import Prompts
from restem.study.addresses import Policy
from restem.tasks.problem import read_problems
from restem.tasks.registry import load_task

_PAPER: Final = """\
```bibtex
@article{singh2024beyond,
  title   = {Beyond Human Data: Scaling Self-Training for Problem-Solving with Language Models},
  author  = {Avi Singh and John D. Co-Reyes and Rishabh Agarwal and others},
  journal = {Transactions on Machine Learning Research},
  year    = {2024},
  url     = {https://openreview.net/forum?id=lNAyUngGFK}
}
```"""


@dataclass(frozen=True)
class Writer:
    """Writes cards; owner: of the repositories on the hub, if they go there."""

    contents: Contents
    owner: str | None

    def write(self, folder: Path) -> None:
        """Write all cards into a folder in which the contents are laid out."""
        summary = read_rows(self.contents.results / "summary.parquet", SUMMARY)
        for name, policy in self.contents.policies.items():
            card = self.of_policy(name, policy, _rows_of(summary, policy))
            write_text(folder / "models" / name / "README.md", card)
        licenses = self._licenses_of_texts()
        same = set(licenses.values())
        of_all = same.pop() if len(same) == 1 else None
        write_text(folder / DATASET / "README.md", self.of_dataset(licenses, of_all))
        spdx = self.contents.licenses.known["open"].get(of_all)
        write_crate(self.contents, folder / DATASET, spdx, commit())

    def _licenses_of_texts(self) -> dict[str, str]:
        """Return the license of each task whose problems are published."""
        tasks = dict.fromkeys(task for task, _ in self.contents.problems)
        study = self.contents.graph.study
        return {task: str(self.contents.licenses.of_data(task, study)) for task in tasks}

    def of_policy(self, name: str, policy: Policy, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the card of a policy; rows: its estimates."""
        from huggingface_hub import EvalResult, ModelCardData

        graph = self.contents.graph
        source = graph.study.models[policy.model].source
        stated = self.contents.license_of(policy)
        known = stated in self.contents.licenses.known["open"]
        metadata = ModelCardData(
            base_model=source.id if isinstance(source, HubModel) else None,
            license=stated if known else "other",
            license_name=None if known else stated,
            library_name="transformers",
            pipeline_tag="text-generation",
            tags=["restem", "self-training", policy.variant],
            datasets=[f"{self.owner}/{self.contents.study}"] if self.owner else None,
            model_name=name,
            eval_results=[
                EvalResult(
                    task_type="text-generation",
                    dataset_type=row["task"],
                    dataset_name=f"{row['task']} ({row['split']})",
                    dataset_split=row["split"],
                    metric_type=row["quantity"],
                    metric_name=f"{row['quantity']}, {row['decoding']}, {_interval(row)}",
                    metric_value=row["estimate"],
                )
                for row in rows
                if row["estimate"] is not None
            ]
            or None,
        )
        lines = [
            f"# {name}",
            "",
            f"{graph.label.capitalize()}: {policy.model}, trained by the method "
            f"{self._variant(policy).method} on {policy.task}, iteration {policy.iteration}, "
            f"training seed {policy.seed}.",
            "",
            "## Results",
            "",
            *_results(rows),
            "",
            f"Shares of problems, with {100 * graph.study.metrics.confidence:g} % intervals, which "
            "cover the choice of problems. Correct means that the verifier accepted the final "
            f"answer. Comparisons, costs, tables and figures: {self._dataset()}.",
            "",
            "## How to prompt it",
            "",
            *self._prompt(policy),
            "",
            "## How it was made",
            "",
            *self._recipe(policy),
            "",
            *self._reproduction(f"results/{self.contents.study}/{policy.path}/policy.json"),
        ]
        return _card(metadata, lines)

    def of_dataset(self, licenses: Mapping[str, str], of_all: str | None) -> str:
        """Return the card of the completions, verdicts and tables.

        licenses: of the texts of problems by task; of_all: the license, if it is one for all.
        """
        from huggingface_hub import DatasetCardData

        study, graph = self.contents.study, self.contents.graph
        evaluated = sorted({(d.task, d.split, d.label) for d in self.contents.draws})
        metadata = DatasetCardData(
            license=of_all or "other",
            pretty_name=study,
            tags=["restem", "self-training"],
            configs=[
                {
                    "config_name": "-".join(address),
                    "data_files": f"completions/*/*/*/*/*/{'/'.join(address)}/*.parquet",
                }
                for address in evaluated
            ],
        )
        lines = [
            f"# Completions of the study {study}",
            "",
            f"{graph.study.description or study} Models: {graph.label}.",
            "",
            "- `completions/<policy>/<task>/<split>/<decoding>/`: every completion with its "
            "verdict, its reward, and the answer that was read out of it.",
            "- `problems/<task>/`: the problems, where their license allows it.",
            f"- `{ARCHIVE}`: estimates, tables, claims, costs, figures and the page of the study. "
            f"`restem redraw {ARCHIVE} --output folder` checks it and draws every figure again.",
            "- `ro-crate-metadata.json`: the same as an RO-Crate.",
            "",
            "## Results",
            "",
            *self._table(),
            "",
            "## Licenses",
            "",
            "| texts of | license |",
            "| :-- | :-- |",
            *(f"| {task} | {known} |" for task, known in licenses.items()),
            "",
            *(f"Not in here: {line}.\n" for line in self.contents.left_out),
            *self._reproduction(),
        ]
        return _card(metadata, lines)

    def _variant(self, policy: Policy) -> Any:
        return self.contents.graph.variant(policy)

    def _table(self) -> Iterator[str]:
        """Yield the table of results, and what it cannot show."""
        path = self.contents.results / "table.md"
        if path.is_file():
            yield path.read_text().strip().removeprefix("### ")
        if len(self.contents.graph.study.seeds) == 1:
            yield ""
            yield "One training seed: intervals do not say how another training would come out."

    def _prompt(self, policy: Policy) -> Iterator[str]:
        """Yield a prompt in full, if the texts may be published."""
        graph = self.contents.graph
        if graph.study.models[policy.model].prompt == "chat":
            yield "With the chat template of its tokenizer."
            return
        folder = self.contents.results / policy.task / "problems"
        published = {split for task, split in self.contents.problems if task == policy.task}
        if not {"shots", "test"} <= published:
            yield "As `study.yaml` says; the texts of its prompts are not published."
            return
        task = load_task(graph.module(policy.task))
        stored = read_policy(self.contents.results / policy.path / "policy.json")
        shots = read_problems(folder / "shots.parquet")
        form = Prompts("base", task, shots, stored.checkpoint).form(stored.own_prompt(policy.task))
        problem = read_problems(folder / "test.parquet")[0]
        ends = " or ".join(map(repr, task.stop))
        yield f"This is the whole prompt of {problem.id}; a completion ends at {ends}."
        yield ""
        yield f"````text\n{form.prefix}{form.prompt(task.question(problem.question))}\n````"

    def _dataset(self) -> str:
        if self.owner is None:
            return "the data set beside it"
        name = f"{self.owner}/{self.contents.study}"
        return f"the data set [{name}](https://huggingface.co/datasets/{name})"

    def _recipe(self, policy: Policy) -> Iterator[str]:
        """Yield the lineage and the settings of a policy."""
        graph = self.contents.graph
        manifest = read_policy(self.contents.results / policy.path / "policy.json")
        provenance, report = manifest.provenance, manifest.report
        source = graph.study.models[policy.model].source
        what = json.dumps(source.model_dump(mode="json"))
        if isinstance(source, EmbeddedModel):
            what = (
                f"embedded model {source.size}: a tiny Llama that is part of restem, pretrained on "
            )
            what += "procedural problems; no evidence on language models"
        yield f"- base model: {what}"
        yield f"- starts from: `{graph.start(policy).path}`"
        for drawn in graph.sources(policy):
            yield f"- trained on completions of: `{drawn.draws.path}`"
        data = graph.study.tasks[policy.task].data.source.model_dump(mode="json")
        yield f"- problems: {json.dumps({k: v for k, v in data.items() if k != 'files'})}"
        yield f"- examples: {report.get('examples')}; steps: {len(report.get('losses', []))}"
        yield f"- recipe: `{provenance['key']}`, content: `{manifest.content}`"
        yield f"- code: `{provenance['code']}`, environment: `{provenance['environment']}`"
        yield "- settings:"
        yield ""
        yield "| key | value |"
        yield "| :-- | :-- |"
        for key, value in flatten(provenance["settings"]).items():
            yield f"| {key} | {str(value).replace('|', '&#124;')} |"

    def _reproduction(self, target: str = "") -> list[str]:
        command = f"snakemake --cores 2 --configfile {STUDY_FILE}"
        return [
            "## Reproduce it",
            "",
            f"With restem at commit `{commit()}` and `{STUDY_FILE}` of the data set:",
            "",
            f"```bash\n{f'{command} {target}'.strip()}\n```",
            "",
            "`seal.json` beside each policy has the digests of everything that it was made from, "
            "and of its files; only `README.md` was written anew when it was published.",
        ]


def _card(metadata: Any, lines: Sequence[str]) -> str:
    """Return a card of the hub, which ends in how to cite."""
    cite = "The software that made it, restem, has a `CITATION.cff`. The method:"
    text = "\n".join([*lines, "", "## Cite", "", cite, "", _PAPER])
    return f"---\n{metadata.to_yaml()}\n---\n\n{text}\n"


def commit() -> str:
    """Return the commit of this checkout, and whether it has changes."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _rows_of(summary: Sequence[Mapping[str, Any]], policy: Policy) -> list[Mapping[str, Any]]:
    """Return the estimates of a policy by itself, not those over several training seeds."""
    own = (policy.model, policy.variant, policy.iteration, policy.seed)
    return [r for r in summary if (r["model"], r["variant"], r["iteration"], r["seed"]) == own]


def _interval(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return "no interval"
    return f"[{row['low']:.4f}, {row['high']:.4f}]"


def _results(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| task | split | decoding | quantity | estimate | interval | problems |"
    yield "| :-- | :-- | :-- | :-- | --: | :-- | --: |"
    for row in rows:
        if row["estimate"] is not None:
            yield (
                f"| {row['task']} | {row['split']} | {row['decoding']} | {row['quantity']} "
                f"| {row['estimate']:.4f} | {_interval(row)} | {row['problems']} |"
            )
