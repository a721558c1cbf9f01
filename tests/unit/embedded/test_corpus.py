"""Check that the corpus's authors write as their habits say."""

import random
import re

from restem.embedded import corpus, world


def equations(habit: corpus.Habit, count: int = 300) -> list[tuple[str, str]]:
    rng = random.Random(3)
    found = []
    for _ in range(count):
        skeleton = world.draw(rng, 5, "corpus")
        text = corpus.write_solution(rng, "chain", skeleton, habit)
        found += re.findall(r"(\d[\d+\-*]*)=(\d+)", text)
    return found


def share_wrong(habit: corpus.Habit) -> float:
    found = equations(habit)
    return sum(eval(left) != int(right) for left, right in found) / len(found)


def test_an_author_without_slips_is_always_right() -> None:
    assert share_wrong(corpus.Habit(share=1.0, merging=(0.0,), slips=0.0)) == 0.0


def test_an_author_slips_about_as_often_as_the_habit_says() -> None:
    assert 0.2 < share_wrong(corpus.Habit(share=1.0, merging=(-20.0,), slips=0.25)) < 0.3


def test_merging_makes_fewer_equations() -> None:
    careful = equations(corpus.Habit(share=1.0, merging=(-20.0,), slips=0.0))
    hasty = equations(corpus.Habit(share=1.0, merging=(20.0,), slips=0.0))
    assert len(careful) == 5 * 300
    assert len(hasty) < 0.4 * len(careful)


def test_the_first_part_of_the_text_is_clean_and_short() -> None:
    rng = random.Random(1)
    text = "".join(corpus.document(rng, corpus.CorpusRecipe(), 0.0) for _ in range(50))
    found = re.findall(r"(\d[\d+\-*]*)=(\d+)", text)
    assert found and all(eval(left) == int(right) for left, right in found)
    assert ",e=" not in text


def test_the_same_seed_writes_the_same_documents() -> None:
    def write(seed: int) -> list[str]:
        return list(corpus.documents(corpus.CorpusRecipe(), seed, iter([0.1, 0.6, 0.9])))

    assert write(0) == write(0)
    assert write(0) != write(1)
