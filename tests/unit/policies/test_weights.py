"""A checkpoint that is not whole is refused by the names of its tensors, whoever loads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from restem.config.models import EngineSettings, LocalModel
from restem.errors import RestemError
from restem.policies.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, load_policy
from restem.policies.sources.local import fetch
from restem.policies.weights import require_weights
from restem.sampling.loading import load_engine
from tests.unit.tiny_models import tiny_llama

Weights = dict[str, torch.Tensor]
EMBEDDING, OUTPUT, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


def without(*parts: str) -> Callable[[Weights], Weights]:
    return lambda w: {n: t for n, t in w.items() if not any(part in n for part in parts)}


BROKEN: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "a layer": (without("layers.1."), "9 tensors are missing .model.layers.1.input_layernorm"),
    "the final norm": (without(NORM), "1 tensor is missing .model.norm.weight"),
    "the embedding": (without(EMBEDDING), "1 tensor is missing .model.embed_tokens.weight"),
    "the output layer": (without(OUTPUT), "1 tensor is missing .lm_head.weight"),
    "one matrix": (without("layers.0.mlp.up_proj"), "layers.0.mlp.up_proj.weight"),
    "another prefix": (
        lambda w: {f"transformer.{n}": t for n, t in w.items()},
        "21 tensors are missing .*21 tensors are unknown to the model .transformer.lm_head.weight",
    ),
    "a layer too many": (
        lambda w: w | {n.replace("s.1.", "s.2."): t.clone() for n, t in w.items() if "s.1." in n},
        "9 tensors are unknown to the model",
    ),
    "biases": (
        lambda w: w | {"model.layers.0.self_attn.q_proj.bias": torch.zeros(64)},
        "1 tensor is unknown to the model .model.layers.0.self_attn.q_proj.bias",
    ),
    "another shape": (
        lambda w: w | {NORM: torch.ones(32)},
        r"1 tensor is of another shape .model.norm.weight \[32\] instead of \[64\]",
    ),
    "another vocabulary": (
        lambda w: w | {OUTPUT: torch.zeros(50, 64)},
        r"lm_head.weight \[50, 64\] instead of \[16, 64\]",
    ),
}


def change(folder: Path, edit: Callable[[Weights], Weights]) -> None:
    file = folder / "model.safetensors"
    save_file(edit(load_file(file)), file, metadata={"format": "pt"})


def configure(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("lack", BROKEN)
def test_a_checkpoint_that_is_not_whole_is_refused_by_name(checkpoint: Path, lack: str) -> None:
    edit, expected = BROKEN[lack]
    change(checkpoint, edit)
    with pytest.raises(RestemError, match=expected) as by_names:
        require_weights(checkpoint)
    with pytest.raises(RestemError, match=expected) as loaded:
        load_policy(checkpoint)
    with pytest.raises(RestemError, match=expected):
        load_engine(checkpoint, EngineSettings(device="cpu"), 1)
    assert by_names.value.what == loaded.value.what
    assert str(checkpoint) in loaded.value.where


def test_a_whole_checkpoint_is_no_fault(checkpoint: Path) -> None:
    require_weights(checkpoint)
    assert load_policy(checkpoint)


def test_tied_weights_are_stored_once_under_either_name_or_twice_alike(checkpoint: Path) -> None:
    configure(checkpoint, tie_word_embeddings=True)
    stored = load_file(checkpoint / "model.safetensors")
    for edit in (
        without(OUTPUT),
        lambda w: {**w, OUTPUT: stored[EMBEDDING].clone()},
        without(EMBEDDING),
    ):
        change(checkpoint, lambda _, edit=edit: edit(stored))  # type: ignore[misc]
        require_weights(checkpoint)
        model, _ = load_policy(checkpoint)
        assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_tied_weights_that_differ_are_refused_because_the_engines_take_different_ones(
    checkpoint: Path,
) -> None:
    configure(checkpoint, tie_word_embeddings=True)
    for check in (require_weights, load_policy):
        with pytest.raises(RestemError, match=r"ties lm_head.weight to model.embed_tokens.weight"):
            check(checkpoint)


def test_tables_that_older_checkpoints_hold_are_no_fault(checkpoint: Path) -> None:
    change(
        checkpoint, lambda w: {**w, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}
    )
    require_weights(checkpoint)
    assert load_policy(checkpoint)


def test_shards_are_looked_at_together(checkpoint: Path, tokenizer: object) -> None:
    model, _ = load_policy(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="40KB")
    assert len(list(checkpoint.glob("*.safetensors"))) > 1
    require_weights(checkpoint)


def test_weights_in_a_second_form_are_not_looked_at(checkpoint: Path) -> None:
    """As in the folders of Mistral."""
    weights = load_file(checkpoint / "model.safetensors")
    save_file({f"x.{n}": t for n, t in weights.items()}, checkpoint / "consolidated.safetensors")
    require_weights(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(RestemError, match=r"no model.safetensors"):
        require_weights(checkpoint)


def test_the_stage_of_base_models_refuses_before_anything_is_sampled(
    checkpoint: Path, tmp_path: Path
) -> None:
    from restem.stages.base import _require_whole

    change(checkpoint, without("layers.1."))
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    fetch(LocalModel(kind="local", directory=checkpoint), fetched)
    with pytest.raises(RestemError, match="9 tensors are missing"):
        _require_whole(fetched)


def test_a_large_model_is_checked_by_names_alone(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No tensor is read: the check is as cheap for a model of 8 billion parameters."""
    monkeypatch.setattr("restem.policies.weights.safe_open", None)
    monkeypatch.setattr("safetensors.torch.load_file", None)
    file = checkpoint / "model.safetensors"
    with file.open("r+b") as stream:  # a file of holes instead of numbers
        header = 8 + int.from_bytes(stream.read(8), "little")
        size = file.stat().st_size
        stream.truncate(header)
        stream.truncate(size)
    require_weights(checkpoint)


def adapter(checkpoint: Path, tmp_path: Path) -> tuple[Path, Weights]:
    """Return an adapter beside its base, and what it holds."""
    from restem.artifacts.files import write_json
    from restem.policies.checkpoint import ADAPTER_BASE, weight_digests

    folder = shutil.copytree(checkpoint, tmp_path / "adapter")
    (folder / "model.safetensors").unlink()
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    updates = {
        f"{stem}.lora_A.weight": torch.ones(4, 64),
        f"{stem}.lora_B.weight": torch.ones(64, 4),
    }
    config = {"r": 4, "lora_alpha": 8, "base_model_name_or_path": "../model", "bias": "none"}
    write_json(folder / ADAPTER_CONFIG, config)
    write_json(folder / ADAPTER_BASE, weight_digests(checkpoint))
    save_file(updates, folder / ADAPTER_WEIGHTS)
    return folder, updates


def test_an_adapter_is_added_whole(checkpoint: Path, tmp_path: Path) -> None:
    folder, _ = adapter(checkpoint, tmp_path)
    name = "model.layers.0.self_attn.q_proj.weight"
    before, after = (load_policy(one)[0].state_dict()[name] for one in (checkpoint, folder))
    assert torch.allclose(after - before, torch.full_like(before, 8.0))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda w: {n: t for n, t in w.items() if "lora_A" in n}, "q_proj"),
        (lambda w: {n: t for n, t in w.items() if "lora_B" in n}, "q_proj"),
        (lambda w: {n.replace("s.0.", "s.7."): t for n, t in w.items()}, "layers.7"),
        (lambda w: {n.replace("base_model.model.", "x."): t for n, t in w.items()}, "x.model"),
        (lambda w: {n: t[:, :2].contiguous() for n, t in w.items()}, "q_proj"),
        (
            lambda w: {
                **w,
                "base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 16),
            },
            "lora_embedding_A",
        ),
        (lambda w: {**w, "base_model.model.lm_head.weight": torch.ones(16, 64)}, "lm_head.weight"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_by_name(
    checkpoint: Path, tmp_path: Path, edit: Callable[[Weights], Weights], expected: str
) -> None:
    folder, updates = adapter(checkpoint, tmp_path)
    save_file(edit(updates), folder / ADAPTER_WEIGHTS)
    with pytest.raises(RestemError, match=f"no layer for .*{expected}"):
        load_policy(folder)


@pytest.mark.parametrize("more", ["use_dora", "use_rslora"])
def test_an_adapter_that_is_more_than_lora_is_refused(
    checkpoint: Path, tmp_path: Path, more: str
) -> None:
    folder, _ = adapter(checkpoint, tmp_path)
    file = folder / ADAPTER_CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), more: True}))
    with pytest.raises(RestemError, match=f"no way to apply {more}"):
        load_policy(folder)


def test_the_weights_below_an_adapter_have_to_be_whole(checkpoint: Path, tmp_path: Path) -> None:
    change(checkpoint, without(NORM))
    folder, _ = adapter(checkpoint, tmp_path)
    with pytest.raises(RestemError, match=r"1 tensor is missing .model.norm.weight"):
        load_policy(folder)


NAMES = sorted(tiny_llama(16, 64, 0.1).state_dict())


@given(st.sampled_from(NAMES), st.sampled_from(["drop", "rename", "reshape"]))
@hypothesis_settings(max_examples=30, deadline=None)
def test_any_tensor_that_is_lost_renamed_or_reshaped_is_named(
    tmp_path_factory: pytest.TempPathFactory, name: str, what: str
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    model = tiny_llama(16, 64, 0.1)
    model.save_pretrained(folder)
    stored = load_file(folder / "model.safetensors")
    value = stored.pop(name)
    if what == "rename":
        stored[f"{name}_orig"] = value
    elif what == "reshape":
        stored[name] = torch.cat([value, value])
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RestemError) as caught:
        require_weights(folder)
    assert name in caught.value.what
