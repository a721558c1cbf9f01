"""Sample from any Hugging Face decoder on one CPU or GPU, sharing the few-shot prefix.

The prefix runs once for all requests that have it in common, each prompt once for all its draws. A
fixed number of rows is decoded at a time, of prompts of similar lengths; a row that ends makes room
for the next. A draw follows from its own seed: order and other rows change only the rounding of its
logits.
Limits: decoders with nothing but attention layers. Layers whose attention is not plain softmax
attention (soft cap, sinks, a sliding window shorter than a prompt with its completion) work without
the shared prefix.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.libraries import transformers
from restem.policies.checkpoint import load_model
from restem.policies.tokenizer import load_tokenizer
from restem.sampling import loading
from restem.sampling.engine import Completion, Request, Usage, non_finite
from restem.sampling.stops import Stops
from restem.sampling.tokens import checked_prompts, context_tokens, end_ids, shared_length
from restem.sampling.transformers.cache import (
    SHARED_ATTENTION,
    RowCache,
    SharedPrefix,
    UnknownAttentionError,
)
from restem.sampling.transformers.decode import (
    FinishedRow,
    NonFiniteLogits,
    PrefilledRows,
    Slots,
    decode,
)
from restem.sampling.transformers.scheduling import DrawQueue, PendingDraws, group_by_length

# Limits the memory of one forward pass over prompts; attention scores are the largest part.
_PREFILL_TOKENS: Final = 8192
# Draws of a unit per row that is decoded at a time: few rows run alone at the end of a unit.
_UNIT_DRAWS_PER_ROW: Final = 4
# Grow a cache by at least so many columns, because its keys are copied each time.
_GROWTH_COLUMNS: Final = 64

Prompt = tuple[Request, list[int]]
"""A request and the tokens of its prompt."""


def load(checkpoint: Path, settings: EngineSettings, threads: int) -> "TransformersEngine":
    """Load a checkpoint directory."""
    transformers.utils.logging.disable_progress_bar()
    with suppress(RuntimeError):  # torch accepts this setting once per process
        torch.set_num_interop_threads(1)
    torch.set_num_threads(threads)
    model = load_model(checkpoint, getattr(torch, settings.dtype))
    model = model.to(loading.device(settings.device))
    tokenizer = load_tokenizer(checkpoint)
    return TransformersEngine(model, tokenizer, settings.rows, settings.context_tokens)


class TransformersEngine:
    """Sample from one loaded model; rows: maximum number of completions decoded together."""

    name = "transformers"

    def __init__(
        self, model: Any, tokenizer: Any, rows: int = 512, context: int | None = None
    ) -> None:
        layer_types = getattr(model.config.get_text_config(), "layer_types", None)
        kinds = set(layer_types or ["full_attention"])
        if unsupported := sorted(kinds - {"full_attention", "sliding_attention"}):
            raise RestemError(
                f"the transformers engine cannot sample from layers of {', '.join(unsupported)}",
                str(model.config.name_or_path),
                "use another engine for this model",
            )
        self._policy = str(model.config.name_or_path) or "the policy in training"
        self._model, self._tokenizer, self._rows = model.eval(), tokenizer, rows
        self._context = context_tokens(model, context)
        self._prompt_tokens = self._computed_tokens = 0
        self._layers = int(model.config.get_text_config().num_hidden_layers)
        self._own_attention = model.config._attn_implementation
        self._shares = self._shares_up_to("sliding_attention" in kinds)

    @property
    def version(self) -> str:
        """Return the versions of the libraries."""
        return f"transformers {transformers.__version__}, torch {torch.__version__}"

    @property
    def unit_draws(self) -> int:
        """Return how many draws are a unit: the rows of a batch decide how logits are rounded."""
        return _UNIT_DRAWS_PER_ROW * self._rows

    def usage(self) -> Usage:
        """Return what sampling has used so far."""
        device = self._model.device
        cached_tokens = self._prompt_tokens - self._computed_tokens
        peak = loading.peak_memory_bytes(device)
        return Usage(self._prompt_tokens, cached_tokens, int(device.type == "cuda"), peak)

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Yield groups of completions; see `Engine.sample`. Prompts are checked on the call."""
        if decoding.thinking_tokens is not None:
            raise RestemError(
                "the transformers engine does not limit thoughts",
                "decodings.*.thinking_tokens",
                "set engine: {name: vllm}, or leave thinking_tokens out",
            )
        prompts = checked_prompts(self._tokenizer, requests, self._context, stop)
        return self._sample_in_memory(list(zip(requests, prompts, strict=True)), decoding, stop)

    def _sample_in_memory(
        self, prompts: list[Prompt], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Sample; when memory runs out, go on with half the rows from then on."""
        done: set[tuple[str, int]] = set()
        while prompts := _without_done(prompts, done):
            try:
                for group in self._sample(prompts, decoding, stop):
                    done.update((completion.problem_id, completion.draw) for completion in group)
                    yield group
            except (RuntimeError, MemoryError) as error:
                if not loading.is_out_of_memory(error):
                    raise
                if self._rows == 1:
                    raise _no_memory(_without_done(prompts, done), error) from error
                self._rows = max(1, min(self._rows, sum(len(r.draws) for r, _ in prompts)) // 2)
                print(f"samples: out of memory, continuing with {self._rows} rows", flush=True)

    def _sample(
        self, prompts: list[Prompt], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        vocabulary = self._model.get_output_embeddings().weight.shape[0]
        ends = end_ids(self._model.generation_config, self._tokenizer)
        stops = Stops(self._tokenizer, stop, ends, vocabulary, self._model.device)
        by_prefix = sorted(prompts, key=lambda prompt: (prompt[0].prefix, len(prompt[1])))
        for _, group in itertools.groupby(by_prefix, key=lambda prompt: prompt[0].prefix):
            members = list(group)
            longest = max(len(tokens) for _, tokens in members) + decoding.max_tokens
            shares = longest <= self._shares
            length = shared_length([tokens for _, tokens in members]) if shares else 0
            prefix = self._run_prefix(members[0][1][:length]) if length else None
            for pending in group_by_length(members, length):
                yield from self._decode(pending, prefix, decoding, stops)

    @torch.inference_mode()
    def _run_prefix(self, tokens: list[int]) -> SharedPrefix:
        cache = RowCache(self._layers, len(tokens))
        ids = torch.tensor([tokens], device=self._model.device)
        self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self._computed_tokens += len(tokens)
        return SharedPrefix.of(cache)

    def _decode(
        self,
        pending: list[PendingDraws],
        prefix: SharedPrefix | None,
        decoding: Decoding,
        stops: Stops,
    ) -> Iterator[list[Completion]]:
        """Decode draws of prompts of similar lengths in as many slots as there are rows."""
        count = min(self._rows, sum(len(part.draws) for part in pending))
        width = max(len(part.tokens) for part in pending) - (prefix.tokens if prefix else 0)
        cache = RowCache(self._layers, width + min(decoding.max_tokens, _GROWTH_COLUMNS))
        slots = Slots(count, width, cache, self._model.device)
        draws: list[tuple[PendingDraws, int]] = []  # by the number of their row

        def prefill(parts: list[PendingDraws]) -> PrefilledRows:
            draws.extend((part, place) for part in parts for place in part.draws)
            return self._prefill(parts, prefix, decoding.max_tokens)

        def forward(slots: Slots, tokens: torch.Tensor) -> torch.Tensor:
            return self._next_logits(slots, tokens, prefix)

        queue = DrawQueue(pending, count)
        for rows in self._finite(decode(slots, queue, decoding, stops, prefill, forward), draws):
            texts = stops.texts([row.tokens for row in rows])
            yield [
                _completion(*draws[row.number], row, *text)
                for row, text in zip(rows, texts, strict=True)
            ]

    def _finite(
        self, groups: Iterator[list[FinishedRow]], draws: Sequence[tuple[PendingDraws, int]]
    ) -> Iterator[list[FinishedRow]]:
        """Pass rows on; say of which draws of which policy the probabilities are no numbers."""
        try:
            yield from groups
        except NonFiniteLogits as error:
            broken = [(draws[n][0].request, draws[n][1]) for n in error.numbers]
            problems = [(request.problem_id, request.draws[place]) for request, place in broken]
            raise non_finite(self._policy, problems) from error

    @torch.inference_mode()
    def _prefill(
        self, parts: list[PendingDraws], prefix: SharedPrefix | None, max_tokens: int
    ) -> PrefilledRows:
        """Run each prompt once; return the rows of all its draws."""
        skip, device = prefix.tokens if prefix else 0, self._model.device
        width = max(len(part.tokens) for part in parts) - skip
        self._prompt_tokens += sum(len(part.tokens) * len(part.draws) for part in parts)
        self._computed_tokens += sum(len(part.tokens) - skip for part in parts)
        caches, logits = [], []
        size = max(1, _PREFILL_TOKENS // width)
        for chunk in (parts[start : start + size] for start in range(0, len(parts), size)):
            prompts = [part.tokens[skip:] for part in chunk]
            cache, chunk_logits = self._run_prompts(prompts, width, prefix)
            counts = torch.tensor([len(part.draws) for part in chunk])
            index = torch.arange(len(chunk)).repeat_interleave(counts).to(device)
            caches.append((cache, index))
            logits.append(chunk_logits[index])
        seeds = [part.request.seeds[place] for part in parts for place in part.draws]
        lengths = [len(part.tokens) for part in parts for _ in part.draws]
        starts = torch.tensor(lengths, device=device)
        room = (self._context or max_tokens + max(lengths)) - starts
        return PrefilledRows(
            seeds=torch.tensor(seeds, device=device),
            limits=room.clamp(max=max_tokens),
            starts=starts,
            prompt_columns=starts - skip,
            parts=caches,
            logits=torch.cat(logits),
        )

    def _run_prompts(
        self, prompts: list[list[int]], width: int, prefix: SharedPrefix | None
    ) -> tuple[RowCache, torch.Tensor]:
        """Run prompts, padded on the left to a width; return their cache and last logits."""
        device = self._model.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device).unsqueeze(-1)
        columns = torch.arange(width, device=device)
        visible = columns >= width - lengths
        ids = torch.zeros(visible.shape, dtype=torch.long, device=device)
        ids[visible] = torch.tensor([token for prompt in prompts for token in prompt]).to(device)
        positions = (columns - width + lengths).clamp(min=0) + (prefix.tokens if prefix else 0)
        cache = RowCache(self._layers, width)
        return cache, self._forward(ids, positions, visible, cache, prefix)

    @torch.inference_mode()
    def _next_logits(
        self, slots: Slots, tokens: torch.Tensor, prefix: SharedPrefix | None
    ) -> torch.Tensor:
        if slots.cache.full:
            slots.cache.grow(max(_GROWTH_COLUMNS, slots.tokens.shape[1] // 2))
        # Rows that have ended run on until their slot is taken: keep them inside the context.
        positions = (slots.starts + slots.sampled - 1).clamp(max=(self._context or 2**31) - 1)
        columns = torch.arange(slots.cache.get_seq_length() + 1, device=tokens.device)
        mask = columns >= slots.first_columns.unsqueeze(-1)
        return self._forward(tokens, positions.unsqueeze(-1), mask, slots.cache, prefix)

    def _forward(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        cache: RowCache,
        prefix: SharedPrefix | None,
    ) -> torch.Tensor:
        """Run tokens [rows, columns] at their positions; return the last logits.

        mask: which columns of the cache, including those of these tokens, a row sees.
        """
        attention: dict[str, Any] = {"attention_mask": mask}
        if prefix:
            bias = _bias(mask, ids.shape[1], self._model.dtype)
            attention = {"attention_mask": bias, "shared_prefix": prefix}
        self._model.set_attn_implementation(SHARED_ATTENTION if prefix else self._own_attention)
        copying = self._model.get_output_embeddings().register_forward_pre_hook(_contiguous)
        try:
            logits: torch.Tensor = self._model(
                input_ids=ids,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **attention,
            ).logits
        finally:
            copying.remove()
            self._model.set_attn_implementation(self._own_attention)
        return logits[:, -1]

    def _shares_up_to(self, slides: bool) -> float:
        """Return for how many tokens every layer uses `shared_attention` and nothing besides.

        slides: whether some layers see a window only; then one of them has to say how long it is.
        """
        with torch.inference_mode():
            prefix = self._run_prefix([0])
            cache = RowCache(self._layers, 1)
            token = torch.zeros((1, 1), dtype=torch.long, device=self._model.device)
            # Models refuse other attention functions or arguments in many ways.
            try:
                self._forward(token, token + 1, token == 0, cache, prefix)
            except (UnknownAttentionError, TypeError, ValueError):
                return 0
        if prefix.read_by != set(range(self._layers)) or (slides and not prefix.windows):
            return 0
        return min(prefix.windows, default=math.inf)


def _completion(
    part: PendingDraws, place: int, row: FinishedRow, text: str, stop_reason: str | None
) -> Completion:
    return Completion(
        problem_id=part.request.problem_id,
        draw=part.request.draws[place],
        seed=part.request.seeds[place],
        text=text,
        tokens=len(row.tokens),
        prompt_tokens=len(part.tokens),
        finish_reason="length" if stop_reason is None else "stop",
        stop_reason=stop_reason,
        logprob=row.logprob,
    )


def _contiguous(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Copy the last hidden states: torch multiplies a slice of them 200 times more slowly.

    So it does on CPUs, in bfloat16, for weights that need no gradient.
    """
    return tuple(states.contiguous() for states in inputs)


def _bias(mask: torch.Tensor, queries: int, dtype: torch.dtype) -> torch.Tensor | None:
    """Return what to add to scores [rows, 1, queries, columns]; None if all are visible."""
    columns = mask.shape[1]
    visible = mask[:, None, None, :]
    if queries > 1:
        order = torch.arange(columns, device=mask.device)
        visible = visible & (order <= order[-queries:, None])
    elif bool(mask.all()):
        return None
    return torch.zeros(visible.shape, dtype=dtype, device=mask.device).masked_fill_(
        ~visible, torch.finfo(dtype).min
    )


def _without_done(prompts: list[Prompt], done: set[tuple[str, int]]) -> list[Prompt]:
    """Leave out the draws that are done."""
    remaining = []
    for request, tokens in prompts:
        pairs = zip(request.draws, request.seeds, strict=True)
        missing = [pair for pair in pairs if (request.problem_id, pair[0]) not in done]
        if missing:
            draws, seeds = zip(*missing, strict=True)
            remaining.append((replace(request, draws=draws, seeds=seeds), tokens))
    return remaining


def _no_memory(prompts: list[Prompt], error: BaseException) -> RestemError:
    longest = sorted(((len(tokens), r.problem_id) for r, tokens in prompts), reverse=True)
    return RestemError(
        f"there is not enough memory for a single completion: {error}",
        f"{len(prompts)} problems, the longest prompts first: "
        + ", ".join(problem_id for _, problem_id in longest[:5]),
        "run again where more memory is free, use bfloat16, or shorten `context_tokens`",
    )
