"""`make gpu` works from its first process to its JSON; here on the CPU, with a toy model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_make_gpu_measures_and_a_forecast_refuses_its_cpu(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    # Not `tests`, which run beside this one anyway.
    command = [sys.executable, "-P", "benchmarks/gpu.py", "--device", "cpu"]
    command += ["--output", str(output), "--parts", "training", "sampling", "study"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text())
    assert result["hardware"]["device"] == "cpu"
    assert result["versions"]["torch"]
    for workload in ("shared", "alone"):
        modes = result["training"][f"toy, {workload}"]
        for mode in ("tree", "packed"):
            speed = modes[mode]["tokens_per_second"]
            assert 0 < speed["min"] <= speed["mean"] <= speed["max"]
            assert modes[mode]["flops_per_second"] > 0
        assert modes["tree_over_packed"] > 0
    sampled = result["sampling"]["toy"]
    if os.environ.get("RESTEM_TOOLS_REQUIRED") or "missing" not in sampled:
        assert sampled["ours_tokens_per_second"]["min"] > 0
        assert sampled["ours_over_bare"] > 0
    assert any("rest-em" in line for line in result["study"]["table"])
    assert not (ROOT / "results/gpu-check").exists()
    command = [str(Path(sys.executable).with_name("restem")), "forecast"]
    command += ["--measured", str(output)]
    command += ["--configfile", "config/demo.yaml"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode
    assert "measured no GPU" in refused.stderr
