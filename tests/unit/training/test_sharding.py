"""Two processes with sharded weights compute what one process computes with all of them."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from restem.config.training import Lora, Training
from restem.errors import RestemError
from restem.policies.checkpoint import load_policy
from restem.training.loop import fine_tune
from restem.training.parallel import join_processes
from restem.training.state import StateStore
from tests.unit.training.test_parallel import EXAMPLES, SETTINGS, in_two_processes
from tests.unit.training.test_parallel import trained as train_in_test

SHARED = SETTINGS.model_copy(update={"processes": 2, "shard": "weights"})
FILES = ("model.safetensors", "config.json")


def reward(model: Any, tokenizer: Any) -> float:
    """Look at the model as drawing does: by forward passes in inference mode."""
    with torch.inference_mode():
        logits = [model(input_ids=torch.tensor([[1, 4, 5][:k]])).logits for k in (1, 2, 3)]
    return float(sum(each.double().abs().sum() for each in logits)) % 1


trained = partial(train_in_test, validate=reward)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lora": Lora(rank=2)},
        {"lora": Lora(rank=1, merged=False)},  # the second process has no part of some weights
        {"layout": "packed", "stop": "epochs"},
        {"layout": "padded", "gradient_checkpointing": True},
        {"batch_size": 1},  # one of the two has nothing to do
    ],
    ids=str,
)
def test_they_take_the_steps_of_one(base: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    alone = SETTINGS.model_copy(update=changes)
    expected = trained(base, tmp_path / "one", alone)

    def work(rank: int) -> None:
        report = trained(base, tmp_path / "two", SHARED.model_copy(update=changes))
        assert report.losses == pytest.approx(expected.losses, rel=1e-4)
        assert report.gradient_norms == pytest.approx(expected.gradient_norms, rel=1e-3)
        rewards = [point.reward for point in report.validations]
        assert rewards == pytest.approx([p.reward for p in expected.validations], abs=0.02)
        assert report.tokens.target == expected.tokens.target

    assert in_two_processes(work) == [0, 0]
    written = {path.name for path in (tmp_path / "one").iterdir()}
    assert {path.name for path in (tmp_path / "two").iterdir()} == written
    [name] = [name for name in written if name.endswith(".safetensors")]
    weights, expected_weights = (load_file(tmp_path / out / name) for out in ("two", "one"))
    assert weights.keys() == expected_weights.keys()
    for key, value in expected_weights.items():
        torch.testing.assert_close(weights[key], value, rtol=1e-2, atol=1e-3)
    for path in (tmp_path / "one").glob("*config.json"):
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()


def test_each_holds_its_part_only(base: Path) -> None:
    whole = sum(p.numel() for p in load_policy(base)[0].parameters())

    def work(rank: int) -> None:
        with join_processes("cpu", "weights") as processes:
            model, _ = load_policy(base)
            processes.place(model)
            parts = processes.trained_weights(model)
        assert sum(part.numel() for part in parts.values()) <= 0.51 * whole
        stored = {p.to_local().untyped_storage().data_ptr() for p in model.parameters()}
        assert stored == {part.untyped_storage().data_ptr() for part in parts.values()}

    assert in_two_processes(work) == [0, 0]


def test_both_are_killed_and_end_in_the_same_bytes(base: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    assert in_two_processes(lambda _: not trained(base, tmp_path / "whole", SHARED)) == [0, 0]
    took = time.monotonic() - began
    state, part = tmp_path / "state", tmp_path / "part"
    for share in (0.5, 0.7, 0.9):
        in_two_processes(lambda _: not trained(base, part, SHARED, state), took * share)
    assert in_two_processes(lambda _: not trained(base, part, SHARED, state)) == [0, 0]
    for name in FILES:
        assert (part / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("lost", [False, True])
def test_a_state_that_one_of_them_had_not_saved_is_not_taken(
    base: Path, tmp_path: Path, lost: bool
) -> None:
    """A kill between two saves leaves the states of two steps; both go on from the older one.

    Where the older one is lost, both begin again.
    """
    state, seen = tmp_path / "state", tmp_path / "seen"

    def killed() -> None:
        raise KeyboardInterrupt

    def work(rank: int) -> None:
        class Killed(StateStore):
            def save(self, content: dict[str, Any], all_saved: Any = None) -> None:
                steps = len(content["report"]["losses"])
                if steps == 4 and rank == 1:
                    killed()
                super().save(content, killed if steps == 4 else all_saved)

        store = Killed(state, "k", 0.0)
        fine_tune(base, EXAMPLES, SHARED, 0, 1, reward, tmp_path / "o", print, store=store)

    assert all(in_two_processes(work))
    of_first, of_second = (sorted(state.glob(f"*-{rank}of2-*.pt")) for rank in range(2))
    assert (len(of_first), len(of_second)) == (2, 1)
    if lost:
        of_second[0].unlink()

    def again(rank: int) -> None:
        lines: list[str] = []
        store = StateStore(state, "k", 1e9)
        fine_tune(base, EXAMPLES, SHARED, 0, 1, reward, tmp_path / "o", lines.append, store=store)
        if rank == 0:
            seen.write_text("\n".join(lines))

    assert in_two_processes(again) == [0, 0]
    assert seen.read_text().startswith("resumed after step 3 ") == (not lost)
    assert "step 0 of" in seen.read_text() or not lost


def test_a_model_that_names_no_layers_is_refused(base: Path) -> None:
    def work(rank: int) -> None:
        with join_processes("cpu", "weights") as processes:
            model, _ = load_policy(base)
            model._no_split_modules = None
            with pytest.raises(RestemError, match="which modules its layers are"):
                processes.place(model)

    assert in_two_processes(work) == [0, 0]


def test_one_process_has_nobody_to_share_with() -> None:
    with pytest.raises(ValidationError, match="processes"):
        Training(shard="weights")
