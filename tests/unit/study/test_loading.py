"""A study whose base models cannot be used is refused before its first job."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restem.config.models import LocalModel
from restem.embedded import weights
from restem.errors import RestemError
from restem.policies.sources import local
from restem.study.loading import study_to_run
from tests.unit.study.test_checks import CONFIG, STUDY


def with_model(**model: Any) -> dict[str, Any]:
    study = copy.deepcopy(STUDY)
    study["models"] = {"mine": model}
    return study


def in_folder(folder: Path | str) -> dict[str, Any]:
    return with_model(source={"kind": "local", "directory": str(folder)})


def problems(study: dict[str, Any]) -> list[str]:
    with pytest.raises(RestemError) as caught:
        study_to_run(study, CONFIG)
    _, *lines = caught.value.what.splitlines()
    return [line.removeprefix("  - ") for line in lines]


@pytest.fixture()
def checkpoint(tmp_path: Path) -> Path:
    """Return a copy of an embedded model, in two shards that are listed in an index."""
    folder = tmp_path / "mine"
    weights.unpack("S", folder)
    whole = folder / "model.safetensors"
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name in names:
        shutil.copyfile(whole, folder / name)
    whole.unlink()
    write(folder / "model.safetensors.index.json", {"weight_map": dict(enumerate(names))})
    return folder


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def test_a_complete_directory_is_accepted(checkpoint: Path) -> None:
    assert study_to_run(in_folder(checkpoint), CONFIG).models["mine"].source.kind == "local"


DAMAGES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    (lambda f: (f / "config.json").write_text("[]"), "config.json holds no configuration"),
    (lambda f: (f / "tokenizer.json").unlink(), "it has no tokenizer"),
    (
        lambda f: (f / "model-00002-of-00002.safetensors").unlink(),
        "names files that are missing: model-00002-of-00002.safetensors",
    ),
    (
        lambda f: (f / "model.safetensors.index.json").unlink(),
        "model.safetensors.index.json, which lists the shards of the weights, is missing",
    ),
    (
        lambda f: (f / "model.safetensors.index.json").write_text("{}"),
        "model.safetensors.index.json cannot be read",
    ),
    (
        lambda f: (f / "model-00001-of-00002.safetensors").write_bytes(
            (f / "model-00002-of-00002.safetensors").read_bytes()[:-1000]
        ),
        "model-00001-of-00002.safetensors has 1278976 bytes instead of 1279976; fetch it again",
    ),
    (
        lambda f: (f / "model-00001-of-00002.safetensors").write_text("version https://git-lfs"),
        "model-00001-of-00002.safetensors is no safetensors file, perhaps a pointer of Git LFS",
    ),
    (lambda f: shutil.rmtree(f), "there is no such directory"),
]


@pytest.mark.parametrize(("damage", "expected"), DAMAGES, ids=[row[1] for row in DAMAGES])
def test_an_incomplete_directory_is_refused(
    checkpoint: Path, damage: Callable[[Path], Any], expected: str
) -> None:
    damage(checkpoint)
    [line] = problems(in_folder(checkpoint))
    assert line.startswith(f"models.mine.source.directory: {checkpoint}: ")
    assert expected in line


def test_all_that_a_directory_lacks_is_named_at_once(tmp_path: Path) -> None:
    lines = problems(in_folder(tmp_path))
    assert len(lines) == 3
    assert "it has no safetensors weights; convert others" in lines[1]


def test_the_job_that_copies_an_incomplete_directory_refuses_it_too(
    checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / "config.json").unlink()
    with pytest.raises(RestemError, match=r"config\.json is missing"):
        local.fetch(LocalModel(kind="local", directory=checkpoint), tmp_path / "out")


def test_a_directory_may_begin_with_the_home_directory(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkpoint.parent))
    study = study_to_run(in_folder("~/mine"), CONFIG)
    assert study.models["mine"].source.directory == checkpoint  # type: ignore[union-attr]
    stated = in_folder(checkpoint)
    stated["tasks"]["chain"]["graded_sheets"] = "~/sheets"
    assert study_to_run(stated, CONFIG).tasks["chain"].graded_sheets == checkpoint.parent / "sheets"


def test_the_home_directory_of_nobody_is_refused() -> None:
    [line] = problems(in_folder("~no-such-user/mine"))
    assert line.startswith("models.mine.source.local.directory: ~no-such-user/mine")


@pytest.mark.parametrize("decoding", ["greedy", "explore"])
def test_a_completion_that_fills_the_context_is_refused(decoding: str) -> None:
    study = with_model(source={"kind": "embedded", "size": "S"})
    study["decodings"][decoding]["max_tokens"] = 512
    [line] = problems(study)
    assert line.startswith(f"decodings.{decoding}.max_tokens: 512 tokens leave no room for a")
    study["decodings"][decoding]["max_tokens"] = 511
    assert study_to_run(study, CONFIG)


def test_a_context_may_be_that_of_a_local_file_or_of_the_engine(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    write(checkpoint / "config.json", {"text_config": config | {"max_position_embeddings": 8}})
    assert len(problems(in_folder(checkpoint))) == 2  # greedy and explore; sampled is not used
    hub = {"kind": "hub", "id": "a/b", "revision": "a" * 40}
    study = with_model(source=hub, engine={"context_tokens": 8})
    assert "in the context of models.mine, 8 tokens" in problems(study)[0]
    assert study_to_run(with_model(source=hub), CONFIG)


NO_VALIDATION = {"stop": "epochs"}
THINKING = {"draws": 4, "temperature": 0.7, "max_tokens": 8, "thinking_tokens": 4}


def test_limited_thoughts_need_an_engine_that_limits_them(checkpoint: Path) -> None:
    study = in_folder(checkpoint)
    study["decodings"] |= {"explore": THINKING}
    study["models"]["mine"]["engine"] = {"name": "vllm"}
    assert study_to_run(study, CONFIG)
    study["models"]["mine"]["engine"] = {"name": "transformers"}
    [line] = problems(study)
    assert line.startswith("decodings.explore.thinking_tokens: models.mine is sampled with")
    study["models"]["mine"]["engine"] = {"name": "vllm"}
    study["validation_decoding"] = "explore"
    without = {"rest-em": {**study["variants"]["rest-em"], "changes": {"training": NO_VALIDATION}}}
    assert study_to_run({**study, "variants": without}, CONFIG)
    [line] = problems(study)
    assert line.startswith("decodings.explore.thinking_tokens: fine-tuning validates with")


TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (TURNS + "{% if add_generation_prompt %}[assistant]{% endif %}", None),
        (TURNS + "{% if add_generation_prompt %}[model]{% endif %}", "writes a finished answer in"),
        (None, "the model's tokenizer has no chat template; set `prompt: base`"),
    ],
)
def test_a_chat_template_that_cannot_be_divided_is_refused_before_a_run(
    checkpoint: Path, template: str | None, expected: str | None
) -> None:
    if template:
        (checkpoint / "chat_template.jinja").write_text(template)
    study = in_folder(checkpoint)
    assert study_to_run(study, CONFIG)
    study["models"]["mine"]["prompt"] = "chat"
    if expected is None:
        assert study_to_run(study, CONFIG)
    else:
        [line] = problems(study)
        assert line.startswith(f"models.mine.prompt: chat: {checkpoint}: ")
        assert expected in line
