"""Every use counts each of its artifacts once, and sums add up."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from restem.accounts.costs import (
    Cell,
    Cost,
    Use,
    cost_of_policy,
    cost_of_samples,
    costs_by_cell,
    read_costs,
    sum_by_group,
    total,
)
from restem.artifacts.schemas.estimates import SUM
from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.cli import cli
from restem.errors import RestemError
from restem.pages.ledger import amount, markdown
from restem.policies.flops import Forward
from restem.policies.manifest import read_policy, write_policy
from restem.stages import costs


def write_samples(path: Path, problems: str, draws: int) -> Path:
    rows = [
        {"problem_id": p, "draw": d, "seed": 0, "completion": "", "tokens": 7, "logprob": 0.0}
        | {"prompt_tokens": 100, "finish_reason": "stop", "request": ""}
        for p in problems
        for d in range(draws)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, SAMPLES, table(SAMPLES, rows), {})
    return path


def write_model(folder: Path, report: dict[str, Any] | None = None) -> Path:
    """Write a policy of 17 parameters."""
    (folder / "checkpoint").mkdir(parents=True)
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
        "b": {"dtype": "F32", "shape": [5], "data_offsets": [48, 68]},
    }
    text = json.dumps(header).encode()
    weights = folder / "checkpoint" / "model.safetensors"
    weights.write_bytes(len(text).to_bytes(8, "little") + text)
    write_policy(folder / "policy.json", {}, report or {})
    return folder / "policy.json"


def test_the_first_draw_of_a_problem_pays_its_prompt(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.parquet", "ab", 3)
    cost = cost_of_samples(tmp_path / "s.parquet", Forward(2000))
    assert (cost.draws, cost.prompt_tokens, cost.cached_tokens) == (6, 200, 400)
    assert cost.generated_tokens == 42
    assert cost.flops == 2 * 1000 * (200 + 42)


def test_attention_and_the_output_layer_are_counted(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.parquet", "a", 2)
    cost = cost_of_samples(tmp_path / "s.parquet", Forward(10, 1, 100))
    pairs = 100 * 101 / 2 + 2 * (100 * 7 + 7 * 8 / 2)
    assert cost.flops == 10 * (100 + 14) + pairs + 100 * 14


def test_an_m_step_costs_what_its_training_and_its_validations_computed(tmp_path: Path) -> None:
    validations = [{"step": 0, "reward": 0.1, "flops": 30}, {"step": 9, "reward": 0.2, "flops": 40}]
    report = {"flops": 500, "tokens": {"target": 7}, "validations": validations}
    policy = write_model(tmp_path / "p", report)
    assert cost_of_policy(policy).flops == 570
    assert cost_of_policy(policy).trained_tokens == 7


def test_parameters_are_counted_from_the_header_alone(tmp_path: Path) -> None:
    assert read_policy(write_model(tmp_path)).parameters == 17


def run_stage(tmp_path: Path, draws: list[str], samples: list[Path]) -> dict[str, Cost]:
    output = tmp_path / "costs.parquet"
    settings = costs.Settings(policy="p", draws=draws)
    job = Job(Recipe("costs", settings.model_dump(), {}, "none", {}), {"output": output})
    costs.run(job, settings, write_model(tmp_path / "p"), samples, output=output)
    by_address: dict[str, Cost] = {}
    for name, _, cost in read_costs(output):
        by_address[name] = by_address.get(name, Cost()) + cost
    return by_address


def test_the_costs_of_a_policy_are_those_of_all_shards_of_its_draws(tmp_path: Path) -> None:
    shards = [
        write_samples(tmp_path / "results" / "p" / place / "samples" / f"{n}.parquet", name, n)
        for place, name, n in (("greedy", "a", 1), ("vote", "b", 2), ("vote", "c", 3))
    ]
    by_address = run_stage(tmp_path, ["p/greedy", "p/vote"], shards)
    assert list(by_address) == ["p", "p/greedy", "p/vote"]
    assert by_address["p/greedy"] == cost_of_samples(shards[0], Forward(34))
    assert by_address["p/vote"] == total(cost_of_samples(path, Forward(34)) for path in shards[1:])


def test_a_policy_without_completions_has_its_own_cost_alone(tmp_path: Path) -> None:
    assert run_stage(tmp_path, [], []) == {"p": Cost()}


def test_completions_of_another_policy_are_refused(tmp_path: Path) -> None:
    other = write_samples(tmp_path / "q" / "greedy" / "samples" / "1.parquet", "a", 1)
    with pytest.raises(RestemError, match="no completions of this policy"):
        run_stage(tmp_path, ["p/greedy"], [other])


def charges(
    uses_by_name: dict[str, list[Use]], costs: list[tuple[str, Cell, Cost]], scope: str = "policy"
) -> dict[tuple[str, str], float]:
    """Return the draws by name and charge."""
    rows = sum_by_group({scope: uses_by_name}, costs)
    return {(row["name"], row["charge"]): row["draws"] for row in rows}


def test_a_group_counts_each_of_its_artifacts_once() -> None:
    costs = [("x", Cell(), Cost(draws=1, flops=2.0)), ("y", Cell(), Cost(draws=10))]
    uses = [Use(path="x"), Use(path="y"), Use(path="x")]
    rows = sum_by_group({"study": {"all": uses}}, costs)
    assert [(row["draws"], row["flops"]) for row in rows] == [(11, 2.0)] * 4  # and sums, twice
    assert total([]) == Cost()


def test_a_use_pays_for_its_draws_and_problems_and_no_others(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "s.parquet", "abcd", 6)
    wide, few = Use(path="s", draws=2), Use(path="s", draws=2, problem_share=0.5)
    cells = costs_by_cell(path, Forward(2000), [wide, few], "abcd")
    assert total(cells.values()) == cost_of_samples(path, Forward(2000))

    def of(use: Use) -> Cost:
        return total(cost for cell, cost in cells.items() if cell.is_in(use))

    assert (of(few).draws, of(wide).draws, of(Use(path="s")).draws) == (4, 8, 24)
    assert (of(few).prompt_tokens, of(wide).prompt_tokens) == (200, 400)
    assert of(few).flops == 2 * 1000 * (200 + 4 * 7)


def test_what_several_use_is_divided_and_summed_once(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "s.parquet", "abcd", 6)
    uses = [Use(path="s", draws=2), Use(path="s", draws=2, problem_share=0.5), Use(path="s")]
    costs = [("s", *item) for item in costs_by_cell(path, Forward(2), uses, "abcd").items()]
    by_name = charges({"one": [uses[0]], "part": [uses[1]], "three": [uses[2]]}, costs)
    alone = {name: draws for (name, charge), draws in by_name.items() if charge == "alone"}
    shared = {name: draws for (name, charge), draws in by_name.items() if charge == "shared"}
    assert alone == {"one": 8, "part": 4, "three": 24, SUM: 36}
    assert shared == pytest.approx(
        {"one": 4 / 3 + 4 / 2, "part": 4 / 3, "three": 4 / 3 + 4 / 2 + 16, SUM: 24}
    )


def test_another_name_of_a_policy_pays_the_same_and_enters_no_sum() -> None:
    costs = [("x", Cell(), Cost(draws=6))]
    rows = sum_by_group({"policy": {"S/v/2": [Use(path="x")]}}, costs, {"S/v/last": "S/v/2"})
    by_name = {(row["name"], row["charge"]): row["draws"] for row in rows}
    assert by_name["S/v/last", "shared"] == by_name["S/v/2", "shared"] == 6
    assert by_name[SUM, "shared"] == 6


def test_amounts_have_units_and_the_page_a_label() -> None:
    assert [amount(v) for v in (0, 950, 1234, 5.6e6, 2e18)] == [
        "0", "950", "1.23 k", "5.6 M", "2.00e+18"
    ]  # fmt: skip
    costs = [("x", Cell(), Cost(draws=3))]
    uses = {"a": [Use(path="x")], "b": [Use(path="x")]}
    page = markdown(sum_by_group({"experiment": {}, "policy": uses}, costs), "embedded model")
    assert "embedded model" in page
    assert "Experiments" not in page
    assert "| a | 3 / 1.5 |" in page
    assert "| sum | 6 / 3 |" in page


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    """Because a stage that is run by hand may get a wrong path."""
    settings = json.dumps({"policy": "p", "draws": []})
    options = ["--policy", str(tmp_path / "none.json"), "--settings", settings]
    result = CliRunner().invoke(cli, ["costs", *options, "--output", str(tmp_path / "c.parquet")])
    assert isinstance(result.exception, RestemError)
    assert "input not found" in str(result.exception)
    assert "none.json" in str(result.exception)
    assert not (tmp_path / "c.parquet").exists()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_each_completion_is_charged_in_the_cell_of_its_draw_and_problem(
    data: st.DataObject,
) -> None:
    problems = data.draw(st.permutations("abcdef"))
    small, large = st.integers(0, 3), st.integers(1, 10**6)
    pairs = st.tuples(st.sampled_from("abcdef"), st.integers(0, 7))
    drawn = data.draw(st.dictionaries(pairs, st.tuples(large, small), min_size=1))
    uses = [
        Use(path="s", draws=draws, problems=count)
        for draws, count in data.draw(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 6))))
    ]
    rows = [
        {"problem_id": p, "draw": d, "seed": 0, "completion": "", "tokens": tokens, "logprob": 0.0}
        | {"prompt_tokens": prompt, "finish_reason": "stop", "request": ""}
        for (p, d), (prompt, tokens) in drawn.items()
    ]
    forward = Forward(14_000_000_000, 500_000, 300_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        write_table(path, SAMPLES, table(SAMPLES, rows), {})
        cells = costs_by_cell(path, forward, uses, problems)
    for use in [*uses, Use(path="s")]:
        used = total(cost for cell, cost in cells.items() if cell.is_in(use))
        some = problems[: use.first_problems(6)]
        seen = {k: v for k, v in drawn.items() if k[0] in some and k[1] < (use.draws or 8)}
        firsts = {k for k in seen if k[1] == min(d for p, d in drawn if p == k[0])}
        assert (used.draws, used.generated_tokens) == (len(seen), sum(t for _, t in seen.values()))
        assert used.prompt_tokens == sum(seen[key][0] for key in firsts)
        assert used.prompt_tokens + used.cached_tokens == sum(n for n, _ in seen.values())
        sampling = sum(forward.completion(*amounts) for amounts in seen.values())
        prompts = sum(forward.prompt(seen[key][0]) for key in firsts)
        assert used.flops == pytest.approx(sampling + prompts, rel=1e-12)
