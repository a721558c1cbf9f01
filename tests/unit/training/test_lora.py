import copy
import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from restem.config.training import Lora, Training
from restem.errors import RestemError
from restem.policies.checkpoint import load_policy
from restem.training.examples import Encoded, Example
from restem.training.loop import fine_tune
from restem.training.lora import merge, with_adapters
from restem.training.loss import accumulate
from restem.training.packs import loss_mass, packs

EXAMPLES = [Example("cd# ", a + b, f"{b}{a}##", 1.0) for a in "abcdef" for b in "abc"]
SETTINGS = Training(
    learning_rate=1e-2, epochs_max=2, batch_size=6, stop="epochs", lora=Lora(rank=4), pass_tokens=30
)


def trained(base: Path, out: Path, settings: Training = SETTINGS) -> Any:
    return fine_tune(base, EXAMPLES, settings, 0, 1, lambda *_: 0.0, out, lambda _: None)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


@pytest.fixture(scope="module")
def policy(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lora") / "out"
    report = trained(base, out)
    assert report.losses[-1] < 0.9 * report.losses[0]
    return out


def test_the_policy_is_whole_and_only_adapted_layers_changed(base: Path, policy: Path) -> None:
    assert AutoModelForCausalLM.from_pretrained(policy, local_files_only=True)
    before, after = weights(base), weights(policy)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "_proj" in name}


def test_merging_the_adapter_by_hand_gives_the_policy(
    base: Path, policy: Path, tmp_path: Path
) -> None:
    merge(base, policy / "adapter", tmp_path / "merged")
    assert (tmp_path / "merged/model.safetensors").read_bytes() == (
        policy / "model.safetensors"
    ).read_bytes()
    for file in (policy / "adapter").iterdir():
        assert str(base).encode() not in file.read_bytes()


def test_same_arguments_give_the_same_bytes(base: Path, policy: Path, tmp_path: Path) -> None:
    trained(base, tmp_path / "again")
    for file in ("model.safetensors", "adapter/adapter_model.safetensors"):
        digests = {
            hashlib.sha256((p / file).read_bytes()).digest() for p in (policy, tmp_path / "again")
        }
        assert len(digests) == 1


def test_an_adapter_on_the_wrong_base_is_refused(base: Path, policy: Path, tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="does not belong to this base: its record"):
        merge(policy, policy / "adapter", tmp_path / "out")
    foreign = shutil.copytree(policy / "adapter", tmp_path / "foreign")
    (foreign / "base.json").unlink()
    stored = load_file(foreign / "adapter_model.safetensors")
    first = next(iter(stored))
    for broken in (
        {name: value for name, value in stored.items() if name != first},
        {**stored, first: torch.zeros(3, 3)},
        {**stored, first.replace("layers.0", "layers.7"): stored[first].clone()},
    ):
        save_file(broken, foreign / "adapter_model.safetensors")
        with pytest.raises(RestemError, match="does not belong to this base"):
            merge(base, foreign, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_not_a_model(policy: Path, tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="an adapter, not a model") as caught:
        load_policy(policy / "adapter")
    assert "restem merge" in caught.value.fix
    with pytest.raises(RestemError, match="no adapter here"):
        merge(policy, tmp_path, tmp_path / "out")


def test_layers_that_do_not_exist_are_refused(base: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"lora": Lora(targets=("no_such_layer",))})
    with pytest.raises(RestemError, match="adapters cannot be added"):
        trained(base, tmp_path / "out", settings)


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj",), ("v_proj", "down_proj")])
def test_shared_prefixes_give_adapters_their_whole_gradient(llama: Any, targets: Any) -> None:
    """With few targets some layers' keys or values of the prefix need no gradient."""
    adapted = with_adapters(copy.deepcopy(llama), Lora(targets=targets)).double()
    model = adapted.get_base_model().train()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    prefix = [4, 5, 6, 7]
    rows = [Encoded([*prefix, k], [k, 5, k], 1.0) for k in range(4, 9) for _ in range(2)]
    gradients = []
    for layout, limit in (("padded", 999), ("tree", 999), ("tree", 8)):
        model.zero_grad()
        settings = Training(layout=layout, pass_tokens=limit)
        accumulate(model, packs(rows, settings, loss_mass(rows, "token")))
        gradients.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
        )
    for other in gradients[1:]:
        assert ((other - gradients[0]).norm() / gradients[0].norm()).item() < 1e-6


@pytest.fixture(scope="module")
def alone(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an adapter that was saved alone, with its base beside it."""
    root = tmp_path_factory.mktemp("alone")
    start = shutil.copytree(base, root / "base")
    trained(start, root / "out", alone_settings())
    return root / "out"


def alone_settings() -> Training:
    return SETTINGS.model_copy(update={"lora": Lora(rank=4, merged=False)})


def test_an_adapter_alone_is_the_policy_that_merging_gives(policy: Path, alone: Path) -> None:
    assert not (alone / "model.safetensors").exists()
    whole, pair = load_policy(policy)[0], load_policy(alone)[0]
    stored, added = whole.state_dict(), pair.state_dict()
    assert stored.keys() == added.keys()
    assert all(torch.equal(stored[name], added[name]) for name in stored)


def test_an_adapter_alone_names_no_path_of_this_machine(alone: Path) -> None:
    for file in alone.iterdir():
        assert str(alone.parent).encode() not in file.read_bytes(), file


def test_the_pair_may_be_moved_together(alone: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(alone.parent, tmp_path / "elsewhere")
    assert load_policy(moved / "out")


def test_other_weights_below_an_adapter_are_refused(alone: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(alone.parent, tmp_path / "elsewhere")
    stored = load_file(moved / "base/model.safetensors")
    save_file({n: t + 1e-4 for n, t in stored.items()}, moved / "base/model.safetensors")
    with pytest.raises(RestemError, match="missing or have changed"):
        load_policy(moved / "out")
    shutil.rmtree(moved / "base")
    with pytest.raises(RestemError, match="missing or have changed"):
        load_policy(moved / "out")


def test_an_adapter_does_not_stand_on_another_one(alone: Path, tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="cannot stand alone on another one"):
        trained(alone, tmp_path / "out", alone_settings())
    trained(alone, tmp_path / "whole")  # merged, it does
    assert load_policy(tmp_path / "whole")


@pytest.fixture(scope="module")
def tied(base: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a base model whose input and output embeddings are one tensor."""
    model, _ = load_policy(base)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    folder = tmp_path_factory.mktemp("tied") / "base"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def of_targets(*targets: str, merged: bool = True) -> Training:
    lora = Lora(rank=4, targets=targets, merged=merged)
    return SETTINGS.model_copy(update={"lora": lora, "validations": 4})


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("targets", [("lm_head",), ("embed_tokens",), ("q_proj", "lm_head")])
def test_an_adapter_of_tied_embeddings_is_refused(
    tied: Path, tmp_path: Path, targets: tuple[str, ...], merged: bool
) -> None:
    with pytest.raises(RestemError, match="input and output share these weights") as caught:
        trained(tied, tmp_path / "out", of_targets(*targets, merged=merged))
    assert targets[-1] in caught.value.what


def test_other_layers_of_a_model_with_tied_embeddings_can_be_adapted(
    tied: Path, tmp_path: Path
) -> None:
    trained(tied, tmp_path / "out")
    merge(tied, tmp_path / "out/adapter", tmp_path / "merged")
    assert weights(tmp_path / "merged").keys() == weights(tied).keys()


@pytest.mark.parametrize("targets", [("lm_head",), ("embed_tokens",), ("lm_head", "embed_tokens")])
def test_embeddings_of_their_own_are_saved_as_they_were_validated(
    base: Path, tmp_path: Path, targets: tuple[str, ...]
) -> None:
    validated = []
    ids = torch.tensor([[1, 4, 5, 6, 7]])
    fine_tune(
        base, EXAMPLES, of_targets(*targets), 0, 1,
        lambda model, _: validated.append(model(input_ids=ids).logits.clone()) or 0.0,
        tmp_path / "out", lambda _: None,
    )  # fmt: skip
    saved = load_policy(tmp_path / "out")[0](input_ids=ids).logits
    assert not torch.allclose(validated[0], validated[-1], atol=1e-3)
    assert torch.allclose(saved, validated[-1], atol=1e-5)
    merge(base, tmp_path / "out/adapter", tmp_path / "merged")
    assert all(
        torch.equal(tensor, weights(tmp_path / "out")[name])
        for name, tensor in weights(tmp_path / "merged").items()
    )


def test_an_adapter_of_input_embeddings_cannot_stand_alone(base: Path, tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="embed_tokens can only be merged"):
        trained(base, tmp_path / "out", of_targets("embed_tokens", merged=False))


@pytest.mark.parametrize("settings", [{"targets": ["lm_head"]}, {"modules_to_save": ["lm_head"]}])
def test_a_foreign_adapter_of_tied_embeddings_is_not_merged(
    tied: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    model, _ = load_policy(tied)
    config = peft.LoraConfig(
        r=4, target_modules=settings.get("targets", ["q_proj"]), task_type="CAUSAL_LM",
        modules_to_save=settings.get("modules_to_save"),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.get_peft_model(model, config).save_pretrained(tmp_path / "foreign")
    with pytest.raises(RestemError, match="input and output share these weights"):
        merge(tied, tmp_path / "foreign", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_of_an_adapter_that_peft_would_ignore_are_refused(
    base: Path, policy: Path, tmp_path: Path
) -> None:
    foreign = shutil.copytree(policy / "adapter", tmp_path / "foreign")
    config = json.loads((foreign / "adapter_config.json").read_text())
    (foreign / "adapter_config.json").write_text(json.dumps({**config, "of_the_future": 3}))
    with pytest.raises(RestemError, match="of_the_future"):
        merge(base, foreign, tmp_path / "out")
