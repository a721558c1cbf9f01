"""A published study is complete: it comes back byte for byte, and draws every figure by itself.

The study is the tiny one; the hub is the stand-in, asked by the real client.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.hub.server import TOKEN, Hub, Repository, serve

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).parents[2]
OWNER = "someone"
MODEL = "tiny-sft-terse-T-seed0-iter1"
SFT = "chain/T/sft-terse/seed-0/iter-1"


@pytest.fixture
def study(finished: Any, tmp_path: Path) -> Any:
    """Return a copy of the finished tiny study."""
    return finished.copy(tmp_path / "tree")


@pytest.fixture
def publish(study: Any) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return study.restem("publish", "--configfile", "study.yaml", *arguments)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_nothing_is_written_unless_asked_for(study: Any, publish: Any) -> None:
    before = contents(study.results)
    done = publish("--license", "T=mit")
    assert done.returncode == 0, done.stderr
    assert f"model {MODEL}" in done.stdout and "Nothing was written" in done.stdout
    assert contents(study.results) == before
    assert publish("--license", "T=mit", "--hub", OWNER).stdout.endswith("--hub someone --send\n")


def test_what_has_no_license_is_left_out_by_name(publish: Any, tmp_path: Path) -> None:
    done = publish("--output", str(tmp_path / "out"))
    assert f"left out: {SFT}: base model T has no known license" in done.stdout
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    assert (tmp_path / "out/dataset/problems/chain/test.parquet").is_file()


def test_an_unknown_name_is_refused(publish: Any) -> None:
    done = publish("--license", "X=mit")
    assert done.returncode == 1
    assert "no model or task 'X'" in done.stderr and "models: T" in done.stderr


def test_a_folder_with_something_in_it_is_not_touched(publish: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    done = publish("--output", str(tmp_path / "out"))
    assert done.returncode == 1 and "not empty" in done.stderr
    assert contents(tmp_path / "out") == {"mine.txt": b"mine"}


def test_damaged_weights_are_not_published(study: Any, publish: Any, tmp_path: Path) -> None:
    weights = study.results / SFT / "checkpoint/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    done = publish("--license", "T=mit", "--output", str(tmp_path / "out"))
    assert done.returncode == 1 and "model.safetensors" in done.stderr


def test_a_truncated_table_is_named_and_leaves_nothing_behind(
    study: Any, publish: Any, tmp_path: Path
) -> None:
    table = study.results / SFT / "chain/test/greedy/seed-0/samples/1-of-1.parquet"
    content = table.read_bytes()
    table.unlink()
    table.write_bytes(content[:900])
    (tmp_path / ".out.partial/models").mkdir(parents=True)  # of a run that was killed
    done = publish("--license", "T=mit", "--output", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "the table is damaged" in done.stderr and str(SFT) in done.stderr
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.partial").exists()
    table.write_bytes(content)
    assert publish("--license", "T=mit", "--output", str(tmp_path / "out")).returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset", "models"]


def test_a_stranger_draws_every_figure_from_what_was_published(
    study: Any, publish: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = publish("--license", "T=mit", "--output", str(out))
    assert done.returncode == 0, done.stderr
    figures = contents(study.results / "figures")
    shutil.rmtree(study.root / "results")
    redrawn = study.restem(
        "redraw", str(out / "dataset/study.tar.gz"), "--output", str(tmp_path / "r")
    )
    assert redrawn.returncode == 0, redrawn.stderr
    drawn = contents(tmp_path / "r/figures")
    assert figures and {k: v for k, v in drawn.items() if ".restem" not in k} == {
        k: v for k, v in figures.items() if ".restem" not in k and not k.endswith((".log", ".tsv"))
    }


def test_completions_have_verdicts_and_cards_have_intervals(publish: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish("--license", "T=mit", "--output", str(out))
    table = pq.read_table(
        out / f"dataset/completions/{SFT}/chain/test/greedy/seed-0.parquet"
    ).to_pylist()
    assert len(table) == 3
    assert {row["variant"] for row in table} == {"sft-terse"}
    assert all(row["verdict"] and row["completion"] is not None for row in table)
    weights = out / "models" / MODEL / "model.safetensors"
    assert weights.stat().st_nlink == 1  # what is edited there is not the study's
    card = (out / "models" / MODEL / "README.md").read_text()
    metadata = next(yaml.safe_load_all(card.split("---")[1]))
    assert metadata["license"] == "mit"
    results = metadata["model-index"][0]["results"][0]
    assert results["dataset"]["split"] == "test"
    assert len(results["metrics"]) == len({m["name"] for m in results["metrics"]})
    assert "snakemake --cores 2 --configfile study.yaml" in card
    prompt = card.split("````text\n")[1].split("\n````")[0]
    assert prompt.count("Problem: ") == 2 and prompt.endswith("Solution:")  # one worked example
    assert (out / "dataset/problems/chain/shots.parquet").is_file()
    assert "One training seed" in (out / "dataset/README.md").read_text()
    assert (out / "dataset/study.yaml").is_file()
    assert json.loads((out / "models" / MODEL / "seal.json").read_text())["key"] in card


def test_the_crate_names_what_is_there(publish: Any, tmp_path: Path) -> None:
    publish("--license", "T=mit", "--output", str(tmp_path / "out"))
    folder = tmp_path / "out/dataset"
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    parts = [part["@id"] for part in entities["./"]["hasPart"]]
    assert all((folder / part).exists() and part in entities for part in parts)
    assert {path.name for path in folder.iterdir()} == {
        "ro-crate-metadata.json", *(part.rstrip("/") for part in parts)
    }  # fmt: skip
    run = entities["#run"]
    assert run["startTime"] < run["endTime"]
    assert {entity["@id"] for entity in run["result"]} < set(parts)


def test_what_is_uploaded_comes_back_byte_for_byte(
    study: Any, publish: Any, tmp_path: Path
) -> None:
    with serve({}) as hub:
        online = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
        online |= {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        study.variables = online
        refused = publish("--license", "T=mit", "--hub", OWNER, "--send")
        assert refused.returncode == 1 and "hf auth login" in refused.stderr
        study.variables = online | {"HF_TOKEN": TOKEN}
        done = publish("--license", "T=mit", "--hub", OWNER, "--send")
        assert done.returncode == 0, done.stderr
        sent = [request for request in hub.requests if request[0] == "PUT"]
        assert publish("--license", "T=mit", "--hub", OWNER, "--send").returncode == 0
        assert [request for request in hub.requests if request[0] == "PUT"] == sent
        local = tmp_path / "out"
        publish("--license", "T=mit", "--hub", OWNER, "--output", str(local))
        compare(hub, f"{OWNER}/{MODEL}", local / "models" / MODEL)
        compare(hub, f"datasets/{OWNER}/tiny", local / "dataset")
        fetched = download(hub, f"{OWNER}/{MODEL}", tmp_path / "fetched")
        assert fetched == contents(local / "models" / MODEL)


def compare(hub: Hub, name: str, folder: Path) -> None:
    repository: Repository = hub.repositories[name]
    assert dict(repository.files) == contents(folder)


def download(hub: Hub, name: str, to: Path) -> dict[str, bytes]:
    """Fetch a repository with the real client, in a process that reads the endpoint anew."""
    code = "import sys; from huggingface_hub import snapshot_download as get; "
    code += "get(sys.argv[1], local_dir=sys.argv[2])"
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HOME": str(to.with_name("hf-of-a-stranger")), "NO_PROXY": "*"}
    subprocess.run([sys.executable, "-c", code, name, str(to)], env=environment, check=True)
    return contents(to)
