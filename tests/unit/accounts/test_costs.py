"""The ledger counts every token once a use, and adds up."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from restem.accounts.costs import Cost, cost_of_samples, parameters_of, read_costs, sums, total
from restem.artifacts.store import Job, Recipe
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
    assert parameters_of(read_policy(write_model(tmp_path))) == 17


def counted(tmp_path: Path, draws: list[str], samples: list[Path]) -> dict[str, Cost]:
    job = Job(Recipe("costs", {"policy": "p", "draws": draws}, {}, "none", {}), {})
    costs.run(job, write_model(tmp_path / "p"), samples, tmp_path / "costs.parquet")
    return dict(read_costs(tmp_path / "costs.parquet"))


def test_the_costs_of_a_policy_are_those_of_all_shards_of_its_draws(tmp_path: Path) -> None:
    shards = [
        write_samples(tmp_path / "results" / "p" / place / "samples" / f"{n}.parquet", name, n)
        for place, name, n in (("greedy", "a", 1), ("vote", "b", 2), ("vote", "c", 3))
    ]
    found = counted(tmp_path, ["p/greedy", "p/vote"], shards)
    assert list(found) == ["p", "p/greedy", "p/vote"]
    assert found["p/greedy"] == cost_of_samples(shards[0], 17)
    assert found["p/vote"] == total(cost_of_samples(path, 17) for path in shards[1:])


def test_a_policy_that_nothing_was_drawn_from_has_its_own_cost_alone(tmp_path: Path) -> None:
    assert counted(tmp_path, [], []) == {"p": Cost()}


def test_completions_of_another_policy_are_refused(tmp_path: Path) -> None:
    other = write_samples(tmp_path / "q" / "greedy" / "samples" / "1.parquet", "a", 1)
    with pytest.raises(RestemError, match="of no completions of this policy"):
        counted(tmp_path, ["p/greedy"], [other])


def test_a_group_counts_an_artifact_once_however_often_it_is_named() -> None:
    costs = {"x": Cost(draws=1, flops=2.0), "y": Cost(draws=10)}
    [row] = sums({"study": {"all": ["x", "y", "x"]}}, costs)
    assert (row["draws"], row["flops"]) == (11, 2.0)
    assert total([]) == Cost()


def test_amounts_are_written_to_be_compared() -> None:
    assert [amount(v) for v in (0, 950, 1234, 5.6e6, 2e18)] == [
        "0", "950", "1.23 k", "5.6 M", "2.00e+18"
    ]  # fmt: skip
    page = markdown(sums({"study": {"all": ["x"]}}, {"x": Cost(draws=3)}), "embedded model")
    assert "embedded model" in page
    assert "| all | 3 |" in page


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Whatever the command: stages that are run by hand get wrong paths."""
    settings = json.dumps({"policy": "p", "draws": []})
    given = ["--policy", str(tmp_path / "none.json"), "--settings", settings]
    result = CliRunner().invoke(cli, ["costs", *given, "--output", str(tmp_path / "c.parquet")])
    assert isinstance(result.exception, RestemError)
    assert "an input is not there" in str(result.exception)
    assert "none.json" in str(result.exception)
    assert not (tmp_path / "c.parquet").exists()
