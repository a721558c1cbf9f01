"""Datasets of reasoning-gym: the same problems everywhere, disjoint splits, no answer evaluated."""

import importlib.util
import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from restem.config.data import TaskData
from restem.config.load import load_study, read_yaml
from restem.config.reward import Reward
from restem.config.study import TaskBlock
from restem.errors import RestemError
from restem.rewards import gym_datasets
from restem.rewards.reasoning_gym import answer_in, check_arithmetic
from restem.rewards.verifier import Attempt
from restem.stages.declaration import load_stage
from restem.study.policy_graph import PolicyGraph
from restem.tasks import reasoning_gym as gym_tasks
from restem.tasks.grading import Grader, open_grader
from restem.tasks.problem import Problem
from restem.tasks.registry import load_task
from restem.tasks.splits import load_split
from restem.tasks.task import few_shot_prefix, hinted
from tests.conftest import REQUIRED

SPEC = importlib.util.find_spec("reasoning_gym")
if SPEC is None and not os.environ.get(REQUIRED):
    pytest.skip("needs reasoning-gym: make reasoning-gym", allow_module_level=True)

CONFIG = Path(__file__).parents[3] / "config"
TASK = load_task("reasoning_gym")
SUMS = {"chain_sum": {"min_terms": 2, "max_terms": 2, "max_digits": 2}}
# They have many right answers, or none is known before a scorer looks at one.
WITHOUT_ANSWER = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
# Where the library evaluates text. A new place has to be read before the version is raised.
EVALUATES = {
    "algebra/intermediate_integration.py", "algebra/polynomial_multiplication.py",
    "algebra/simple_integration.py", "algorithmic/binary_matrix.py",
    "algorithmic/number_sorting.py", "algorithmic/spiral_matrix.py",
    "algorithmic/string_insertion.py", "arithmetic/basic_arithmetic.py",
    "arithmetic/bitwise_arithmetic.py", "arithmetic/gsm_symbolic/generators_00_49.py",
    "arithmetic/gsm_symbolic/generators_50_99.py", "code/codeio.py", "games/countdown.py",
    "games/n_queens.py", "games/puzzle24.py",
}  # fmt: skip


def data(datasets: dict[str, Any], **counts: int) -> TaskData:
    source = {"kind": "reasoning_gym", "datasets": datasets}
    counts = {"train": 0, "validation": 0, "test": 0, "shots": 0, **counts}
    return TaskData.model_validate({"source": source, **counts})


def problems(datasets: dict[str, Any], split: Any, **counts: int) -> list[Problem]:
    return load_split(TASK, data(datasets, **counts), split).problems


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with open_grader("reasoning_gym", TASK.verifier, Reward()) as opened:
        yield opened


def test_every_dataset_gives_problems_that_their_own_answers_solve(grader: Grader) -> None:
    with warnings.catch_warnings():  # of cellpylib, when Python compiles it
        warnings.simplefilter("ignore", SyntaxWarning)
        import reasoning_gym.factory

    names = sorted(set(reasoning_gym.factory.DATASETS) - {"composite"})
    assert len(names) > 100
    made = problems({name: {} for name in names}, "train", train=len(names))
    assert sorted(problem.subject for problem in made) == names
    unsolved = {problem.subject for problem in made if not problem.solutions}
    assert unsolved == WITHOUT_ANSWER
    solved = [problem for problem in made if problem.solutions]
    attempts = [Attempt(str(p.answer), TASK.answer(p.solutions["human"])) for p in solved]
    verdicts = grader.verdicts(attempts)
    wrong = {p.subject: v for p, v in zip(solved, verdicts, strict=True) if v.reward != 1}
    assert wrong == {}


def test_splits_are_disjoint_and_larger_ones_hold_the_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = {"train": 300, "validation": 60, "test": 150, "shots": 8}
    splits = {name: problems(SUMS, name, **counts) for name in counts}
    assert {name: len(found) for name, found in splits.items()} == counts
    questions = [problem.question for found in splits.values() for problem in found]
    assert len(set(questions)) == len(questions)
    monkeypatch.setenv("PYTHONHASHSEED", "7")  # of the study's processes
    fewer = problems(SUMS, "train", train=100, shots=2)
    assert {p.id for p in fewer} < {p.id for p in splits["train"]}


def test_problems_do_not_depend_on_the_hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {"isomorphic_strings": {}, "ransom_note": {}}  # these iterate over sets
    made = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        gym_tasks._in_a_process.cache_clear()
        made.append(problems(sets, "test", test=6))
    assert made[0] == made[1]


def test_a_split_is_generated_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    first = problems(SUMS, "test", test=5)
    monkeypatch.setattr(gym_tasks.subprocess, "run", None)
    assert problems(SUMS, "test", test=5) == first


def test_datasets_take_turns_and_are_the_subjects() -> None:
    made = problems({**SUMS, "gcd": {}, "lcm": {}}, "test", test=8)
    subjects = [problem.subject for problem in made]
    assert sorted(subjects.count(name) for name in set(subjects)) == [2, 3, 3]


def test_a_number_of_the_metadata_becomes_the_level() -> None:
    source = {"kind": "reasoning_gym", "datasets": {**SUMS, "gcd": {}}, "level": "num_digits"}
    counts = {"train": 0, "validation": 0, "test": 20, "shots": 0}
    stated = TaskData.model_validate({"source": source, **counts})
    made = load_split(TASK, stated, "test").problems
    assert {p.level for p in made if p.subject == "gcd"} == {None}
    sums = [p for p in made if p.subject == "chain_sum"]
    assert {p.level for p in sums} == {1, 2}
    for problem in sums:
        assert problem.level == max(len(n) for n in re.findall(r"\d+", problem.question))
    source["level"] = "digits"
    with pytest.raises(RestemError, match=r"(?s)'digits'.*one of num_digits, num_terms, result"):
        load_split(TASK, TaskData.model_validate({"source": source, **counts}), "test")


def test_prompts_and_hints_state_answers_and_not_recipes() -> None:
    shots = problems(SUMS, "shots", shots=2)
    prompt = few_shot_prefix(TASK, shots)
    assert re.fullmatch(r"(Question: .* =\nAnswer: The answer is -?\d+\.\n\n){2}", prompt)
    answer = json.loads(str(shots[0].answer))["answer"]
    assert f"(The answer is {answer}.)" in hinted(TASK, shots[0])


# ---- scoring ----


def gold_of(dataset: str) -> str:
    return str(problems({dataset: {}}, "test", test=1)[0].answer)


@pytest.mark.parametrize(
    "dataset",
    ["countdown", "puzzle24", "simple_integration", "intermediate_integration", "n_queens",
     "polynomial_multiplication", "string_insertion", "spiral_matrix", "binary_matrix"],
)  # fmt: skip
def test_no_answer_is_evaluated(dataset: str, grader: Grader, tmp_path: Path) -> None:
    mark = tmp_path / "evaluated"
    call = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    gold = gold_of(dataset)
    answers = [
        call, f"[{call}]", f"({call}, 1)[1]", f"lambda: {call}", "().__class__.__mro__",
        "[c for c in ().__class__.__base__.__subclasses__()]", "x.__class__", "open('/etc/passwd')",
        "exec('1')", "print(1)",
    ]  # fmt: skip
    verdicts = grader.verdicts([Attempt(gold, f"The answer is {answer}") for answer in answers])
    assert not mark.exists()
    assert all(verdict.reward == 0 for verdict in verdicts)


def test_the_places_where_the_library_evaluates_text_are_known() -> None:
    assert SPEC is not None and SPEC.origin is not None
    root = Path(SPEC.origin).parent
    pattern = re.compile(
        r"(?<![\w.])(?<!def )(?:eval|exec|compile|__import__)\("
        r"|(?:sympy|sp)\.(?:parse_expr|sympify)\(|(?<![\w.])sympify\(|sympy_parser|os\.system|subprocess|pickle|yaml\.load\("
    )
    found = {
        str(path.relative_to(root)) for path in root.rglob("*.py")
        if pattern.search(path.read_text()) and not path.is_relative_to(root / "coaching")
    }  # fmt: skip
    assert found == EVALUATES


@pytest.mark.parametrize("text", ["2*x**2 + sqrt(3)/4", "(8 - 4) * 6", "-x^2 + C", "1.5 + .5"])
def test_arithmetic_is_read(text: str) -> None:
    check_arithmetic(text)


@pytest.mark.parametrize("text", ["x.real", "g1(1)", "'a'", "[1]", "a_b", "lambda x", "1;2"])
def test_what_is_no_arithmetic_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="no arithmetic"):
        check_arithmetic(text)


def test_an_endless_answer_costs_its_verdict_only(grader: Grader) -> None:
    gold = gold_of("countdown")
    long, short = grader.verdicts(
        [Attempt(gold, f"The answer is {text}") for text in ("9**9**9**9", "1+1")]
    )
    assert long.reward == short.reward == 0
    assert short.verdict == "incorrect"
    assert 0 < short.fraction < 1  # the scorer's own, for a try in the right form


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (" The answer is 12.\n\n", "12"),
        ("So 7. The answer is: 12", "12"),
        ("the answer is 3. No, the answer is 4.", "4"),
        ("<think>The answer is 3.</think> The answer is 4.", "4"),
        ("I say <answer> 12 </answer> now", "12"),
        ("The answer is\n1 2\n3 4", "1 2\n3 4"),
        ("12", None),
        ("", None),
    ],
)
def test_the_last_marked_answer_counts(completion: str, answer: str | None) -> None:
    attempt = Attempt(json.dumps({"answer": "12"}), completion)
    assert answer_in(attempt, strict=True) == answer
    if completion == "12":
        assert answer_in(attempt, strict=False) == "12"


def test_a_full_stop_that_belongs_to_the_answer_stays() -> None:
    attempt = Attempt(json.dumps({"answer": "He sleeps."}), "The answer is He sleeps.")
    assert answer_in(attempt, strict=True) == "He sleeps."


def test_a_problem_that_is_another_one_when_made_again_ends_the_job(grader: Grader) -> None:
    recipe = json.loads(gold_of("gcd"))
    for change in ({"index": recipe["index"] + 1, "answer": "no number"}, {"version": "0.0.1"}):
        with pytest.raises(RestemError, match="the verifier failed"):
            grader.verdicts([Attempt(json.dumps(recipe | change), "The answer is 1.")])


# ---- errors ----


@pytest.mark.parametrize(
    ("datasets", "message", "fix"),
    [
        ({"chain_sun": {}}, "no dataset 'chain_sun'.*chain_sum", "name one of"),
        ({"chain_sum": {"terms": 2}}, "refuses its parameters", "min_terms"),
        ({"chain_sum": {"min_terms": 3, "max_terms": 2}}, "refuses its parameters", "max_terms"),
        ({"chain_sum": {"max_terms": 2, "max_digits": 1}}, "about .* problems", "fewer"),
    ],
)
def test_what_the_library_refuses_is_named(
    datasets: dict[str, Any], message: str, fix: str
) -> None:
    with pytest.raises(RestemError, match=message) as caught:
        problems(datasets, "test", test=1000)
    assert fix in caught.value.fix
    assert next(iter(datasets)) in caught.value.where


def test_another_version_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym_datasets, "version", lambda package: "9.9")
    with pytest.raises(RestemError, match=r"9\.9 is installed"):
        problems(SUMS, "test", test=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": None}, "train: set a number"),
        ({"levels": [1]}, "levels: leave it out"),
        ({"exclude_overlap": "exact"}, "exclude_overlap: leave it out"),
        ({"source": {"kind": "reasoning_gym", "datasets": {}}}, "at least 1"),
        ({"source": {"kind": "reasoning_gym", "datasets": {"gcd": {"size": 5}}}}, "size"),
        ({"source": {"kind": "reasoning_gym", "datasets": {"composite": {}}}}, "take turns"),
    ],
)
def test_a_study_says_what_it_wants_of_the_library(change: dict[str, Any], message: str) -> None:
    stated = {"source": {"kind": "reasoning_gym", "datasets": SUMS}, "train": 1, "validation": 1}
    with pytest.raises(ValidationError, match=message):
        TaskBlock.model_validate({"data": {**stated, "test": 1, **change}})


@pytest.mark.parametrize("split", ["train", "validation", "test", "shots"])
def test_the_job_that_loads_a_split_accepts_what_the_study_states(split: Any) -> None:
    """It is given the number of its own split only."""
    study = load_study(read_yaml(CONFIG / "smollm2.yaml"), CONFIG)
    stated = PolicyGraph(study).problems_settings("sums", split)
    settings = load_stage("problems").settings(stated)
    assert settings.model_dump()["data"][split] == getattr(study.tasks["sums"].data, split)
