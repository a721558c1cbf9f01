"""Interpolated weights lie where the share says, and only between like models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from restem.config.training import Training
from restem.errors import RestemError
from restem.training.examples import Example
from restem.training.loop import fine_tune
from restem.training.m_steps.interpolate import interpolate


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "out"
    settings = Training(learning_rate=1e-2, epochs_max=1, stop="epochs")
    fine_tune(base, [Example("", "a", "b#", 1.0)], settings, 0, 1, lambda *_: 0.0, out, print)
    return out


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_is_the_mean_of_the_two(
    base: Path, tuned: Path, tmp_path: Path, share: float
) -> None:
    interpolate(base, tuned, share, tmp_path / "mean")
    sides = [load_file(path / "model.safetensors") for path in (base, tuned, tmp_path / "mean")]
    for name, found in sides[2].items():
        torch.testing.assert_close(found, (1 - share) * sides[0][name] + share * sides[1][name])


def test_models_of_other_shapes_are_refused(base: Path, tmp_path: Path, tokenizer: Any) -> None:
    config = LlamaForCausalLM.from_pretrained(base).config
    config.num_hidden_layers = 1
    LlamaForCausalLM(config).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(RestemError, match="same parameters"):
        interpolate(base, tmp_path / "other", 0.5, tmp_path / "mean")
