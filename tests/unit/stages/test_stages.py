"""The stages of the special methods, on small tables and a tiny random model."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.schemas.loop import EXAMPLES, KEPT, PROBLEMS, REWARDS, SAMPLES
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import read_provenance, read_rows, table, write_table
from restem.errors import RestemError
from restem.policies.manifest import read_policy, write_policy
from restem.selection.decide import CUT_OFF
from restem.stages import examples, metrics
from restem.stages import policy as policies
from restem.stages.samples import of_window, unsolved
from restem.tasks.problem import SHOT, Problem, to_row
from restem.tasks.registry import load_task
from restem.tasks.task import few_shot_prefix, hinted

ASKED = [
    Problem(f"p{i}", f"Let $a={i}$. Find $a$.", str(i), solutions={"careful": f"{i}"})
    for i in range(4)
]
ENUMERATED = list(enumerate(ASKED))


def job(stage: str, settings: dict[str, Any]) -> Job:
    return Job(Recipe(stage, settings, {}, "none", {}), {})


def write_problems(path: Path, problems: list[Problem]) -> Path:
    write_table(path, PROBLEMS, table(PROBLEMS, map(to_row, problems)), {})
    return path


def write_drawn(
    folder: Path,
    name: str,
    rewards: dict[tuple[str, int], float],
    cut_off: Collection[tuple[str, int]] = (),
) -> tuple[Any, Any]:
    samples = [
        {"problem_id": p, "draw": d, "seed": 0, "completion": f"{name} {p} {d}", "tokens": 1}
        | {"prompt_tokens": 1, "logprob": -1.0, "request": ""}
        | {"finish_reason": "length" if (p, d) in cut_off else "stop"}
        for p, d in rewards
    ]
    verdicts = [
        {"problem_id": p, "draw": d, "reward": r, "fraction": r, "layer": "", "flexible": ""}
        | {"verdict": "correct" if r else "incorrect", "extracted": str(r), "detail": None}
        for (p, d), r in rewards.items()
    ]
    for kind, rows in ((SAMPLES, samples), (REWARDS, verdicts)):
        write_table(folder / f"{name}.{kind.name}", kind, table(kind, rows), {})
    return folder / f"{name}.samples", folder / f"{name}.rewards"


def select(folder: Path, settings: dict[str, Any], *drawn: tuple[Path, Path]) -> list[Any]:
    problems = write_problems(folder / "problems", ASKED)
    shots = write_problems(folder / "shots", [])
    samples, rewards = [list(paths) for paths in zip(*drawn, strict=True)] or [[], []]
    output = folder / "examples"
    settings = {"task": "chain", "seed": [0, 1], **settings}
    stated = examples.Settings.model_validate(settings)
    examples.run(
        job("examples", settings), stated, samples, rewards, problems=problems, shots=shots,
        output=output,
    )  # fmt: skip
    return read_rows(output, EXAMPLES)


def kept(rows: list[Any]) -> list[tuple[str, str, int]]:
    return [(r["problem_id"], r["source"], r["draw"]) for r in rows if r["decision"] == KEPT]


# ---- counting, one shard at a time ----


def count(folder: Path, *drawn: tuple[Path, Path]) -> list[Any]:
    problems = write_problems(folder / "problems", ASKED)
    write_policy(folder / "policy.json", {}, {}, halted=None)
    address = {
        **{"task": "chain", "split": "test", "decoding": "greedy", "train_task": "chain"},
        **{"model": "S", "variant": "v", "seed": 0, "iteration": 1, "greedy": False},
    }
    samples, rewards = (list(paths) for paths in zip(*drawn, strict=True))
    metrics.run(
        job("metrics", address), metrics.Settings(**address), samples, rewards, problems,
        folder / "policy.json", output=folder / "metrics",
    )  # fmt: skip
    return read_rows(folder / "metrics", METRICS)


VERDICTS = {(f"p{i}", draw): float(draw < i) for i in range(4) for draw in range(3)}


def in_halves(folder: Path, rewards: dict[tuple[str, int], float]) -> list[tuple[Path, Path]]:
    """Write two shards: the first half of the problems, and the other one."""
    halves = []
    for first in (True, False):
        half = {key: r for key, r in rewards.items() if (key[0] in ("p0", "p1")) == first}
        place = folder / ("first" if first else "second")
        place.mkdir(exist_ok=True)
        halves.append(write_drawn(place, "s", half))
    return halves


@pytest.mark.parametrize(
    "settings",
    [
        {"selection": {"cap": 1}},
        {"selection": {"cap": None, "top_share": 0.4, "threshold": None}},
        {"selection": {"human": "careful"}},
        {
            "selection": {"model_data": False, "human": "careful"},
            "sources": [["reference", 0]],
        },
    ],
)
def test_examples_do_not_depend_on_the_shards(settings: dict[str, Any], tmp_path: Path) -> None:
    whole = select(tmp_path, settings, write_drawn(tmp_path, "s", VERDICTS))
    assert kept(whole)
    assert select(tmp_path, settings, *in_halves(tmp_path, VERDICTS)) == whole


@pytest.mark.parametrize("together", [1, 4, 100])
def test_examples_depend_neither_on_the_order_of_samples_nor_on_what_is_read_together(
    together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"selection": {"cap": 1}}
    mixed = dict(sorted(VERDICTS.items(), key=lambda item: (item[0][1], item[0][0])))
    samples, rewards = write_drawn(tmp_path, "s", mixed)
    whole = select(tmp_path, settings, (samples, rewards))
    assert [row["problem_id"] for row in whole] == [f"p{i}" for i in range(4) for _ in range(3)]
    monkeypatch.setattr(examples, "_ROWS_TOGETHER", together)
    assert select(tmp_path, settings, (samples, rewards)) == whole
    backwards = read_rows(samples, SAMPLES)[::-1]
    write_table(samples, SAMPLES, table(SAMPLES, backwards), {})
    assert select(tmp_path, settings, (samples, rewards)) == whole


def test_a_completion_without_a_verdict_is_refused(tmp_path: Path) -> None:
    samples, rewards = write_drawn(tmp_path, "s", VERDICTS)
    write_table(rewards, REWARDS, table(REWARDS, read_rows(rewards, REWARDS)[1:]), {})
    with pytest.raises(RestemError, match="1 completions have no verdict") as refused:
        select(tmp_path, {"selection": {}}, (samples, rewards))
    assert refused.value.where == "problem p0, draw 0"


def test_counts_do_not_depend_on_the_shards(tmp_path: Path) -> None:
    whole = count(tmp_path, write_drawn(tmp_path, "s", VERDICTS))
    assert [(row["problem_id"], row["correct"]) for row in whole] == [
        ("p0", 0), ("p1", 1), ("p2", 2), ("p3", 3),
    ]  # fmt: skip
    halves: list[tuple[Any, Any]] = []
    for odd in (True, False):
        half = {key: r for key, r in VERDICTS.items() if (int(key[0][1]) % 2 == 1) == odd}
        folder = tmp_path / str(odd)
        folder.mkdir()
        halves.append(write_drawn(folder, "s", half))
    assert count(tmp_path, *halves) == whole


def test_counts_that_do_not_close_are_refused(tmp_path: Path) -> None:
    samples, rewards = write_drawn(tmp_path, "s", VERDICTS)
    fewer = {key: reward for key, reward in VERDICTS.items() if key != ("p2", 1)}
    fewer_samples, fewer_rewards = write_drawn(tmp_path, "fewer", fewer)
    for pair in ((fewer_samples, rewards), (samples, fewer_rewards)):
        with pytest.raises(RestemError, match=r"do not close: 1\d completions, 1\d verdicts"):
            count(tmp_path, pair)
    without = {key: reward for key, reward in VERDICTS.items() if key[0] != "p2"}
    with pytest.raises(RestemError, match="do not close: 4 problems, verdicts for 3"):
        count(tmp_path, write_drawn(tmp_path, "without", without))
    others = {key: reward for key, reward in VERDICTS.items() if key[0] == "p2"}
    one, other = write_drawn(tmp_path, "a", others), write_drawn(tmp_path, "b", without)
    with pytest.raises(RestemError, match="do not close"):
        count(tmp_path, (one[0], other[1]), (other[0], one[1]))


# ---- STaR: the hint is in the question, never in the example ----


def test_a_hinted_question_holds_the_answer() -> None:
    assert "42" in hinted(load_task("math"), Problem("p", "What is it?", "42"))
    assert hinted(load_task("chain"), ASKED[3]).count("3") == 2


def test_the_worked_examples_before_a_hinted_question_show_their_answers_too() -> None:
    task = load_task("math")
    shots = [
        Problem(f"s{i}", f"Question {i}?", f"4{i}", solutions={SHOT: "Because."}) for i in range(2)
    ]
    plain, hints = (few_shot_prefix(task, shots, hint=hint) for hint in (False, True))
    assert "40" not in plain
    assert hints.count("(The answer is 40.)") == hints.count("(The answer is 41.)") == 1
    assert hints.replace(" (The answer is 40.)", "").replace(" (The answer is 41.)", "") == plain


def test_the_second_try_is_for_what_the_first_did_not_solve(tmp_path: Path) -> None:
    _, rewards = write_drawn(tmp_path, "first", {("p0", 0): 1.0, ("p1", 0): 0.0, ("p1", 1): 0.0})
    assert [p.id for p in unsolved(ASKED, [rewards])] == ["p1", "p2", "p3"]
    assert unsolved(ASKED, []) == ASKED


def test_only_the_draws_that_a_method_looks_at_count_as_its_first_try(tmp_path: Path) -> None:
    _, rewards = write_drawn(tmp_path, "first", {("p0", 0): 1.0, ("p1", 0): 0.0, ("p1", 1): 1.0})
    assert [p.id for p in unsolved(ASKED, [rewards], 1)] == ["p1", "p2", "p3"]
    assert [p.id for p in unsolved(ASKED, [rewards], 2)] == ["p2", "p3"]


def test_rationalised_examples_show_the_plain_question(tmp_path: Path) -> None:
    plain = write_drawn(tmp_path, "plain", {("p0", 0): 1.0, ("p3", 0): 0.0})
    again = write_drawn(tmp_path, "again", {("p3", 0): 1.0})
    settings = {"selection": {"cap": 1}, "sources": [["model", 0], ["hint", 0]]}
    rows = select(tmp_path, settings, plain, again)
    assert kept(rows) == [("p0", "model", 0), ("p3", "hint", 0)]
    [example] = [row for row in rows if row["source"] == "hint"]
    assert example["prompt"] == load_task("chain").question(ASKED[3].question)
    assert example["prompt"] != hinted(load_task("chain"), ASKED[3])
    assert example["target"].strip() == "again p3 0"


def test_the_stage_knows_what_max_tokens_cut_off(tmp_path: Path) -> None:
    drawn = write_drawn(tmp_path, "d", {("p0", 0): 1.0, ("p0", 1): 1.0}, cut_off={("p0", 0)})
    rows = select(tmp_path, {"selection": {}}, drawn)
    assert [row["decision"] for row in rows] == [CUT_OFF, KEPT]
    assert read_provenance(tmp_path / "examples")["counts"] == {CUT_OFF: 1, KEPT: 1}


@pytest.mark.parametrize("human", [None, "careful"])
def test_turns_are_kept_as_they_were_sampled_and_solutions_without_a_frame(
    tmp_path: Path, human: str | None
) -> None:
    drawn = write_drawn(tmp_path, "\n d", {("p0", 0): 1.0})
    for prompt, texts in (
        ("base", [" d p0 0\n\n", *(f" {i}\n\n" for i in range(4))]),
        ("chat", ["\n d p0 0", *"0123"]),
    ):
        rows = select(tmp_path, {"selection": {"human": human}, "prompt": prompt}, drawn)
        assert [row["target"] for row in rows] == texts[: 5 if human else 1]


# ---- matched questions, subsets, shared draws ----


def test_human_solutions_are_matched_to_what_the_base_solved(tmp_path: Path) -> None:
    base = write_drawn(tmp_path, "base", {("p0", 0): 0.0, ("p2", 0): 1.0, ("p2", 1): 1.0})
    selection = {"model_data": False, "human": "careful"}
    rows = select(tmp_path, {"selection": selection, "sources": [["reference", 0]]}, base)
    assert kept(rows) == [("p2", "human:careful", -1)]


def few_solutions(tmp_path: Path, count: int, **selection: Any) -> list[Any]:
    """Select the human solutions of a task in which so many of four problems have one."""
    some = [replace(p, solutions={"human": p.id} if i < count else {}) for i, p in ENUMERATED]
    stated = {"selection": {"model_data": False, "human": "human", **selection}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "ASKED", some)
        return select(tmp_path, stated)


def test_a_problem_without_a_reference_solution_is_recorded(tmp_path: Path) -> None:
    rows = few_solutions(tmp_path, 3)
    assert [row["decision"] for row in rows] == [KEPT] * 3 + [examples.WITHOUT_SOLUTION]
    assert [row["weight"] for row in rows] == [1.0, 1.0, 1.0, 0.0]


def test_too_few_reference_solutions_are_refused(tmp_path: Path) -> None:
    told = "1 of 4 training problems have a reference solution 'human', and the method wants 50%"
    with pytest.raises(RestemError, match=told):
        few_solutions(tmp_path, 1)
    assert len(kept(few_solutions(tmp_path, 2))) == 2  # half of them is enough
    assert len(kept(few_solutions(tmp_path, 1, human_share_min=0.25))) == 1
    with pytest.raises(RestemError, match="0 of 4"):
        few_solutions(tmp_path, 0, human_share_min=0)


def test_a_policy_counts_the_solutions_where_some_are_missing(tmp_path: Path) -> None:
    few_solutions(tmp_path, 3)
    path = tmp_path / "examples"
    assert policies._references(path) == {"references": {"solutions": 3, "problems": 4}}
    few_solutions(tmp_path, 4)
    assert policies._references(path) == {}


def test_a_reference_says_which_problems_and_gives_no_example(tmp_path: Path) -> None:
    mine = write_drawn(tmp_path, "mine", {("p0", 0): 1.0, ("p2", 0): 1.0})
    base = write_drawn(tmp_path, "base", {("p2", 0): 1.0, ("p3", 0): 1.0})
    settings = {"selection": {}, "sources": [["model", 0], ["reference", 0]]}
    assert kept(select(tmp_path, settings, mine, base)) == [("p2", "model", 0)]


def test_a_subset_is_the_first_problems_and_a_larger_one_includes_it(tmp_path: Path) -> None:
    drawn = write_drawn(tmp_path, "d", {(f"p{i}", 0): 1.0 for i in range(4)})
    found = [
        [name for name, _, _ in kept(select(tmp_path, {"selection": {"problems": n}}, drawn))]
        for n in (1, 2, 4)
    ]
    assert found == [["p0"], ["p0", "p1"], ["p0", "p1", "p2", "p3"]]


def test_draws_that_others_asked_for_leave_no_trace(tmp_path: Path) -> None:
    """More draws of one method must not re-train another: its table keeps its bytes."""
    few = write_drawn(tmp_path, "x", {("p0", d): 1.0 for d in range(2)})
    alone = select(tmp_path, {"selection": {}}, few)
    many = write_drawn(tmp_path, "x", {("p0", d): 1.0 for d in range(6)})
    assert select(tmp_path, {"selection": {}, "drawn": [2]}, many) == alone


def test_older_draws_are_listed_under_their_age(tmp_path: Path) -> None:
    now = write_drawn(tmp_path, "now", {("p0", 0): 1.0})
    before = write_drawn(tmp_path, "before", {("p0", 0): 1.0})
    settings = {"selection": {}, "sources": [["model", 0], ["model", 1]]}
    found = kept(select(tmp_path, settings, now, before))
    assert found == [("p0", "model", 0), ("p0", "model:1", 0)]


# ---- batches ----


@pytest.mark.parametrize(
    ("window", "ids"),
    [(None, "0123"), ((0, 2), "01"), ((2, 2), "23"), ((3, 2), "30"), ((8, 3), "012")],
)
def test_batches_follow_each_other_and_begin_again(window: Any, ids: str) -> None:
    assert [problem.id[1] for problem in of_window(ASKED, window)] == list(ids)


def test_a_batch_larger_than_the_split_is_the_split() -> None:
    assert of_window(ASKED, (0, 9)) == ASKED


# ---- prompts, without fine-tuning ----


def prompted_policy(folder: Path, m_step: dict[str, Any], rows: list[Any], **more: Any) -> Any:
    start = folder / "start" / "policy.json"
    (folder / "start" / "checkpoint").mkdir(parents=True, exist_ok=True)
    (folder / "start" / "checkpoint" / "model.safetensors").write_bytes(
        save({"w": np.zeros(3, np.float32)})
    )
    write_policy(start, {}, {})
    write_table(folder / "examples", EXAMPLES, table(EXAMPLES, rows), {})
    settings = {
        "task": "chain", "verifier": "math", "reward": {}, "engine": {}, "seed": 0,
        "validation": {"draws": 1, "temperature": 0, "max_tokens": 4}, "m_step": m_step, **more,
    }  # fmt: skip
    validation = write_problems(folder / "validation", ASKED[:1])
    output, checkpoint = folder / "new" / "policy.json", folder / "new" / "checkpoint"
    policies.run(
        job("policy", settings), policies.Settings.model_validate(settings), folder / "examples",
        start, folder / "no-shots", validation=[validation], output=output, checkpoint=checkpoint,
    )  # fmt: skip
    return read_policy(output)


def example(name: str, **more: Any) -> dict[str, Any]:
    row = {"problem_id": name, "source": "model", "draw": 0, "decision": KEPT, "weight": 1.0}
    return {**row, "prefix": "", "prompt": f"Q {name}\n", "target": f"A {name}\n", **more}


def test_in_context_learning_keeps_the_weights_and_brings_a_prompt(tmp_path: Path) -> None:
    rows = [example("p0"), example("p1"), example("p2", decision="incorrect", weight=0.0)]
    policy = prompted_policy(tmp_path, {"kind": "shots", "shots": 8}, rows)
    prefix = policy.own_prompt("chain")
    assert prefix.count("Q ") == 2
    assert "p2" not in prefix
    assert policy.own_prompt("story") is None
    start = read_policy(tmp_path / "start" / "policy.json")
    assert policy.files == start.files
    assert policy.content != start.content


def test_a_chat_model_gets_its_own_prompt_as_turns(tmp_path: Path) -> None:
    policy = prompted_policy(
        tmp_path, {"kind": "shots", "shots": 8}, [example("p0"), example("p1")], prompt="chat"
    )
    turns = policy.own_prompt("chain")
    assert sorted(turns) == [("Q p0\n", "A p0\n"), ("Q p1\n", "A p1\n")]
    assert policy.own_prompt("story") is None


def test_a_prompt_without_a_correct_example_halts(tmp_path: Path) -> None:
    policy = prompted_policy(tmp_path, {"kind": "shots"}, [example("p0", decision="incorrect")])
    assert policy.halted
