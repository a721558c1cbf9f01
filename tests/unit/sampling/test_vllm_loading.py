"""Errors when vLLM is loaded; vLLM itself is tested in tests/vllm."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.sampling.vllm import engine as vllm_engine

SETTINGS = EngineSettings(name="vllm", rows=64)


def load(monkeypatch: pytest.MonkeyPatch, max_rows: int, problem: Exception) -> Any:
    """Load an engine that has memory for so many rows."""

    def engine(_: Path, settings: EngineSettings, seed: int) -> int:
        assert seed == 7
        if settings.rows > max_rows:
            raise problem
        return settings.rows

    monkeypatch.setattr(vllm_engine, "VllmEngine", engine)
    return vllm_engine._load_in_memory(Path("checkpoint"), SETTINGS, 7)


def test_rows_are_halved_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = RuntimeError("CUDA out of memory occurred when warming up sampler with 64 requests")
    assert load(monkeypatch, 20, problem) == 16


@pytest.mark.parametrize(
    ("max_rows", "problem"),
    [
        (0, RuntimeError("CUDA out of memory")),
        (20, ValueError("Available memory on node 0 is less than requested memory for kv")),
    ],
)
def test_what_halving_does_not_help_is_said_clearly(
    monkeypatch: pytest.MonkeyPatch, max_rows: int, problem: Exception
) -> None:
    with pytest.raises(RestemError, match="does not find the memory") as caught:
        load(monkeypatch, max_rows, problem)
    assert "cache_gib" in caught.value.fix


def test_other_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unknown architecture"):
        load(monkeypatch, 0, ValueError("unknown architecture"))


def test_without_vllm_the_way_to_it_is_named() -> None:
    with pytest.raises(RestemError, match="vLLM is not installed here") as caught:
        vllm_engine._check_build(cpu=True)
    assert "make vllm-cpu" in caught.value.fix


@pytest.mark.parametrize("name", ["VLLM_ATTENTION_BACKEND", "VLLM_BATCH_INVARIANT", "VLLM_PLUGINS"])
def test_a_variable_that_may_change_draws_is_in_the_recipe_or_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(vllm_engine, "_check_build", lambda cpu: None)
    monkeypatch.setattr(vllm_engine, "VllmEngine", lambda *_: os.environ[name])
    stated = SETTINGS.model_copy(update={"environment": {name: "1"}})
    with monkeypatch.context() as other:
        other.setattr(vllm_engine, "_initial_environment", lambda: {name: "0"})
        for settings in (SETTINGS, stated):
            with pytest.raises(RestemError, match="may change what is drawn") as caught:
                vllm_engine.load(Path("checkpoint"), settings, 1)
            assert name in caught.value.where
    monkeypatch.setenv(name, "0")
    monkeypatch.setattr(vllm_engine, "_initial_environment", lambda: {name: "1"})
    assert vllm_engine.load(Path("checkpoint"), stated, 1) == "1"
    assert stated != SETTINGS  # and so the recipes differ


def test_variables_that_change_no_draw_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_engine, "_check_build", lambda cpu: None)
    monkeypatch.setattr(vllm_engine, "VllmEngine", lambda *_: dict(os.environ))
    harmless = {"VLLM_CACHE_ROOT": "/scratch", "VLLM_LOGGING_LEVEL": "INFO", "VLLM_PORT": "1"}
    for name, value in harmless.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(vllm_engine, "_initial_environment", lambda: harmless)
    loaded = vllm_engine.load(Path("checkpoint"), SETTINGS, 1)
    assert harmless.items() <= loaded.items()


def test_what_vllm_sets_itself_is_not_taken_for_the_users() -> None:
    code = (
        "import os; os.environ['VLLM_NEW'] = '1'; from restem.sampling.vllm import engine; "
        "print(sorted(n for n in engine._initial_environment() if n.startswith('VLLM_')))"
    )
    environment = {**os.environ, "VLLM_OLD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "'VLLM_OLD'" in done.stdout
    assert "VLLM_NEW" not in done.stdout
