"""A model with a chat template goes through the stages: taught, asked, taught by its own turns."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.schemas.loop import EXAMPLES, KEPT, PROBLEMS, REWARDS, SAMPLES
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.training import Training
from restem.embedded import weights
from restem.embedded.world import problems
from restem.policies.manifest import PolicyManifest, read_policy, write_policy
from restem.policies.tokenizer import load_tokenizer
from restem.sampling.prompts import Prompts
from restem.stages import examples, policy, samples
from restem.tasks.problem import SHOT, Problem, read_problems, to_row
from restem.tasks.registry import load_task
from restem.training.examples import Encoded, encode_examples, in_form

# In the manner of Mistral; the model knows the text between turns from its pretraining, and ends
# its texts with <eos>. A turn ends with another token, as in Llama 3 and Gemma.
END = "<pad>"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ m.content }}{% else %}{{ ' ' + m.content + pad_token }}{% endif %}"
    "{% endfor %}"
)
COMMON = {"task": "chain", "prompt": "chat"}
GREEDY = {"draws": 1, "temperature": 0, "max_tokens": 96}
TRAINING = {"learning_rate": 4e-4, "epochs_max": 3, "batch_size": 16, "stop": "epochs"}


def job(stage: str, settings: dict[str, Any]) -> Job:
    return Job(Recipe(stage, settings, {}, "none", {"policy": []}), {})


class Loop:
    """The files of one loop in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems = self._problems("problems", problems("chain", "train", 96))
        self.validation = self._problems("validation", problems("chain", "validation", 8))
        [shot] = problems("chain", "test", 1)
        shown = {**shot, "solutions": {SHOT: shot["solutions"]["careful"]}}
        self.shots = self._problems("shots", [shown])
        base = root / "base"
        weights.unpack("S", base / "checkpoint")
        tokenizer = load_tokenizer(base / "checkpoint")
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(base / "checkpoint")
        write_policy(base / "policy.json", {}, {})
        self.base = read_policy(base / "policy.json")

    def _problems(self, name: str, rows: list[dict[str, Any]]) -> Path:
        made = [Problem(**row) for row in rows]
        write_table(self.root / name, PROBLEMS, table(PROBLEMS, map(to_row, made)), {})
        return self.root / name

    def sampled(self, asked: PolicyManifest, name: str) -> Path:
        settings = {**COMMON, "engine": {"device": "cpu"}, "decoding": GREEDY}
        settings["address"] = ("train", "greedy", 0)
        stated = samples.Settings.model_validate(settings)
        output = self.root / name
        samples.run(
            job("samples", settings), stated, asked.path, self.problems, self.shots, output=output
        )
        return output

    def selected(self, name: str, drawn: Path | None, **selection: Any) -> Path:
        """Select reference solutions, or all turns that ended."""
        rewards = self.root / f"{name}.rewards"
        verdicts = [
            {
                "problem_id": row["problem_id"], "draw": row["draw"], "fraction": reward,
                "reward": reward, "verdict": "correct" if reward else "incorrect", "layer": "",
                "flexible": "", "extracted": None, "detail": None,
            }
            for row in (read_rows(drawn, SAMPLES) if drawn else [])
            for reward in [float(row["stop_reason"] == END)]
        ]  # fmt: skip
        write_table(rewards, REWARDS, table(REWARDS, verdicts), {})
        settings = {**COMMON, "selection": selection, "seed": [0, 1]}
        output = self.root / name
        examples.run(
            job("examples", settings), examples.Settings.model_validate(settings),
            [drawn] if drawn else [], [rewards] if drawn else [],
            problems=self.problems, shots=self.shots, output=output,
        )  # fmt: skip
        return output

    def taught(self, name: str, rows: Path, **training: Any) -> PolicyManifest:
        settings = {
            **COMMON, "verifier": "math", "reward": {}, "engine": {"device": "cpu"},
            "validation": GREEDY, "seed": 0, "training": {**TRAINING, **training},
        }  # fmt: skip
        output = self.root / name / "policy.json"
        policy.run(
            job("policy", settings), policy.Settings.model_validate(settings), rows,
            self.base.path, self.shots, validation=[self.validation],
            output=output, checkpoint=output.parent / "checkpoint",
        )  # fmt: skip
        return read_policy(output)

    def encoded(self, rows: Path) -> list[Encoded]:
        """Return what a policy is trained on."""
        task, checkpoint = load_task("chain"), self.base.checkpoint
        form = Prompts("chat", task, read_problems(self.shots), checkpoint).form()
        kept = [row for row in read_rows(rows, EXAMPLES) if row["decision"] == KEPT]
        texts = in_form(kept, form, task, "keep")
        return encode_examples(texts, load_tokenizer(checkpoint), Training(), None)[0]


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    return Loop(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def solutions(loop: Loop) -> Path:
    return loop.selected("solutions", None, model_data=False, human="careful")


@pytest.fixture(scope="module")
def first(loop: Loop, solutions: Path) -> PolicyManifest:
    return loop.taught("first", solutions)


@pytest.fixture(scope="module")
def drawn(loop: Loop, first: PolicyManifest) -> Path:
    return loop.sampled(first, "drawn")


def ends(path: Path) -> Counter[str | None]:
    return Counter(row["stop_reason"] for row in read_rows(path, SAMPLES))


def test_a_policy_learns_to_end_its_turn(loop: Loop, drawn: Path) -> None:
    before = ends(loop.sampled(loop.base, "before"))
    assert before[END] == 0
    assert ends(drawn)[END] > 80


def test_the_template_stays_with_the_policy(first: PolicyManifest) -> None:
    assert load_tokenizer(first.checkpoint).chat_template == TEMPLATE


def test_a_policy_is_trained_on_the_tokens_that_it_was_asked_and_said(
    loop: Loop, drawn: Path
) -> None:
    rows = read_rows(drawn, SAMPLES)
    ended = [row for row in rows if row["stop_reason"] == END]
    encoded = loop.encoded(loop.selected("own", drawn))
    assert len(ended) == len(encoded) > 80
    assert [row["prompt_tokens"] for row in ended] == [len(one.prompt) for one in encoded]
    tokenizer = load_tokenizer(loop.base.checkpoint)
    said = [row["completion"] + END for row in ended]
    assert tokenizer.batch_decode([one.target for one in encoded]) == said
    # A policy may spell a text with unusual tokens; then training has the usual ones.
    alike = sum(row["tokens"] == len(one.target) for row, one in zip(ended, encoded, strict=True))
    assert alike > 0.9 * len(ended)


def test_the_next_policy_is_fitted_to_the_turns_of_the_last(loop: Loop, drawn: Path) -> None:
    rows = loop.selected("own", drawn)
    reports = {
        layout: loop.taught(layout, rows, layout=layout, epochs_max=1, validations=1).report
        for layout in ("tree", "packed", "padded")
    }
    targets = sum(len(example.target) for example in loop.encoded(rows))
    for layout, report in reports.items():
        assert report["tokens"]["target"] == targets
        assert len(report["validations"]) == 2
        assert (report["tokens"]["prefix"] > 0) == (layout == "tree")
        assert report["losses"] == pytest.approx(reports["padded"]["losses"], rel=1e-3)
        assert report["losses"][-1] < report["losses"][0]
