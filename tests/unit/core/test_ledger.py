"""The ledger counts every token once a use, and adds up."""

import json
from pathlib import Path

from restem.ledger import Cost, cost_of_samples, parameters_of, sums, total
from restem.policies import read_policy, write_policy
from restem.report.ledger import amount, markdown
from restem.tables import table, write_table


def test_the_first_draw_of_a_problem_pays_its_prompt(tmp_path: Path) -> None:
    rows = [
        {"problem_id": p, "draw": d, "seed": 0, "completion": "", "tokens": 7, "logprob": 0.0}
        | {"prompt_tokens": 100, "finish_reason": "stop", "request": ""}
        for p in ("a", "b")
        for d in range(3)
    ]
    write_table(tmp_path / "s.parquet", "samples", table("samples", rows), {})
    cost = cost_of_samples(tmp_path / "s.parquet", 1000)
    assert (cost.draws, cost.prompt_tokens, cost.cached_tokens) == (6, 200, 400)
    assert cost.generated_tokens == 42
    assert cost.flops == 2 * 1000 * (200 + 42)


def test_parameters_are_counted_from_the_header_alone(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
        "b": {"dtype": "F32", "shape": [5], "data_offsets": [48, 68]},
    }
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    write_policy(tmp_path / "policy.json", {}, {})
    assert parameters_of(read_policy(tmp_path / "policy.json")) == 17


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
