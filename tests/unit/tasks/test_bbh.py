"""BIG-Bench Hard is asked as published, split into 23 tasks and graded letter by letter."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from restem.config.data import TaskData
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.exact import open_verifier
from restem.rewards.verifier import Attempt
from restem.sampling.prompts import Prompts
from restem.tasks.bbh import FILES, subject_of
from restem.tasks.registry import load_task
from restem.tasks.splits import load_split
from restem.tasks.task import few_shot_prefix
from tests.unit.tiny_models import word_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return made-up data in the benchmark's layout: two questions a file."""
    (tmp_path / "bbh").mkdir()
    (tmp_path / "prompts").mkdir()
    for name in FILES:
        rows = [{"input": f"{name} {i}?", "target": f"({'AB'[i]})"} for i in range(2)]
        text = json.dumps({"canary": "never read me", "examples": rows})
        (tmp_path / "bbh" / f"{name}.json").write_text(text)
    prompts = {
        name: {
            "description": f"Do {subject_of(name)}.\n\n",
            "samples": [
                {"input": f"example {i}?", "target": f"We think {i}. So the answer is ({i})."}
                for i in range(3)
            ],
        }
        for name in FILES
    }
    (tmp_path / "prompts" / "bbh_cot_3shot_lm_eval.json").write_text(json.dumps(prompts))
    return tmp_path


def data(folder: Path) -> TaskData:
    return TaskData.model_validate(
        {"source": {"kind": "local", "directory": folder, "held_out": 0}}
    )


def test_27_files_are_23_tasks(folder: Path) -> None:
    assert len(FILES) == 27
    assert len({subject_of(name) for name in FILES}) == 23
    problems = load_split(load_task("bbh_cot"), data(folder), "test").problems
    counts = Counter(problem.subject for problem in problems)
    assert len(counts) == 23
    assert counts["logical_deduction"] == counts["tracking_shuffled_objects"] == 6
    assert sum(counts.values()) == 54


def test_every_question_follows_the_examples_of_its_own_task(folder: Path) -> None:
    task = load_task("bbh_cot")
    shots = load_split(task, data(folder), "shots").problems
    assert Counter(shot.subject for shot in shots) == dict.fromkeys(map(subject_of, FILES), 3)
    prefix = few_shot_prefix(task, shots, "snarks")
    assert prefix.startswith(
        "Do snarks.\n\nQ: example 0?\nA: Let's think step by step.\nWe think 0."
    )
    assert prefix.count("Q: ") == 3
    assert prefix.endswith("So the answer is (2).\n\n")


def test_direct_examples_show_their_answers_alone(folder: Path) -> None:
    task = load_task("bbh_direct")
    prefix = few_shot_prefix(task, load_split(task, data(folder), "shots").problems, "snarks")
    assert prefix == "Do snarks.\n\n" + "".join(f"Q: example {i}?\nA: ({i})\n\n" for i in range(3))


def test_the_canary_is_in_no_prompt_and_no_problem(folder: Path) -> None:
    task = load_task("bbh_cot")
    for split in ("test", "shots"):
        problems: Any = load_split(task, data(folder), split).problems  # type: ignore[arg-type]
        assert "never read me" not in str(problems)


def test_files_of_other_names_and_layouts_are_told_by_their_names(folder: Path) -> None:
    (folder / "snarks").mkdir()
    (folder / "bbh/snarks.json").rename(folder / "snarks/test-00000-of-00001.json")
    (folder / "bbh/navigate.json").rename(folder / "other.json")

    def read(file: str) -> list[str]:
        settings = data(folder)
        files = {"test": {file: 2}}
        source = settings.source.model_copy(update={"files": files})
        loaded = load_split(
            load_task("bbh_cot"), settings.model_copy(update={"source": source}), "test"
        )
        return [problem.subject for problem in loaded.problems]

    assert read("snarks/test-00000-of-00001.json") == ["snarks"] * 2
    with pytest.raises(RestemError, match="none of the benchmark's"):
        read("other.json")


def test_there_is_nothing_to_train_on(folder: Path) -> None:
    with pytest.raises(RestemError, match="no train split"):
        load_split(load_task("bbh_cot"), data(folder), "train")


GRADES = [
    ("So the answer is (B).", "(B)", "correct"),
    ("the answer is (A). No, the answer is (B).", "(B)", "correct"),
    ("So the answer is (B)", "(B)", "correct"),
    ("So the answer is B.", "(B)", "incorrect"),
    ("So the answer is True.", "True", "correct"),
    ("So the answer is true.", "True", "incorrect"),
    ("So the answer is ] ] >.", "] ] >", "correct"),
    ("I think (B).", "(B)", "unextractable"),
    ("So the answer is ", "(B)", "unextractable"),
    ("", "(B)", "unextractable"),
]


@pytest.mark.parametrize(("completion", "gold", "expected"), GRADES)
def test_chains_of_thought_are_graded_as_officially(
    completion: str, gold: str, expected: str
) -> None:
    with open_verifier(Reward(), ("answer_is",)) as verifier:
        [verdict] = verifier.verify([Attempt(gold, completion)], "strict")
    assert verdict.verdict == expected


@pytest.mark.parametrize(
    ("completion", "gold", "expected"),
    [(" (B)\n", "(B)", "correct"), (" (B)\nor (C)", "(B)", "correct"), (" B", "(B)", "incorrect"),
     ("", "no", "unextractable"), (" no.", "no", "correct")],
)  # fmt: skip
def test_direct_answers_are_the_first_line(completion: str, gold: str, expected: str) -> None:
    with open_verifier(Reward(), ()) as verifier:
        [verdict] = verifier.verify([Attempt(gold, completion)], "strict")
    assert verdict.verdict == expected


def test_the_flexible_policy_forgives_brackets_case_and_a_missing_phrase() -> None:
    with open_verifier(Reward(), ("answer_is",)) as verifier:
        attempts = [Attempt("(B)", "So the answer is b."), Attempt("(B)", "Hm.\n(B)")]
        verdicts = verifier.verify(attempts, "flexible")
    assert [verdict.verdict for verdict in verdicts] == ["correct", "correct"]


@pytest.mark.parametrize("mode", ["strict", "flexible"])
@pytest.mark.parametrize("markers", [("answer_is",), ()])
def test_thoughts_are_no_answer(markers: tuple[str, ...], mode: str) -> None:
    answer = "So the answer is (B)." if markers else "(B)\nas I thought"
    completion = f"<think>\nSo the answer is (A).\n</think>\n\n{answer}"
    with open_verifier(Reward(), markers) as verifier:
        verdicts = verifier.verify([Attempt("(B)", completion), Attempt("(A)", completion)], mode)
    assert [verdict.verdict for verdict in verdicts] == ["correct", "incorrect"]


TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_in_chat_every_question_follows_the_examples_of_its_own_task(
    folder: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    tokenizer = word_tokenizer(["a"], ".")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(checkpoint)
    task = load_task("bbh_cot")
    shots = load_split(task, data(folder), "shots").problems
    asked = load_split(task, data(folder), "test").problems
    prompts = Prompts("chat", task, shots, checkpoint)
    for problem in asked:
        form = prompts.form(subject=problem.subject)
        request = form.request(problem.id, task.question(problem.question), (0,), (0,))
        text = request.prefix + request.prompt
        assert text.startswith(f"[user]Do {problem.subject}.\n\nQ: example 0?")
        assert text.count("[user]") == 4
        assert text.count("Do ") == 1
        assert request.prompt.startswith(task.question(problem.question).strip())
        assert request.chat
