"""A run that was killed and resumed gives the bytes of one that was not."""

import dataclasses
import hashlib
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from restem.config.training import Training
from restem.errors import RestemError
from restem.training.examples import Example
from restem.training.loop import fine_tune
from restem.training.run import TrainingReport
from restem.training.state import Interrupted, StateStore

EXAMPLES = [Example("cd# ", a + b, f"{b}{a}##", 1.0) for a in "abcdef" for b in "abc"]
SETTINGS = Training(
    learning_rate=3e-3, epochs_max=2, batch_size=6, patience=100, pass_tokens=24, validations=4
)


class Kill(BaseException):
    """Stand for SIGKILL: nothing of the run may act on it."""


class Trainer:
    """Run one fine-tuning; it may die after so many saves."""

    def __init__(self, base: Path, folder: Path, settings: Training = SETTINGS) -> None:
        self.base, self.folder, self.settings = base, folder, settings
        self.lines: list[str] = []

    def run(self, key: str = "k", seconds: float = 0.0, die_at_save: int = -1) -> TrainingReport:
        store = StateStore(self.folder / "state", key, seconds)
        saves = 0
        save = store.save

        def counted(state: dict[str, Any], *others: Any) -> None:
            nonlocal saves
            save(state, *others)
            saves += 1
            if saves == die_at_save:
                raise Kill

        store.save = counted  # type: ignore[method-assign]
        out, progress = self.folder / "out", self.lines.append
        report = fine_tune(
            self.base, EXAMPLES, self.settings, 0, 1, self.reward, out, progress, store=store
        )
        shutil.rmtree(store.folder)
        return report

    def reward(self, model: Any, tokenizer: Any) -> float:
        """Depend on nothing but the weights."""
        return float(model.get_output_embeddings().weight.double().abs().sum()) * 1000 % 1


def digests(path: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()}


def lasting(report: TrainingReport) -> dict[str, Any]:
    clock = ("wall_seconds", "validation_seconds", "peak_memory_bytes")
    return {k: v for k, v in dataclasses.asdict(report).items() if k not in clock}


@pytest.mark.parametrize("stop", ["validation_reward", "epochs"])
def test_killed_after_any_save_it_ends_in_the_same_bytes(
    base: Path, tmp_path: Path, stop: str
) -> None:
    settings = SETTINGS.model_copy(update={"stop": stop, "gradient_checkpointing": True})
    whole = Trainer(base, tmp_path / "whole", settings)
    expected = whole.run()
    for save in range(1, expected.steps + 1, 2 if stop == "epochs" else 1):
        part = Trainer(base, tmp_path / f"{save}", settings)
        with pytest.raises(Kill):
            part.run(die_at_save=save)
        assert lasting(part.run()) == lasting(expected)
        assert any("resumed after step" in line for line in part.lines)
        assert digests(tmp_path / f"{save}/out") == digests(tmp_path / "whole/out")
        assert not (tmp_path / f"{save}/state").exists()


def test_terminated_it_saves_the_step_that_it_stands_at(base: Path, tmp_path: Path) -> None:
    expected = Trainer(base, tmp_path / "whole").run()
    part = Trainer(base, tmp_path / "part")
    for moment in range(expected.steps):

        def terminate(*_: Any) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        handle = torch.optim.AdamW.step
        calls = 0

        def step(self: Any, *arguments: Any, moment: int = moment, handle: Any = handle) -> Any:
            nonlocal calls
            calls += 1
            if calls == 1:
                terminate()
            return handle(self, *arguments)

        torch.optim.AdamW.step = step  # type: ignore[method-assign]
        try:
            with pytest.raises(Interrupted) as caught:
                part.run(seconds=1e9)
        finally:
            torch.optim.AdamW.step = handle  # type: ignore[method-assign]
        assert caught.value.code == 143
    assert lasting(part.run()) == lasting(expected)
    assert digests(tmp_path / "part/out") == digests(tmp_path / "whole/out")


def test_terminated_while_it_validates_it_goes_on_with_that(base: Path, tmp_path: Path) -> None:
    part = Trainer(base, tmp_path / "part")
    rewarded = part.reward

    def reward(model: Any, tokenizer: Any) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal ends the validation")

    part.reward = reward  # type: ignore[method-assign]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        part.run(seconds=1e9)
    assert signal.getsignal(signal.SIGTERM) == before
    part.reward = rewarded  # type: ignore[method-assign]
    assert lasting(part.run()) == lasting(Trainer(base, tmp_path / "whole").run())


def test_usr1_saves_and_goes_on(base: Path, tmp_path: Path) -> None:
    part = Trainer(base, tmp_path)

    def reward(model: Any, tokenizer: Any) -> float:
        os.kill(os.getpid(), signal.SIGUSR1)
        return 0.5

    part.reward = reward  # type: ignore[method-assign]
    with pytest.raises(Kill):
        part.run(seconds=1e9, die_at_save=2)
    part.run(seconds=1e9)
    assert any(line.startswith("resumed after step 2 ") for line in part.lines)


def test_a_state_of_another_recipe_or_damaged_counts_for_nothing(
    base: Path, tmp_path: Path
) -> None:
    expected = Trainer(base, tmp_path / "whole").run()
    for damage in ("key", "cut", "flip"):
        part = Trainer(base, tmp_path / damage)
        with pytest.raises(Kill):
            part.run(die_at_save=3)
        (state,) = (tmp_path / damage / "state").iterdir()
        content = state.read_bytes()
        if damage == "cut":
            state.write_bytes(content[: len(content) // 2])
        if damage == "flip":
            changed = bytearray(content)
            changed[len(content) // 2] ^= 255
            state.write_bytes(changed)
        part.lines.clear()
        assert lasting(part.run("other" if damage == "key" else "k")) == lasting(expected)
        assert not any("resumed" in line for line in part.lines)
        assert digests(tmp_path / f"{damage}/out") == digests(tmp_path / "whole/out")


def test_sigkill_at_random_moments(base: Path, tmp_path: Path) -> None:
    """`benchmarks/resume.py` does it twenty times to the whole command."""
    began = time.monotonic()
    Trainer(base, tmp_path / "whole").run()
    took = time.monotonic() - began
    rng, kills = random.Random(0), 0
    while kills < 5:
        child = os.fork()
        if not child:
            Trainer(base, tmp_path / "part").run()
            os._exit(0)
        time.sleep(rng.random() * took)
        os.kill(child, signal.SIGKILL)
        kills += os.waitpid(child, 0)[1] == signal.SIGKILL
    Trainer(base, tmp_path / "part").run()
    assert digests(tmp_path / "part/out") == digests(tmp_path / "whole/out")
    assert not (tmp_path / "part/state").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda w: {n: t for n, t in w.items() if "norm" not in n}, "model.norm.weight"),
        (lambda w: {**w, "model.layers.7.up.weight": torch.zeros(3)}, "model.layers.7.up.weight"),
        (lambda w: {**w, "model.norm.weight": torch.zeros(1)}, "model.norm.weight"),
    ],
)
@pytest.mark.parametrize("part", ["weights", "kept"])
def test_a_state_of_other_weights_is_refused(
    base: Path, tmp_path: Path, part: str, change: Any, named: str
) -> None:
    trainer = Trainer(base, tmp_path)
    with pytest.raises(Kill):
        trainer.run(die_at_save=2)
    store = StateStore(tmp_path / "state", "k", 0.0)
    state = next(iter(store.states()))
    assert state[part]
    store.save({**state, part: change(state[part])})
    with pytest.raises(RestemError, match="other weights than the model") as caught:
        trainer.run()
    assert named in caught.value.what
    assert str(tmp_path / "state") in caught.value.where
