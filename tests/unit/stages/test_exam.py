"""From samples to a sheet, from a filled sheet to verdicts, metrics, and back into the study."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.schemas.loop import PROBLEMS, REWARDS, SAMPLES
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.cli import cli
from restem.config.load import load_study
from restem.errors import RestemError
from restem.policies.manifest import write_policy
from restem.stages import metrics, rewards, sheet
from restem.study import slices
from restem.study.graph import StudyGraph
from restem.tasks.problem import Problem, to_row

CONFIG = Path(__file__).parents[3] / "config"
QUESTIONS = [Problem(f"test/{i:02}", f"-{i} + x?", None) for i in (3, 0, 2, 1)]
ADDRESS = {"task": "hungarian", "split": "test", "decoding": "exam", "train_task": "pretrained"}
ADDRESS |= {"model": "S", "variant": "base", "seed": 0, "iteration": 0, "greedy": False}


def job(stage: str, settings: dict[str, Any]) -> Job:
    return Job(Recipe(stage, settings, {}, "none", {}), {})


def write_problems(path: Path, problems: list[Problem]) -> Path:
    write_table(path, PROBLEMS, table(PROBLEMS, map(to_row, problems)), {})
    return path


def write_samples(path: Path, problems: list[Problem], draws: int = 2) -> Path:
    rows = [
        {"problem_id": p.id, "draw": d, "seed": 0, "completion": f"=cmd|{p.id}\n-{d}", "tokens": 1}
        | {"prompt_tokens": 1, "finish_reason": "stop", "logprob": -1.0, "request": ""}
        for p in problems
        for d in range(draws)
    ]
    write_table(path, SAMPLES, table(SAMPLES, rows), {})
    return path


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """Return two shards of samples, their problems, and the sheet that was written for them."""
    shards = [write_samples(tmp_path / f"{i + 1}.parquet", QUESTIONS[i::2]) for i in range(2)]
    problems = write_problems(tmp_path / "problems.parquet", QUESTIONS)
    output = tmp_path / "sheet.csv"
    write_sheet(shards, problems, output)
    return {"shards": shards, "problems": problems, "sheet": output, "folder": tmp_path}


BY_HAND = {"task": "hungarian", "verifier": "human", "reward": {}, "by_hand": True}


def write_sheet(samples: list[Path], problems: Path, output: Path, rubric: str = "") -> None:
    settings = sheet.Settings(rubric=rubric)
    sheet.run(job("sheet", {}), settings, samples, problems, output=output)


def read_sheet(filled: Path, samples: list[Path], problems: Path, shard: str, output: Path) -> None:
    settings = rewards.Settings.model_validate(BY_HAND)
    rewards.run(
        job("rewards", BY_HAND), settings, samples, problems, [filled], shard=shard, output=output
    )


def fill(made: dict[str, Any]) -> Path:
    with made["sheet"].open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    for number, row in enumerate(rows[1:]):
        row[4:6] = [str(number // 2), "3"]
    filled: Path = made["folder"] / "filled.csv"
    with filled.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(rows)
    return filled


def test_the_log_of_a_sheet_says_where_the_rubric_is(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    paper = yaml.safe_load((CONFIG / "paper" / "qwen2.5.yaml").read_text())
    graph = StudyGraph(load_study(paper, CONFIG))
    settings = slices.sheet(graph, SimpleNamespace(on="hungarian"))
    write_sheet(made["shards"], made["problems"], made["folder"] / "again.csv", **settings)
    assert "test/solutions.pdf of the data set keirp/hungarian" in capsys.readouterr().out
    assert slices.sheet(graph, SimpleNamespace(on="math")) == {}
    # The same completions of the same exam, so a sheet that was filled in before still fits.
    assert (made["folder"] / "again.csv").read_bytes() == made["sheet"].read_bytes()


def test_a_sheet_asks_for_every_completion_of_every_shard_once(made: dict[str, Any]) -> None:
    rows = list(csv.reader(made["sheet"].read_text("utf-8-sig").splitlines()))
    assert len(made["sheet"].read_bytes().split(b"\r\n")) == 1 + 8 + 1
    assert rows[0] == ["problem_id", "draw", "question", "completion", "points", "of"]


def test_a_sheet_can_only_be_read_so_that_no_run_overwrites_points(made: dict[str, Any]) -> None:
    assert not made["sheet"].stat().st_mode & 0o222
    write_sheet(made["shards"], made["problems"], made["sheet"])


def test_the_sheet_of_a_halted_policy_is_empty_and_reads_back(made: dict[str, Any]) -> None:
    none = write_samples(made["folder"] / "none.parquet", [])
    write_sheet([none], made["problems"], made["sheet"])
    output = made["folder"] / "rewards.parquet"
    read_sheet(made["sheet"], [none], made["problems"], "1-of-1", output)
    assert read_rows(output, REWARDS) == []


def test_points_become_verdicts_by_shard_and_then_metrics(made: dict[str, Any]) -> None:
    filled, folder = fill(made), made["folder"]
    judged = [folder / f"rewards-{i}.parquet" for i in (1, 2)]
    for i, output in enumerate(judged, start=1):
        shard = f"{i}-of-2"
        read_sheet(filled, made["shards"], made["problems"], shard, output)
    rows = [row for path in judged for row in read_rows(path, REWARDS)]
    assert [row["problem_id"] for row in rows] == [f"test/{i:02}" for i in (3, 3, 2, 2, 0, 0, 1, 1)]
    assert {row["layer"] for row in rows} == {"human"}
    assert {(r["problem_id"], r["verdict"], r["reward"]) for r in rows if r["reward"]} == {
        ("test/03", "correct", 1.0)
    }
    policy = folder / "policy.json"
    (folder / "checkpoint").mkdir()
    write_policy(policy, {"key": "", "inputs": {}}, {})
    output = folder / "metrics.parquet"
    metrics.run(
        job("metrics", ADDRESS), metrics.Settings(**ADDRESS), made["shards"], judged,
        made["problems"], policy, output=output,
    )  # fmt: skip
    found = {row["problem_id"]: row for row in read_rows(output, METRICS)}
    assert {name: row["points"] for name, row in found.items()} == pytest.approx(
        {f"test/{i:02}": i for i in range(4)}
    )
    assert {row["of"] for row in found.values()} == {3.0}
    assert {name: row["correct"] for name, row in found.items()}["test/03"] == 2


def test_a_sheet_must_answer_for_the_other_shards_too(made: dict[str, Any]) -> None:
    filled, output = fill(made), made["folder"] / "rewards.parquet"
    with pytest.raises(RestemError, match="belongs to no completion"):
        read_sheet(filled, made["shards"][:1], made["problems"], "1-of-1", output)
    assert not output.exists()


def test_the_commands_write_and_read_and_name_what_is_missing(made: dict[str, Any]) -> None:
    shards = [word for shard in made["shards"] for word in ("--samples", str(shard))]
    common = [*shards, "--problems", str(made["problems"])]
    written, read = made["folder"] / "again.csv", made["folder"] / "read.parquet"
    done = CliRunner().invoke(cli, ["sheet", *common, "--settings", "{}", "--output", str(written)])
    assert done.exit_code == 0, done.output
    assert written.read_bytes() == made["sheet"].read_bytes()
    done = CliRunner().invoke(
        cli,
        ["rewards", "--sheet", str(fill(made)), *common, "--output", str(read)]
        + ["--settings", json.dumps(BY_HAND)],
    )
    assert done.exit_code == 0, done.output
    assert "rewards: 6 incorrect, 2 correct" in done.output
    with pytest.raises(RestemError, match="cannot be read"):
        read_sheet(made["folder"] / "no.csv", made["shards"], made["problems"], "1-of-1", read)


# ---- in a study ----


def study(tmp_path: Path, held_out: int = 0, **changes: Any) -> StudyGraph:
    stated: dict[str, Any] = {
        "study": "exams",
        "tasks": {
            "chain": {"data": {"source": {"kind": "embedded"}}},
            "exam": {
                "module": "hungarian",
                "data": {"source": {"kind": "local", "directory": "data", "held_out": held_out}},
                "graded_sheets": str(tmp_path),
            },
        },
        "models": {"S": {"source": {"kind": "embedded", "size": "S"}}},
        "decodings": {"greedy": {"draws": 1, "temperature": 0, "max_tokens": 8}},
        "evaluations": [
            {"task": task, "split": "test", "decoding": "greedy"} for task in ("chain", "exam")
        ],
    }
    return StudyGraph(load_study(stated | changes, CONFIG))


def test_what_is_judged_is_what_a_verifier_or_a_sheet_is_there_for(tmp_path: Path) -> None:
    walk = study(tmp_path)
    assert {d.task: walk.judged(d) for d in walk.evaluations()} == {"chain": True, "exam": False}
    [mine] = [draws for draws in walk.evaluations() if draws.task == "exam"]
    place = walk.filled(mine)
    assert place == tmp_path / mine.path / "sheet.csv"
    place.mkdir(parents=True)
    assert not walk.judged(mine)
    place.rmdir()
    place.touch()
    assert walk.judged(mine)


def test_without_a_folder_nothing_is_looked_for(tmp_path: Path) -> None:
    walk = study(tmp_path)
    tasks = {name: block.model_dump() for name, block in walk.study.tasks.items()}
    tasks["exam"]["graded_sheets"] = None
    walk = study(tmp_path, tasks=tasks)
    assert [walk.filled(draws) for draws in walk.evaluations()] == [None, None]
    assert [walk.judged(draws) for draws in walk.evaluations()] == [True, False]


def test_nothing_is_trained_on_what_a_human_grades(tmp_path: Path) -> None:
    with pytest.raises(RestemError, match=r"variants\.x\.task"):
        study(tmp_path, variants={"x": {"method": "sft", "task": "exam"}}, held_out=1)


def test_a_folder_of_sheets_for_a_task_with_a_verifier_is_refused(tmp_path: Path) -> None:
    chain = {"data": {"source": {"kind": "embedded"}}, "graded_sheets": "somewhere"}
    evaluations = [{"task": "chain", "split": "test", "decoding": "greedy"}]
    with pytest.raises(RestemError, match=r"tasks\.chain\.graded_sheets"):
        study(tmp_path, tasks={"chain": chain}, evaluations=evaluations)
