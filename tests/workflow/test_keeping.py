"""Prune, pin, accept, adopt, share: nothing below becomes stale, and nothing is made twice."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.files import artifact_digest
from restem.artifacts.seals import read_seal, seals

pytestmark = pytest.mark.workflow

STUDY = ("--configfile", "study.yaml")
SFT = "chain/T/sft-terse/seed-0/iter-1"
BASE = "pretrained/T/base/seed-0/iter-0"
TABLES = ("*.parquet", "policy.json", "table.md", "*.svg")
MADE = r"^(?:samples: .* [1-9]\d* drawn|policy: \d+ steps)"


def contents(tree: Any) -> dict[str, str]:
    files = (f for kind in TABLES for f in tree.results.rglob(kind) if ".restem" not in f.parts)
    return {str(f.relative_to(tree.results)): artifact_digest(f) for f in sorted(files)}


def told(tree: Any, *arguments: str) -> str:
    done = tree.restem(*arguments)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


# ---- prune ----


def test_pruning_shows_first_and_deletes_nothing(tree: Any) -> None:
    shown = told(tree, "prune", "--keep", "needed", *STUDY)
    assert f"results/tiny/{SFT}/checkpoint" in shown
    assert "would be freed" in shown
    assert (tree.results / SFT / "checkpoint/model.safetensors").is_file()


def test_a_pruned_study_is_fresh_and_its_figures_still_draw(tree: Any) -> None:
    before = contents(tree)
    size = sum(f.stat().st_size for f in tree.results.rglob("*.safetensors"))
    report = told(tree, "prune", "--keep", "needed", "--delete", *STUDY)
    assert "freed" in report.splitlines()[-1]
    assert size and not list(tree.results.rglob("*.safetensors"))
    assert "Nothing to be done" in tree.make()
    assert "checkpoint pruned on" in told(tree, "show", f"results/tiny/{SFT}/policy.json")
    shutil.rmtree(tree.results / "figures")
    tree.edit("src/restem/stages/summary.py", '"""Stage', 'A = 1\n"""Stage')
    assert not re.search(MADE, tree.make(), re.MULTILINE)
    assert contents(tree) == before


def test_only_final_checkpoints_stay_unless_more_is_asked_for(tree: Any) -> None:
    told(tree, "prune", "--delete", *STUDY)
    assert (tree.results / BASE / "checkpoint/model.safetensors").is_file()
    assert (tree.results / SFT / "checkpoint/model.safetensors").is_file()
    selection = {"model_data": False, "human": "careful"}

    def add_a_variant(study: dict[str, Any]) -> None:
        study["methods"]["sft-careful"] = {"selection": selection}
        study["variants"]["sft-careful"] = {"method": "sft-careful", "task": "chain"}

    tree.configure(add_a_variant)
    shown = told(tree, "prune", "--keep", "needed", *STUDY)
    assert f"{SFT}/checkpoint" in shown
    assert f"{BASE}/checkpoint" not in shown  # the new variant starts from it


def test_the_plan_says_which_pruned_checkpoint_is_needed_again(tree: Any) -> None:
    told(tree, "prune", "--keep", "needed", "--delete", *STUDY)
    tree.configure(lambda study: study["decodings"]["greedy"].update(max_tokens=7))
    plan = told(tree, "plan", *STUDY)
    assert f"{BASE}/checkpoint was pruned, and is needed again" in plan
    assert f"{SFT}/checkpoint was pruned, and is needed again" in plan
    tree.make()
    assert (tree.results / SFT / "checkpoint/model.safetensors").is_file()
    assert "Nothing to be done" in tree.make()


def test_an_early_cut_off_does_not_train_a_pruned_policy_again(tree: Any) -> None:
    """What only tables need is settled by the seals, without the weights."""
    told(tree, "prune", "--keep", "needed", "--delete", *STUDY)
    tree.edit("src/restem/stages/metrics.py", '"""Stage', 'A = 1\n"""Stage')
    assert not re.search(MADE, tree.make(), re.MULTILINE)
    assert not list(tree.results.rglob("*.safetensors"))


# ---- pin ----


def test_a_pinned_policy_is_used_as_it_is_and_every_table_says_so(tree: Any) -> None:
    policy = f"results/tiny/{SFT}/policy.json"
    before = artifact_digest(tree.root / policy)
    told(tree, "pin", policy, "--reason", "took a week")
    tree.configure(lambda study: study["training"].update(learning_rate=0.002))
    tree.edit("src/restem/stages/examples.py", '"""Stage', 'A = 1\n"""Stage')
    plan = told(tree, "plan", *STUDY)
    assert f"{policy} is pinned (took a week): " in plan
    assert "key training.learning_rate: 0.001 -> 0.002" in plan
    printed = tree.make()
    assert "is pinned (took a week)" in printed
    assert artifact_digest(tree.root / policy) == before
    assert f"pinned: {SFT}" in (tree.results / "table.md").read_text()
    assert f"pinned: {SFT}" in (tree.results / "table.csv").read_text()
    assert "Nothing to be done" in tree.make()
    tree.make("--forcerun", "make_policy")
    assert artifact_digest(tree.root / policy) == before
    assert "pinned on" in told(tree, "show", policy)
    told(tree, "unpin", policy)
    assert tree.plan().of({"make_policy"}, within=SFT)


def test_what_lies_below_a_pin_is_stale_for_its_own_reasons(tree: Any) -> None:
    told(tree, "pin", f"results/tiny/{SFT}/policy.json", "--reason", "x")
    tree.make()
    tree.configure(lambda study: study["tasks"]["chain"]["data"].update(train=5))
    tree.edit("src/restem/stages/metrics.py", '"""Stage', 'A = 1\n"""Stage')
    stale = tree.plan()
    assert not stale.of({"make_policy"}, within=SFT)
    assert not stale.of({"draw_samples"}, within=SFT)
    assert stale.of({"count_correct"}, within=SFT)


def test_a_pinned_artifact_that_was_edited_is_refused_by_name(tree: Any) -> None:
    policy = f"results/tiny/{SFT}/policy.json"
    told(tree, "pin", policy, "--reason", "x")
    (tree.root / policy).with_name("checkpoint").rename(tree.root / "away")
    printed = tree.snakemake("-n", fails=True)
    assert "a pinned artifact is not what was pinned" in printed
    assert f"{SFT}/checkpoint is missing" in printed


@pytest.mark.parametrize("command", ["pin", "unpin"])
def test_what_cannot_be_pinned_or_unpinned_is_said(tree: Any, command: str) -> None:
    reason = ["--reason", "x"] if command == "pin" else []
    done = tree.restem(command, "study.yaml", *reason)
    assert done.returncode == 1
    assert "there is no seal of this file" in done.stderr
    if command == "unpin":
        done = tree.restem("unpin", f"results/tiny/{SFT}/policy.json")
        assert "not pinned" in done.stderr


# ---- accept ----

ERRORS = ("src/restem/errors.py", '"""The one', 'A = 1\n"""The one')
SUMMARY = ("src/restem/stages/summary.py", '"""Stage', 'A = 1\n"""Stage')
WHY = ("--reason", "only words", *STUDY)


def test_a_change_that_is_accepted_makes_nothing_again_and_is_recorded(tree: Any) -> None:
    before = contents(tree)
    tree.edit(*ERRORS)
    shown = told(tree, "plan", *STUDY)
    assert "module restem.errors changed" in shown and "restem accept <module>" in shown
    report = told(tree, "accept", "restem.errors", *WHY)
    assert "accepted 1 of the stage summary" in report and "stay stale" not in report
    assert {job.rule for job in tree.plan().jobs} == {"write_page"}
    tree.make()
    assert contents(tree) == before
    assert "was different: restem.errors (only words)" in (tree.results / "index.html").read_text()
    assert "Nothing to be done" in told(tree, "plan", *STUDY)
    assert "restem.errors (only words)" in told(tree, "show", f"results/tiny/{SFT}/policy.json")
    tree.edit("src/restem/errors.py", "A = 1", "A = 2")
    assert "module restem.errors changed" in told(tree, "plan", *STUDY)


def test_what_else_differs_is_not_accepted(tree: Any) -> None:
    tree.edit(*ERRORS)
    tree.edit(*SUMMARY)
    tree.configure(lambda study: study["training"].update(learning_rate=0.002))
    draws = f"{BASE}/chain/train/explore/seed-0/samples/1-of-1.parquet"
    with (tree.results / draws).open("ab") as stream:
        stream.write(b"\0")
    report = told(tree, "accept", "restem.errors", *WHY)
    assert "1 stay stale: restem.stages.summary" in report
    assert "stay stale: key training.learning_rate" in report
    assert f"1 stay stale: file results/tiny/{draws} was edited" in report
    stale = {job.output.removeprefix("results/tiny/") for job in tree.plan().jobs}
    assert {"summary.parquet", f"{SFT}/policy.json", draws} <= stale
    assert "policy" not in report.partition("stay stale")[0]


def test_a_lock_is_accepted_by_its_name_and_patterns_hold_for_modules(tree: Any) -> None:
    tree.edit(*ERRORS)
    tree.edit(*SUMMARY)
    lock = tree.root / "envs/report.txt"
    lock.write_text(f"{lock.read_text()}other==1.0\n")
    report = told(tree, "accept", "restem.*", *WHY)
    assert "stay stale: envs/report.txt" in report
    assert "stay stale" not in told(tree, "accept", "restem.*", "envs/report.txt", *WHY)
    assert {job.rule for job in tree.plan().jobs} == {"write_page"}


# ---- adopt, and the shared store ----


@pytest.fixture
def fresh(planted: Any, tmp_path: Path) -> Any:
    """Return a clone of somebody else, beside the tree."""
    return planted.copy(tmp_path / "colleague")


def test_a_colleagues_equal_study_is_adopted_and_nothing_runs(tree: Any, fresh: Any) -> None:
    report = told(fresh, "adopt", str(tree.results), *STUDY)
    count = len(list(seals(tree.results)))
    assert report.startswith(f"adopted {count} of {count} artifacts")
    assert "Nothing to be done" in fresh.make()
    assert contents(fresh) == contents(tree)


def test_only_what_has_an_equal_recipe_is_adopted(tree: Any, fresh: Any) -> None:
    fresh.configure(lambda study: study["training"].update(learning_rate=0.002))
    report = told(fresh, "adopt", str(tree.results), *STUDY)
    assert f"left out results/tiny/{SFT}/policy.json: key training.learning_rate" in report
    assert not (fresh.results / SFT / "policy.json").exists()
    printed = fresh.make()
    assert re.search(r"^policy: \d+ steps", printed, re.MULTILINE)
    draws = f"{BASE}/chain/train/explore/seed-0/samples/1-of-1.parquet"
    assert not re.search(rf"{re.escape(draws)}", "\n".join(re.findall("samples: .*", printed)))


def test_a_damaged_artifact_is_refused_by_name(tree: Any, fresh: Any) -> None:
    weights = tree.results / SFT / "checkpoint/model.safetensors"
    stat = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    report = told(fresh, "adopt", str(tree.results), *STUDY)
    assert f"refused {tree.results / SFT / 'checkpoint'}: it does not match its seal" in report
    assert not (fresh.results / SFT).joinpath("policy.json").exists()


def test_two_people_with_one_store_make_each_artifact_once(
    planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trees pass on the variable RESTEM_STORE, which their environment otherwise lacks."""
    store = tmp_path / "store"
    store.mkdir()
    people = [planted.copy(tmp_path / name) for name in ("ada", "bob")]
    printed = [tree.make_with_store(store) for tree in people]
    assert re.search(MADE, printed[0], re.MULTILINE)
    assert not re.search(MADE, printed[1], re.MULTILINE)
    assert contents(people[0]) == contents(people[1])
    assert "Nothing to be done" in people[1].make()


def test_a_store_that_is_missing_is_refused_before_a_run(planted: Any) -> None:
    """Nothing is written, so the tree that all tests copy may be used."""
    planted.variables = {"RESTEM_STORE": "/no/such/folder"}
    try:
        printed = planted.snakemake("-n", fails=True)
    finally:
        planted.variables = {}
    assert "restem: the shared store is missing" in printed
    assert "RESTEM_STORE=/no/such/folder" in printed
    assert "Traceback" not in printed


def test_the_seal_of_an_adopted_artifact_names_its_own_recipe(tree: Any, fresh: Any) -> None:
    told(fresh, "adopt", str(tree.results), *STUDY)
    place = f"{SFT}/policy.json"
    mine, theirs = read_seal(fresh.results / place), read_seal(tree.results / place)
    assert mine is not None and theirs is not None
    assert json.dumps(mine["settings"]) == json.dumps(theirs["settings"])
    assert mine["key"] == theirs["key"]
