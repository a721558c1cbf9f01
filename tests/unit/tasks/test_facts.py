"""The facts of the embedded world are asked as pretraining wrote them, and are there to test on."""

import random
from typing import Any

import pytest

from restem.config.data import TaskData
from restem.config.reward import Reward
from restem.embedded import corpus, world
from restem.errors import RestemError
from restem.rewards.exact import open_verifier
from restem.rewards.verifier import Attempt
from restem.tasks import facts
from restem.tasks.splits import load_split


def data(**changes: Any) -> TaskData:
    block = {"source": {"kind": "embedded"}, "train": 0, "validation": 0, "shots": 0}
    return TaskData.model_validate({**block, **changes})


def test_a_question_with_its_answer_is_a_document_of_the_corpus() -> None:
    recipe = corpus.CorpusRecipe(families=(("facts", 1.0),), drill_share=0.0, longest_document=1)
    rng = random.Random(0)
    written = {
        "".join(passage.text for passage in corpus.document(rng, recipe, 0.5)) for _ in range(2000)
    }
    problems = load_split(facts.TASK, data(), "test").problems
    assert written == {
        facts.TASK.question(problem.question) + facts.TASK.answer(problem.answer or "")
        for problem in problems
    }
    assert len(problems) == len(world.OWNERS) * len(world.ANIMALS)


@pytest.mark.parametrize(
    ("completion", "verdict"),
    [(" {gold}", "correct"), (" {gold}\n\nQ: and", "correct"), (" not {gold}", "incorrect"),
     (" It is {gold}.", "incorrect"), ("", "unextractable")],
)  # fmt: skip
def test_the_colour_alone_is_right(completion: str, verdict: str) -> None:
    problem = load_split(facts.TASK, data(), "test").problems[0]
    attempt = Attempt(problem.answer or "", completion.format(gold=problem.answer))
    with open_verifier(Reward(), facts.TASK.markers) as verifier:
        assert verifier.verify([attempt], "strict")[0].verdict == verdict


def test_they_are_never_trained_on() -> None:
    with pytest.raises(RestemError, match="no train split"):
        load_split(facts.TASK, data(train=10), "train")


def test_owners_are_the_subjects() -> None:
    problems = load_split(facts.TASK, data(), "test").problems
    assert {problem.subject for problem in problems} == {"animals of Ida", "animals of Karl"}
