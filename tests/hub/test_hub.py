"""Every public source is read by the hub's real client, and what fails says what to do."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from tests.hub.conftest import Read
from tests.hub.layouts import encoded, gsm8k_row, public, repository
from tests.hub.server import TOKEN, Hub, Repository

# Problems that are left: those of the shots, those without tests, and those held out are dropped.
KEPT = {
    ("math", "train"): 7500 - 500,
    ("math", "validation"): 500,
    ("math", "test"): 5000,
    ("gsm8k", "train"): 7473 - 500,
    ("gsm8k", "test"): 1319,
    ("apps", "train"): 2639 - 26 - 2 - 200,
    ("apps", "test"): 1000,
    ("apps", "shots"): 2,
    ("humaneval", "test"): 164,
    ("mbpp", "train"): 464,
    ("mbpp", "test"): 500,
    ("mbpp", "shots"): 3,
    ("leetcode", "train"): 2641 - 2 - 500,
    ("leetcode", "test"): 228,
    ("leetcode", "shots"): 2,
    ("bbh_cot", "test"): 6511,
    ("bbh_direct", "test"): 6511,
    ("hungarian", "test"): 33,
}
ZERO = {"math", "gsm8k", "bbh_cot", "bbh_direct", "hungarian"}  # their prompts are in a wheel


def data(task: str, **source: Any) -> dict[str, Any]:
    """Return a task's data as of the public source, without a prompt, which the hub has not."""
    known = {**public(task), "prompts": None, **source}
    if task == "mbpp":  # has 464 problems to train on
        known["held_out"] = 0
    return {"source": known, **({"shots": 0} if task in ZERO else {})}


GSM8K = ("gsm8k", "test", data("gsm8k"))


def test_every_public_source_is_read_in_its_layout(read: Read) -> None:
    printed = read(*((task, split, data(task)) for task, split in KEPT)).splitlines()
    counts = {key: int(line.split()[0]) for key, line in zip(KEPT, printed, strict=True)}
    assert counts == KEPT


REAL = [
    (task, split)
    for task, split in KEPT
    if task not in ("apps", "leetcode", "bbh_direct") and split != "validation"
]


def test_the_benchmarks_give_the_same_problems_from_the_hub_and_from_a_folder(
    read: Read, hub: Hub, real_data: Path
) -> None:
    hub.repositories |= dict(repository(task, real_data) for task, _ in REAL)

    def splits(**source: Any) -> list[tuple[str, str, dict[str, Any]]]:
        prompts = str(real_data / "prompts")
        held_out = {"held_out": 0}  # as mbpp needs it
        return [(t, s, {"source": {**source, **held_out, "prompts": prompts}}) for t, s in REAL]

    ours = splits(kind="local", directory=str(real_data))
    theirs = [(t, s, {"source": {**public(t), **d["source"]}}) for t, s, d in splits()]
    wanted = read(*ours, PRINT_CONTENT="1").splitlines()
    printed = read(*theirs, PRINT_CONTENT="1").splitlines()
    assert dict(zip(REAL, printed, strict=True)) == dict(zip(REAL, wanted, strict=True))


def test_a_file_is_downloaded_once_and_read_without_network_afterwards(
    read: Read, hub: Hub
) -> None:
    assert read(GSM8K).startswith("1319 ")
    assert hub.downloads() == ["test-00000-of-00001.parquet"]
    asked = len(hub.requests)
    assert read(GSM8K, HF_HUB_OFFLINE="1").startswith("1319 ")
    assert read(GSM8K).startswith("1319 ")
    assert len(hub.requests) == asked


def test_nothing_but_the_named_files_is_downloaded(read: Read, hub: Hub) -> None:
    read(("apps", "train", data("apps")))
    assert set(hub.downloads()) == {"train.jsonl"}


def test_without_network_and_cache_it_says_how_to_fetch(read: Read, hub: Hub) -> None:
    told = read(GSM8K, HF_HUB_OFFLINE="1")
    assert "main/test-00000-of-00001.parquet is not in the hub's cache" in told
    assert "where: datasets/openai/gsm8k at 740312add8" in told
    assert "restem data fetch" in told and "HF_HUB_OFFLINE" in told
    assert hub.requests == []


def test_a_gated_repository_says_what_to_accept_and_where_the_token_goes(
    read: Read, hub: Hub
) -> None:
    known = hub.repositories["datasets/openai/gsm8k"]
    hub.repositories["datasets/openai/gsm8k"] = Repository(known.commit, known.files, gated=True)
    told = read(GSM8K, HF_TOKEN="")
    assert "gated" in told
    assert f"accept the terms at {hub.endpoint}/datasets/openai/gsm8k" in told
    assert "HF_TOKEN" in told and "hf auth login" in told
    assert read(GSM8K, HF_TOKEN=TOKEN).startswith("1319 ")


def test_a_commit_a_file_or_a_repository_that_is_missing_is_named(read: Read) -> None:
    commit = data("gsm8k", revision="f" * 40)
    file = data("gsm8k", files={"test": {"main/other.parquet": None}})
    owner = data("gsm8k", id="nobody/gsm8k")
    told = read(*(("gsm8k", "test", asked) for asked in (commit, file, owner)))
    first, second, third = told.split("main/")[1:4]
    assert "the repository has no such commit" in first and "at ffff" in first
    assert "other.parquet does not exist at that commit" in second
    assert "no such repository, or it is private" in third
    assert "datasets/nobody/gsm8k" in third


@pytest.mark.parametrize("breaks_off", [False, True])
def test_a_truncated_download_is_not_taken_for_the_file(
    read: Read, hub: Hub, breaks_off: bool
) -> None:
    hub.truncated.add("main/test-00000-of-00001.parquet")
    hub.breaks_off = breaks_off
    told = read(GSM8K)
    assert "in part only" in told
    assert "run the same command again" in told
    hub.truncated.clear()
    assert read(GSM8K).startswith("1319 ")


def test_a_hub_that_is_down_or_away_is_named_with_its_address(read: Read, hub: Hub) -> None:
    hub.status = 500
    nowhere = "http://127.0.0.1:9"
    with ThreadPoolExecutor() as pool:  # the client tries again for half a minute
        away = pool.submit(read, GSM8K, HF_ENDPOINT=nowhere)
        down = read(GSM8K)
    assert f"cannot be downloaded from {hub.endpoint}" in down and "500" in down
    assert f"cannot be downloaded from {nowhere}" in away.result()
    assert "check the network" in away.result()


def test_a_cache_that_cannot_be_written_is_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = read(GSM8K, HF_HOME=str(tmp_path / "file"))
    assert "cannot be kept in the hub's cache" in told
    assert "HF_HOME" in told and str(tmp_path / "file") in told


def test_other_rows_than_the_pinned_number_are_refused(read: Read, hub: Hub) -> None:
    known = hub.repositories["datasets/openai/gsm8k"]
    file = "main/test-00000-of-00001.parquet"
    rows = [gsm8k_row(file, number) for number in range(1318)]
    files = {**known.files, file: encoded(file, rows)}
    hub.repositories["datasets/openai/gsm8k"] = Repository(known.commit, files)
    assert "has 1318 rows, not 1319" in read(GSM8K)


def test_folders_that_hold_the_same_rows_twice_are_refused(read: Read, hub: Hub) -> None:
    known = hub.repositories["datasets/codeparrot/apps"]
    copy = {"introductory/test.jsonl": known.files["test.jsonl"]}
    hub.repositories["datasets/codeparrot/apps"] = Repository(known.commit, {**known.files, **copy})
    twice = {"test": {"test.jsonl": 5000, "introductory/test.jsonl": 5000}}
    files = {**public("apps")["files"], **twice}
    told = read(("apps", "test", data("apps", files=files)))
    assert "every problem is there more than once" in told
    assert "name each file once" in told


# ---- models ----


@pytest.fixture
def model(hub: Hub) -> tuple[str, str, dict[str, Any]]:
    weights = save({"lm_head.weight": np.zeros(5_000, np.float32)})
    config = b'{"model_type": "llama"}'
    files = {"config.json": config, "tokenizer.json": b"{}", "model.safetensors": weights}
    hub.repositories["owner/model"] = Repository("a" * 40, {**files, "pytorch_model.bin": b"x"})
    return "model", "", {"kind": "hub", "id": "owner/model", "revision": "a" * 40}


def test_a_model_is_downloaded_without_what_is_not_read(
    read: Read, hub: Hub, model: tuple[str, str, dict[str, Any]]
) -> None:
    loaded = "['config.json', 'model.safetensors', 'tokenizer.json']\n"
    assert read(model) == loaded
    assert read(model, HF_HUB_OFFLINE="1") == loaded
    assert "pytorch_model.bin" not in hub.downloads()


def test_a_gated_model_says_what_to_accept_and_where_the_token_goes(
    read: Read, hub: Hub, model: tuple[str, str, dict[str, Any]]
) -> None:
    hub.repositories["owner/model"].gated = True
    told = read(model, HF_TOKEN="")
    assert "the model is gated" in told
    assert f"accept the terms at {hub.endpoint}/owner/model" in told and "HF_TOKEN" in told
    assert "model.safetensors" in read(model, HF_TOKEN=TOKEN)


def test_a_model_that_is_not_there_says_how_to_fetch_it(
    read: Read, model: tuple[str, str, dict[str, Any]]
) -> None:
    told = read(model, HF_HUB_OFFLINE="1")
    assert "the model is not in the hub's cache" in told
    assert f"hf download owner/model --revision {'a' * 40}" in told
    moved = {**model[2], "revision": "b" * 40}
    assert "no such commit" in read(("model", "", moved))


def test_a_model_of_which_a_file_is_missing_or_cut_short_is_not_taken(
    read: Read, hub: Hub, model: tuple[str, str, dict[str, Any]], tmp_path: Path
) -> None:
    known = dict(hub.repositories["owner/model"].files)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    files = {**known, "model.safetensors.index.json": json.dumps(index).encode()}
    hub.repositories["owner/model"] = Repository("a" * 40, files)
    assert "names files that are missing: model-2.safetensors" in read(model)
    whole = known["model.safetensors"]
    for short in (whole[:-1], whole[:20], b""):
        files = {**known, "model.safetensors": short}
        hub.repositories["owner/model"] = Repository("a" * 40, files)
        told = read(model, HF_HOME=str(tmp_path / str(len(short))))
        assert "the model is not complete: model.safetensors" in told
        assert "fetch the model again" in told
