"""Sample from any Hugging Face decoder, on one CPU or GPU, sharing the few-shot prefix.

The prefix runs once for all requests that have it in common, each prompt once for all its draws.
A fixed number of rows is decoded at a time, of prompts of about one length; a row that ends makes
room for the next. A draw follows from its own seed: order and company change nothing in it but the
rounding of the logits.
Limits: attention-only decoders; layers whose attention is not plain softmax attention (sliding
window, soft cap, sinks) work without the shared prefix.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from transformers import AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.policies.adapter import load_model
from restem.sampling.engine import Completion, Request, Usage
from restem.sampling.loading import device, dtype, is_out_of_memory, peak_memory_bytes
from restem.sampling.stops import Stops
from restem.sampling.tokens import (
    check_prompts,
    check_stops,
    context_tokens,
    encode_prompts,
    end_ids,
    shared_length,
)
from restem.sampling.transformers.cache import (
    SHARED_ATTENTION,
    RowCache,
    SharedPrefix,
    UnknownAttentionError,
)
from restem.sampling.transformers.decode import Fresh, Rows, decode
from restem.sampling.transformers.waiting import Item, Waiting, alike

# Bounds the memory of one forward pass over prompts; attention scores are the largest part.
_PREFILL_TOKENS: Final = 8192
# Draws of a unit per row that is decoded at a time: the rows that run out at its end are few.
_UNIT: Final = 4
# Columns to grow a cache by at least: its keys are copied once in so many steps.
_GROWTH_COLUMNS: Final = 64


def load(checkpoint: Path, settings: EngineSettings, threads: int) -> "TransformersEngine":
    """Load a checkpoint directory."""
    disable_progress_bar()
    with suppress(RuntimeError):  # torch takes this setting once a process
        torch.set_num_interop_threads(1)
    torch.set_num_threads(threads)
    where, kind = device(settings.device), dtype(settings)
    return TransformersEngine.load(checkpoint, settings.rows, where, kind, settings.context_tokens)


class TransformersEngine:
    """Sample from one loaded model; rows bounds how many completions are decoded together."""

    name = "transformers"

    def __init__(
        self, model: Any, tokenizer: Any, rows: int = 512, context: int | None = None
    ) -> None:
        kinds = _layer_kinds(model)
        if strange := sorted(kinds - {"full_attention", "sliding_attention"}):
            raise RestemError(
                f"the transformers engine cannot sample from layers of {', '.join(strange)}",
                str(model.config.name_or_path),
                "use another engine for this model",
            )
        self._model, self._tokenizer, self._rows = model.eval(), tokenizer, rows
        self._context = context_tokens(model, context)
        self._prompt_tokens = self._computed_tokens = 0
        self._layers = int(model.config.get_text_config().num_hidden_layers)
        self._own_attention = model.config._attn_implementation
        self._shares = kinds == {"full_attention"} and self._shared_attention_is_exact()

    @classmethod
    def load(
        cls,
        path: Path,
        rows: int = 512,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        context: int | None = None,
    ) -> "TransformersEngine":
        """Load a checkpoint directory."""
        model = load_model(path, dtype)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        return cls(model.to(device), tokenizer, rows, context)

    @property
    def version(self) -> str:
        """Name the libraries' versions."""
        return f"transformers {transformers.__version__}, torch {torch.__version__}"

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Yield groups of completions; see `Engine.sample`. Prompts are checked on the call."""
        prompts = encode_prompts(self._tokenizer, requests)
        check_prompts(requests, prompts, self._context)
        check_stops(self._tokenizer, stop)
        return self._patiently(list(zip(requests, prompts, strict=True)), decoding, stop)

    @property
    def unit_draws(self) -> int:
        """Say how many draws share their company, which decides the rounding of their logits."""
        return _UNIT * self._rows

    def usage(self) -> Usage:
        """Return what sampling has spent so far."""
        where = self._model.device
        cached = self._prompt_tokens - self._computed_tokens
        gpus = int(where.type == "cuda")
        return Usage(self._prompt_tokens, cached, gpus, peak_memory_bytes(where.type))

    def _patiently(
        self, requests: list[tuple[Request, list[int]]], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Sample; where the memory does not do, go on with half the rows, and remember that."""
        done: set[tuple[str, int]] = set()
        while requests := _without(requests, done):
            try:
                for group in self._sampled(requests, decoding, stop):
                    done.update((one.problem_id, one.draw) for one in group)
                    yield group
            except (RuntimeError, MemoryError) as problem:
                if not is_out_of_memory(problem):
                    raise
                if self._rows == 1:
                    raise _no_memory(requests, done, problem) from problem
                self._rows = max(1, min(self._rows, sum(len(r.draws) for r, _ in requests)) // 2)
                print(f"samples: out of memory, going on with {self._rows} rows", flush=True)

    def _sampled(
        self, requests: list[tuple[Request, list[int]]], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        vocabulary = self._model.get_output_embeddings().weight.shape[0]
        ends = end_ids(self._model.generation_config, self._tokenizer)
        stops = Stops(self._tokenizer, stop, ends, vocabulary).to(self._model.device)
        by_prefix = sorted(requests, key=lambda pair: (pair[0].prefix, len(pair[1])))
        for _, group in itertools.groupby(by_prefix, key=lambda pair: pair[0].prefix):
            members = list(group)
            shared = self._shared_prefix([tokens for _, tokens in members])
            for items in alike(members, shared.tokens if shared else 0):
                yield from self._decoded(items, shared, decoding, stops)

    def _shared_prefix(self, prompts: list[list[int]]) -> SharedPrefix | None:
        count = shared_length(prompts) if self._shares else 0
        return self._prefix(prompts[0][:count]) if count else None

    @torch.inference_mode()
    def _prefix(self, tokens: list[int]) -> SharedPrefix:
        cache = RowCache(self._layers, len(tokens))
        ids = torch.tensor([tokens], device=self._model.device)
        self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self._computed_tokens += len(tokens)
        return SharedPrefix.of(cache)

    def _decoded(
        self,
        items: list[Item],
        shared: SharedPrefix | None,
        decoding: Decoding,
        stops: Stops,
    ) -> Iterator[list[Completion]]:
        slots = min(self._rows, sum(len(item.draws) for item in items))
        width = max(len(item.tokens) for item in items) - (shared.tokens if shared else 0)
        cache = RowCache(self._layers, width + min(decoding.max_tokens, _GROWTH_COLUMNS))
        rows = Rows.empty(slots, width, cache, self._model.device)
        source = _Source(self, Waiting(items, slots), shared, decoding.max_tokens)

        def forward(rows: Rows, tokens: torch.Tensor) -> torch.Tensor:
            return self._next_logits(rows, tokens, shared)

        for done in decode(rows, source, decoding, stops, forward):
            texts = stops.texts([row.tokens for row in done])
            places = [source.places.pop(row.number) for row in done]
            yield [
                item.completion(place, row, text, reason)
                for (item, place), row, (text, reason) in zip(places, done, texts, strict=True)
            ]

    @torch.inference_mode()
    def prefilled(
        self, batch: list[Item], first: int, shared: SharedPrefix | None, max_tokens: int
    ) -> Fresh:
        """Run each prompt once; number the rows of all its draws from `first` on."""
        skip, device = shared.tokens if shared else 0, self._model.device
        width = max(len(item.tokens) for item in batch) - skip
        self._prompt_tokens += sum(len(item.tokens) * len(item.draws) for item in batch)
        self._computed_tokens += sum(len(item.tokens) - skip for item in batch)
        parts, logits = [], []
        for chunk in _chunks(batch, max(1, _PREFILL_TOKENS // width)):
            prompts = [item.tokens[skip:] for item in chunk]
            cache, chunk_logits = self._run_prompts(prompts, width, shared)
            draws = torch.tensor([len(item.draws) for item in chunk])
            index = torch.arange(len(chunk)).repeat_interleave(draws).to(device)
            parts.append((cache, index))
            logits.append(chunk_logits[index])
        seeds = [item.request.seeds[place] for item in batch for place in item.draws]
        lengths = [len(item.tokens) for item in batch for _ in item.draws]
        starts = torch.tensor(lengths, device=device)
        room = (self._context or max_tokens + max(lengths)) - starts
        return Fresh(
            torch.arange(first, first + len(seeds), device=device),
            torch.tensor(seeds, device=device),
            room.clamp(max=max_tokens),
            starts,
            starts - skip,
            parts,
            torch.cat(logits),
        )

    def _run_prompts(
        self, prompts: list[list[int]], width: int, shared: SharedPrefix | None
    ) -> tuple[RowCache, torch.Tensor]:
        device = self._model.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device).unsqueeze(-1)
        columns = torch.arange(width, device=device)
        visible = columns >= width - lengths
        ids = torch.zeros(visible.shape, dtype=torch.long, device=device)
        ids[visible] = torch.tensor([token for prompt in prompts for token in prompt]).to(device)
        places = (columns - width + lengths).clamp(min=0) + (shared.tokens if shared else 0)
        cache = RowCache(self._layers, width)
        return cache, self._forward(ids, places, visible, cache, shared)

    @torch.inference_mode()
    def _next_logits(
        self, rows: Rows, tokens: torch.Tensor, shared: SharedPrefix | None
    ) -> torch.Tensor:
        if rows.cache.full:
            rows.cache.grow(max(_GROWTH_COLUMNS, rows.tokens.shape[1] // 2))
        # Rows that have ended go on unseen until their slot is taken: keep them in the context.
        places = (rows.starts + rows.drawn - 1).clamp(max=(self._context or 2**31) - 1)
        columns = torch.arange(rows.cache.get_seq_length() + 1, device=tokens.device)
        mask = columns >= rows.firsts.unsqueeze(-1)
        return self._forward(tokens, places.unsqueeze(-1), mask, rows.cache, shared)

    def _forward(
        self,
        ids: torch.Tensor,
        places: torch.Tensor,
        mask: torch.Tensor,
        cache: RowCache,
        shared: SharedPrefix | None,
    ) -> torch.Tensor:
        """Run tokens [rows, columns] at their positions; return the last logits.

        mask: which columns of the cache, these tokens' own included, a row sees.
        """
        extra: dict[str, Any] = {"attention_mask": mask}
        if shared:
            bias = _bias(mask, ids.shape[1], self._model.dtype)
            extra = {"attention_mask": bias, "shared_prefix": shared}
        self._model.set_attn_implementation(SHARED_ATTENTION if shared else self._own_attention)
        try:
            logits: torch.Tensor = self._model(
                input_ids=ids,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **extra,
            ).logits
        finally:
            self._model.set_attn_implementation(self._own_attention)
        return logits[:, -1]

    def _shared_attention_is_exact(self) -> bool:
        """Tell whether every layer takes its attention from the shared path as it is."""
        with torch.inference_mode():
            shared = self._prefix([0])
            cache = RowCache(self._layers, 1)
            one = torch.zeros((1, 1), dtype=torch.long, device=self._model.device)
            # Models that do not take other attention functions or arguments say so in many ways.
            try:
                self._forward(one, one + 1, one == 0, cache, shared)
            except (UnknownAttentionError, TypeError, ValueError):
                return False
        return shared.read_by == set(range(self._layers))


class _Source:
    """Run prompts when slots are free for their draws; `places` tells whose a row is."""

    def __init__(
        self,
        engine: TransformersEngine,
        waiting: Waiting,
        shared: SharedPrefix | None,
        max_tokens: int,
    ) -> None:
        self._engine, self._waiting = engine, waiting
        self._shared, self._max_tokens = shared, max_tokens
        self._count = 0
        self.places: dict[int, tuple[Item, int]] = {}

    @property
    def waiting(self) -> bool:
        """Tell whether any draw is left."""
        return bool(self._waiting)

    def take(self, free: int) -> Fresh | None:
        """Return rows for at most so many free slots; none if it is better to wait for more."""
        items = self._waiting.take(free)
        if not items:
            return None
        fresh = self._engine.prefilled(items, self._count, self._shared, self._max_tokens)
        for item in items:
            for place in item.draws:
                self.places[self._count] = (item, place)
                self._count += 1
        return fresh


def _bias(mask: torch.Tensor, queries: int, dtype: torch.dtype) -> torch.Tensor | None:
    """Return what to add to scores [rows, 1, queries, columns]; none when all are visible."""
    columns = mask.shape[1]
    seen = mask[:, None, None, :]
    if queries > 1:
        order = torch.arange(columns, device=mask.device)
        seen = seen & (order <= order[-queries:, None])
    elif bool(mask.all()):
        return None
    return torch.zeros(seen.shape, dtype=dtype, device=mask.device).masked_fill_(
        ~seen, torch.finfo(dtype).min
    )


def _without(
    requests: list[tuple[Request, list[int]]], done: set[tuple[str, int]]
) -> list[tuple[Request, list[int]]]:
    """Leave out the draws that are done."""
    found = []
    for request, tokens in requests:
        pairs = zip(request.draws, request.seeds, strict=True)
        left = [(d, s) for d, s in pairs if (request.problem_id, d) not in done]
        if left:
            draws, seeds = zip(*left, strict=True)
            found.append((replace(request, draws=draws, seeds=seeds), tokens))
    return found


def _no_memory(
    requests: list[tuple[Request, list[int]]], done: set[tuple[str, int]], problem: BaseException
) -> RestemError:
    left = [(len(tokens), request.problem_id) for request, tokens in _without(requests, done)]
    some = ", ".join(problem_id for _, problem_id in sorted(left, reverse=True)[:5])
    return RestemError(
        f"there is not enough memory for a single completion: {problem}",
        f"{len(left)} problems, the longest prompts first: {some}",
        "run again where more memory is free, use bfloat16, or shorten `context_tokens`",
    )


def _chunks(batch: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(batch), size):
        yield batch[start : start + size]


def _layer_kinds(model: Any) -> set[str]:
    kinds = getattr(model.config.get_text_config(), "layer_types", None)
    return set(kinds or ["full_attention"])
