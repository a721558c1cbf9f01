"""From a clone to a figure on real layouts: fetch with a network, then run without one."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save

from tests.hub.layouts import encoded, public
from tests.hub.server import TOKEN, Hub, Repository, serve
from tests.hub.wheel import pin, prompts_wheel
from tests.workflow.conftest import Tree, plant

pytestmark = pytest.mark.workflow

MATH = "datasets/EleutherAI/hendrycks_math"

MODEL = """
import sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
letters = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
bytewise = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bytewise.decoder = decoders.ByteLevel()
special = dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>")
PreTrainedTokenizerFast(tokenizer_object=bytewise, **special).save_pretrained(sys.argv[1])
torch.manual_seed(0)
shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
shape |= dict(bos_token_id=1, eos_token_id=2, pad_token_id=0, max_position_embeddings=1024)
LlamaForCausalLM(LlamaConfig(vocab_size=len(letters), **shape)).save_pretrained(sys.argv[1])
"""  # its tokens are bytes, so that it reads any text


@pytest.fixture(scope="module")
def hub(repositories: dict[str, Repository]) -> Iterator[Hub]:
    with serve(repositories) as served:
        yield served


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Tree:
    """Return a clone with a study of MATH and GSM8K on a tiny model, and with empty caches."""
    folder = tmp_path_factory.mktemp("study")
    tree = plant(folder / "tree")
    shutil.rmtree(tree.root / "models/T")
    subprocess.run([sys.executable, "-c", MODEL, tree.root / "models/T"], check=True)
    wheel = prompts_wheel(folder / "index")
    few = {"train": 3, "validation": 2, "test": 3, "shots": 1}

    def of(task: str) -> dict[str, Any]:
        return {"data": {"source": {**public(task), "prompts": pin(wheel)}, **few}}

    def change(study: dict[str, Any]) -> None:
        study["tasks"] = {task: of(task) for task in ("math", "gsm8k")}
        study["variants"] = {"sft": {"method": "sft", "task": "math", "reference": True}}
        study["evaluations"] = [
            {"task": task, "split": "test", "decoding": "greedy"} for task in ("math", "gsm8k")
        ]
        study["metrics"]["ks"] = [1]

    tree.configure(change)
    tree.variables = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "hf"),
        "NO_PROXY": "*",
        "RESTEM_CACHE": str(folder / "restem"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
    }
    return tree


def restem(tree: Tree, *arguments: str, online: bool, fails: bool = False) -> str:
    variables = tree.variables
    tree.variables = {**variables, "HF_HUB_OFFLINE": "0" if online else "1"}
    done = tree.restem(*arguments, "--configfile", "study.yaml")
    tree.variables = variables
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_study_is_fetched_and_then_run_without_a_network(clone: Tree, hub: Hub) -> None:
    before = restem(clone, "data", "list", online=True)
    assert f"{MATH} at 21a56338" in before
    assert "0 of 16 files and models are here; to fetch: 16, " in before
    assert hub.downloads() == []
    restem(clone, "forecast", "--parameters", "T=1e5", online=False)

    assert "not in the hub's cache" in restem(clone, "data", "fetch", online=False, fails=True)
    fetched = restem(clone, "data", "fetch", online=True)
    assert "[16/16]" in fetched
    assert len(hub.downloads()) == 15  # and the wheel
    again = restem(clone, "data", "fetch", online=True)
    assert again.count(": here") == 16
    assert len(hub.downloads()) == 15

    asked = len(hub.requests)
    after = restem(clone, "data", "list", online=False)
    assert "16 of 16 files and models are here" in after and "to fetch" not in after
    checked = restem(clone, "data", "check", online=False)
    assert checked.count("rows, sha256") == 15 + 2  # both prompts are in one wheel
    figure = "results/tiny/figures/accuracy_by_iteration.svg"
    clone.make(figure)
    assert (clone.root / figure).is_file()
    assert not clone.plan(figure).jobs
    assert len(hub.requests) == asked


def test_fetching_goes_on_after_a_file_that_fails_and_names_it(clone: Tree, hub: Hub) -> None:
    known = hub.repositories[MATH]
    files = {name: text for name, text in known.files.items() if "geometry" not in name}
    hub.repositories[MATH] = Repository(known.commit, files)
    clone.variables["HF_HOME"] += "-of-two"
    said = restem(clone, "data", "fetch", online=True, fails=True)
    hub.repositories[MATH] = known
    assert "2 files or models cannot be fetched" in said
    first = "geometry/test-00000-of-00001.parquet does not exist at that commit"
    assert f"{MATH} at 21a56338: {first} (and 1 more)" in said
    again = restem(clone, "data", "fetch", online=True)
    assert "14 of 16 files and models are here" in again


def test_a_file_that_was_changed_in_the_cache_is_found(clone: Tree, hub: Hub) -> None:
    restem(clone, "data", "fetch", online=True)
    place = Path(clone.variables["HF_HOME"]) / "hub" / "datasets--openai--gsm8k" / "snapshots"
    (file,) = place.glob("*/main/test-00000-of-00001.parquet")
    content = file.read_bytes()
    file.resolve().write_bytes(encoded(file.name, [{"question": "a", "answer": "#### 1"}]))
    said = restem(clone, "data", "check", online=False, fails=True)
    assert "has 1 rows, not 1319 (main/test-00000-of-00001.parquet)" in said
    file.resolve().write_bytes(content[:-100])
    said = restem(clone, "data", "check", online=False, fails=True)
    assert "the data is not readable Parquet" in said
    assert "(main/test-00000-of-00001.parquet)" in said
    file.resolve().write_bytes(content)
    restem(clone, "data", "check", online=False)


def test_models_of_the_hub_are_listed_fetched_and_checked(clone: Tree, hub: Hub) -> None:
    weights = save({"w": np.zeros(5000, np.float32)})
    files = {"config.json": b'{"a": 1}', "tokenizer.json": b"{}", "model.safetensors": weights}
    hub.repositories["owner/model"] = Repository("a" * 40, files)
    text = (clone.root / "study.yaml").read_text()
    study = yaml.safe_load(text)
    study["models"]["T"] = {"source": {"kind": "hub", "id": "owner/model", "revision": "a" * 40}}
    (clone.root / "study.yaml").write_text(yaml.safe_dump(study))
    listed = restem(clone, "data", "list", online=True)
    assert re.search(r"owner/model at aaaaaaaa +1 +0 +20\.1 kB +T", listed)
    assert "owner/model at aaaaaaaa: fetching 20.1 kB" in restem(
        clone, "data", "fetch", online=True
    )
    assert "17 of 17 files and models are here" in restem(clone, "data", "list", online=False)
    checked = restem(clone, "data", "check", online=False)
    assert "owner/model at aaaaaaaa 1 files of weights, complete" in checked
    place = Path(clone.variables["HF_HOME"]) / "hub/models--owner--model/snapshots"
    (place / ("a" * 40) / "model.safetensors").resolve().write_bytes(weights[:-1])
    said = restem(clone, "data", "check", online=False, fails=True)
    assert "the model is not complete: model.safetensors has" in said
    (clone.root / "study.yaml").write_text(text)


def test_the_doctor_asks_the_hub_for_what_is_not_on_this_machine(clone: Tree, hub: Hub) -> None:
    weights = save({"w": np.zeros(5000, np.float32)})
    files = {"config.json": b'{"a": 1}', "tokenizer.json": b"{}", "model.safetensors": weights}
    hub.repositories["owner/gated"] = Repository("b" * 40, files, gated=True)
    study = yaml.safe_load((clone.root / "study.yaml").read_text())
    study["models"]["T"] = {"source": {"kind": "hub", "id": "owner/gated", "revision": "b" * 40}}
    (clone.root / "gated.yaml").write_text(yaml.safe_dump(study))
    known = clone.variables
    clone.variables = {**known, "HF_HOME": known["HF_HOME"] + "-of-the-doctor"}

    def doctor(**variables: str) -> tuple[int, str]:
        clone.variables |= variables
        done = clone.restem("doctor", "gated.yaml")
        return done.returncode, done.stdout + done.stderr

    before = len(hub.downloads())
    code, said = doctor(HF_HUB_OFFLINE="0")
    assert code == 1
    assert "error    T: owner/gated: the model is gated: the hub gives it only to users" in said
    assert "into HF_TOKEN" in said
    place = f"warning  {MATH} at 21a56338: algebra/test-00000-of-00001.parquet (and 13 more) is not"
    assert place in said
    code, said = doctor(HF_TOKEN=TOKEN)
    assert "warning  T: owner/gated is not on this machine; a job would download 20.1 kB" in said
    assert len(hub.downloads()) == before
    code, said = doctor(HF_HUB_OFFLINE="1")
    assert code == 1 and "no network may be used" in said
    clone.variables = known
