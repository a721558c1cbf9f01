"""Every use counts each of its artifacts once, and sums add up."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from restem.accounts.costs import (
    Cost,
    cost_of_samples,
    read_costs,
    sum_by_group,
    total,
)
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.cli import cli
from restem.errors import RestemError
from restem.pages.ledger import amount, markdown
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
    write_table(path, "samples", table("samples", rows), {})
    return path


def write_model(folder: Path) -> Path:
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
    write_policy(folder / "policy.json", {}, {})
    return folder / "policy.json"


def test_the_first_draw_of_a_problem_pays_its_prompt(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.parquet", "ab", 3)
    cost = cost_of_samples(tmp_path / "s.parquet", 1000)
    assert (cost.draws, cost.prompt_tokens, cost.cached_tokens) == (6, 200, 400)
    assert cost.generated_tokens == 42
    assert cost.flops == 2 * 1000 * (200 + 42)


def test_parameters_are_counted_from_the_header_alone(tmp_path: Path) -> None:
    assert read_policy(write_model(tmp_path)).parameters == 17


def run_stage(tmp_path: Path, draws: list[str], samples: list[Path]) -> dict[str, Cost]:
    output = tmp_path / "costs.parquet"
    settings = costs.Settings(policy="p", draws=draws)
    job = Job(Recipe("costs", settings.model_dump(), {}, "none", {}), {"output": output})
    costs.run(job, settings, write_model(tmp_path / "p"), samples, output=output)
    return dict(read_costs(output))


def test_the_costs_of_a_policy_are_those_of_all_shards_of_its_draws(tmp_path: Path) -> None:
    shards = [
        write_samples(tmp_path / "results" / "p" / place / "samples" / f"{n}.parquet", name, n)
        for place, name, n in (("greedy", "a", 1), ("vote", "b", 2), ("vote", "c", 3))
    ]
    by_address = run_stage(tmp_path, ["p/greedy", "p/vote"], shards)
    assert list(by_address) == ["p", "p/greedy", "p/vote"]
    assert by_address["p/greedy"] == cost_of_samples(shards[0], 17)
    assert by_address["p/vote"] == total(cost_of_samples(path, 17) for path in shards[1:])


def test_a_policy_without_completions_has_its_own_cost_alone(tmp_path: Path) -> None:
    assert run_stage(tmp_path, [], []) == {"p": Cost()}


def test_completions_of_another_policy_are_refused(tmp_path: Path) -> None:
    other = write_samples(tmp_path / "q" / "greedy" / "samples" / "1.parquet", "a", 1)
    with pytest.raises(RestemError, match="no completions of this policy"):
        run_stage(tmp_path, ["p/greedy"], [other])


def test_a_group_counts_each_of_its_artifacts_once() -> None:
    costs = {"x": Cost(draws=1, flops=2.0), "y": Cost(draws=10)}
    [row] = sum_by_group({"study": {"all": ["x", "y", "x"]}}, costs)
    assert (row["draws"], row["flops"]) == (11, 2.0)
    assert total([]) == Cost()


def test_amounts_have_units_and_the_page_a_label() -> None:
    assert [amount(v) for v in (0, 950, 1234, 5.6e6, 2e18)] == [
        "0", "950", "1.23 k", "5.6 M", "2.00e+18"
    ]  # fmt: skip
    page = markdown(sum_by_group({"study": {"all": ["x"]}}, {"x": Cost(draws=3)}), "embedded model")
    assert "embedded model" in page
    assert "| all | 3 |" in page


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    """Because a stage that is run by hand may get a wrong path."""
    settings = json.dumps({"policy": "p", "draws": []})
    options = ["--policy", str(tmp_path / "none.json"), "--settings", settings]
    result = CliRunner().invoke(cli, ["costs", *options, "--output", str(tmp_path / "c.parquet")])
    assert isinstance(result.exception, RestemError)
    assert "input not found" in str(result.exception)
    assert "none.json" in str(result.exception)
    assert not (tmp_path / "c.parquet").exists()
