import random
import time

import pytest

from restem.config.data import LocalSource, TaskData
from restem.tasks.overlap import overlaps, shingles
from restem.tasks.problem import Problem
from restem.tasks.registry import load_task
from restem.tasks.splits import load_split

LONG = "A train leaves the town at noon and runs at sixty miles an hour until it meets another one"


def problems(side, *questions):
    return [Problem(f"{side}/{i}", question, "1") for i, question in enumerate(questions)]


def kinds(left, right, **settings):
    pairs = overlaps(problems("l", left), problems("r", right), **settings)
    return [(pair.kind, round(pair.score, 3)) for pair in pairs]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("What is $2$?", "What is $2$?", [("exact", 1.0)]),
        ("What is $2$?", "what  is\n$2$?", [("normalised", 1.0)]),
        (LONG, LONG + " and stops", [("ngram", 1.0)]),
        (LONG, LONG.replace("noon", "ten"), [("fuzzy", 0.7)]),
        (LONG, LONG.replace("miles", "km"), [("fuzzy", 0.7)]),
        (LONG, LONG.replace("noon", "ten").replace("miles", "km"), []),
        ("What is 2?", "What is 3?", []),
        ("What is 5-3?", "What is 5+3?", []),
        ("", "", [("exact", 1.0)]),
    ],
)
def test_a_pair_has_its_strictest_kind(left, right, expected):
    assert kinds(left, right) == expected


def test_the_threshold_is_a_share_of_the_shorter_question():
    other = "Today " + " ".join(LONG.split()[:14]) + " and so on"
    assert kinds(LONG, other, threshold=0.5) == []
    (pair,) = kinds(LONG, other, threshold=0.3)
    assert pair == ("ngram", 0.333)


def test_no_pair_that_resembles_is_missed():
    rng = random.Random(3)
    words = [f"w{i}" for i in range(40)]
    texts = [" ".join(rng.choices(words, k=rng.randint(5, 20))) for _ in range(60)]
    near = [
        " ".join(rng.choice(words) if rng.random() < 0.08 else w for w in t.split()) for t in texts
    ]
    pairs = {(p.left_id, p.right_id) for p in overlaps(problems("l", *texts), problems("r", *near))}
    runs = [[shingles(text, 3) for text in side] for side in (texts, near)]
    expected = {
        (f"l/{i}", f"r/{j}")
        for i, own in enumerate(runs[0])
        for j, other in enumerate(runs[1])
        if min(len(own), len(other)) >= 6 and len(own & other) / len(own | other) >= 0.6
    }
    assert 10 < len(expected) < 60
    assert expected <= pairs


def test_drawings_do_not_count():
    drawing = "[asy]\n" + "draw (a) to (b); " * 40 + "\n[/asy]"
    assert kinds(f"How large is A? {drawing}", f"Name the shaded region. {drawing}") == []


def test_many_problems_with_one_text_are_all_reported():
    pairs = overlaps(problems("l", "a b", "a b"), problems("r", "a b", "A B"))
    assert [(pair.left_id, pair.right_id, pair.kind) for pair in pairs] == [
        ("l/0", "r/0", "exact"), ("l/0", "r/1", "normalised"),
        ("l/1", "r/0", "exact"), ("l/1", "r/1", "normalised"),
    ]  # fmt: skip


def test_shingles_are_runs_of_words():
    assert len(shingles(LONG)) == len(LONG.split()) - 12
    assert len(shingles("too short")) == 1
    assert shingles("?") == set()


def test_the_known_near_duplicates_of_math_are_found_fast(real_data):
    data = TaskData(source=LocalSource(kind="local", directory=real_data, held_out=0))
    train, test = (load_split(load_task("math"), data, s).problems for s in ("train", "test"))
    start = time.process_time()
    pairs = overlaps(train, test)
    assert time.process_time() - start < 60
    assert [
        (pair.left_id, pair.right_id) for pair in pairs if pair.kind not in ("ngram", "fuzzy")
    ] == [
        ("train/algebra/517", "test/algebra/636"),
        ("train/geometry/6032", "test/precalculus/24307"),
    ]
    assert all(pair.kind != "exact" for pair in pairs)
