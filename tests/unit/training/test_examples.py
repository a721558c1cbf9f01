import copy
import random
from functools import partial
from typing import Any

import pytest

from restem.config.training import Training
from restem.errors import RestemError
from restem.training.batches import epoch_order as shuffled
from restem.training.examples import EmptyExamples, Encoded, Example, encoded


def test_targets_follow_the_prompts_tokens(tokenizer: Any) -> None:
    rows, skipped = encoded([Example("ab", " c", "cd##", 1.0)], tokenizer, Training(), None)
    assert rows[0].prompt == tokenizer("ab c").input_ids
    assert rows[0].target == tokenizer("cd##", add_special_tokens=False).input_ids
    assert skipped == {}


def test_a_token_across_the_seam_leaves_the_prompt_as_it_is_sampled(tokenizer: Any) -> None:
    rows, _ = encoded([Example("", "fa", "b##", 1.0)], tokenizer, Training(), None)
    assert rows[0].prompt == tokenizer("fa").input_ids
    assert tokenizer.decode(rows[0].target) == "b##"


def test_end_of_text_is_appended_on_request_only(tokenizer: Any) -> None:
    example = [Example("", "a", "b", 1.0)]
    with_end, _ = encoded(example, tokenizer, Training(end_of_text=True), None)
    without, _ = encoded(example, tokenizer, Training(), None)
    assert with_end[0].target == [*without[0].target, tokenizer.eos_token_id]


def test_end_of_text_needs_such_a_token(tokenizer: Any) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.eos_token = None
    with pytest.raises(RestemError, match="no end-of-text token"):
        encoded([Example("", "a", "b", 1.0)], bare, Training(end_of_text=True), None)


def test_what_does_not_fit_is_counted_not_cut(tokenizer: Any) -> None:
    examples = [
        Example("", "a", "f" * 6, 1.0),
        Example("", "a", "f" * 7, 1.0),
        Example("", "a", "b", 0.0),
        Example("", "a", "", 1.0),
    ]
    rows, skipped = encoded(examples, tokenizer, Training(max_length_tokens=8), 100)
    assert [len(row) for row in rows] == [8]
    assert skipped == {"too_long": 1, "zero_weight": 1, "empty": 1}
    _, skipped = encoded(examples[:2] + examples[:1], tokenizer, Training(), 8)
    assert skipped == {"too_long": 1}


@pytest.mark.parametrize(
    "examples", [[], [Example("", "a", "b", 0.0)], [Example("", "a", "f" * 99, 1.0)]]
)
def test_nothing_left_is_an_error(tokenizer: Any, examples: list[Example]) -> None:
    with pytest.raises(EmptyExamples, match=f"{len(examples)} examples given"):
        encoded(examples, tokenizer, Training(), 50)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_impossible_weights_are_refused(tokenizer: Any, weight: float) -> None:
    with pytest.raises(RestemError, match="weight"):
        encoded([Example("", "a", "b", weight)], tokenizer, Training(), None)


@pytest.mark.parametrize("shuffle", ["examples", "questions"])
def test_an_epoch_has_every_example_once(shuffle: Any) -> None:
    examples = [Encoded([k % 17], [5] * (1 + k % 9), float(k)) for k in range(103)]
    epoch_order = partial(shuffled, shuffle=shuffle)
    batches = epoch_order(examples, 10, random.Random(0))
    assert sorted(row.weight for batch in batches for row in batch) == list(range(103))
    assert len(batches) == 11
    assert max(map(len, batches)) == 10
    assert batches == epoch_order(examples, 10, random.Random(0))
    assert batches != epoch_order(examples, 10, random.Random(1))


def test_questions_stay_together_where_a_step_has_room() -> None:
    examples = [Encoded([k], [5] * (1 + n), 1.0) for n in range(5) for k in range(40)]
    steps = {
        shuffle: [
            {k: sum(e.prompt == [k] for e in batch) for k in range(40)}
            for batch in shuffled(examples, 20, random.Random(3), shuffle)
        ]
        for shuffle in ("examples", "questions")
    }
    assert all(set(step.values()) == {0, 5} for step in steps["questions"])
    assert any(set(step.values()) != {0, 5} for step in steps["examples"])
    cut = shuffled(examples, 7, random.Random(3), "questions")
    spread = [sum([k] in [e.prompt for e in batch] for batch in cut) for k in range(40)]
    assert max(spread) == 2  # a question that does not fit goes on in one other step
    assert len(cut) == 29


def test_alike_questions_meet_in_a_step() -> None:
    """What a pass pads or leaves empty depends on the lengths that come together."""
    examples = [Encoded([k], [5] * (1 + k), 1.0) for k in range(32) for _ in range(2)]
    batches = shuffled(examples, 8, random.Random(0), "questions")
    widths = [max(map(len, batch)) - min(map(len, batch)) for batch in batches]
    assert widths == [3] * 8
