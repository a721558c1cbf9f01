"""Sample from any Hugging Face decoder, on one CPU or GPU, sharing the few-shot prefix.

The prefix runs once for all requests that have it in common, each prompt once for all its draws.
Batches hold prompts of about the same length; padding stands left of a prompt. A draw follows from
its own seed: batch, order and company change nothing in it but the rounding of the logits.
Limits: attention-only decoders; layers whose attention is not plain softmax attention (sliding
window, soft cap, sinks) work without the shared prefix.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.sampling.decode import Finished, Rows, decode
from restem.sampling.engine import Completion, Request, Usage
from restem.sampling.kv import (
    SHARED_ATTENTION,
    RowCache,
    SharedPrefix,
    UnknownAttentionError,
    expanded,
)
from restem.sampling.loading import device, dtype, peak_memory_bytes
from restem.sampling.stops import Stops
from restem.sampling.tokens import (
    check_prompts,
    check_stops,
    context_tokens,
    encode,
    end_ids,
    shared_length,
)

# Bounds the memory of one forward pass over prompts; attention scores are the largest part.
_PREFILL_TOKENS: Final = 8192
# Draws of a unit per row that is decoded at a time: the rows that run out at its end are few.
_UNIT: Final = 4
# How much longer than a batch's shortest prompt its longest may be: a factor, and tokens.
_STRETCH: Final = 1.5
_SLACK: Final = 16
# Columns to grow a cache by at least: its keys are copied once in so many steps.
_GROWTH_COLUMNS: Final = 64


@dataclass(frozen=True)
class _Item:
    """Hold the draws of one request that go into one batch."""

    request: Request
    tokens: list[int]
    draws: range

    def completion(self, place: int, done: Finished, text: str, reason: str | None) -> Completion:
        """Describe a finished row."""
        request = self.request
        return Completion(
            request.problem_id,
            request.draws[place],
            request.seeds[place],
            text,
            len(done.tokens),
            len(self.tokens),
            "length" if reason is None else "stop",
            reason,
            done.logprob,
        )


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
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, local_files_only=True)
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
        prompts = encode(self._tokenizer, [item.prefix + item.prompt for item in requests])
        check_prompts(requests, prompts, self._context)
        check_stops(self._tokenizer, stop)
        return self._sampled(list(zip(requests, prompts, strict=True)), decoding, stop)

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
            for batch in _batches(members, self._rows, shared.tokens if shared else 0):
                yield from self._decoded(batch, shared, decoding, stops)

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
        batch: list[_Item],
        shared: SharedPrefix | None,
        decoding: Decoding,
        stops: Stops,
    ) -> Iterator[list[Completion]]:
        rows, logits = self._prefilled(batch, shared, decoding.max_tokens)
        places = [(item, place) for item in batch for place in item.draws]

        def forward(rows: Rows, tokens: torch.Tensor) -> torch.Tensor:
            return self._next_logits(rows, tokens, shared)

        for done in decode(rows, logits, decoding, stops, forward):
            texts = stops.texts([row.tokens for row in done])
            yield [
                places[row.number][0].completion(places[row.number][1], row, text, reason)
                for row, (text, reason) in zip(done, texts, strict=True)
            ]

    @torch.inference_mode()
    def _prefilled(
        self, batch: list[_Item], shared: SharedPrefix | None, max_tokens: int
    ) -> tuple[Rows, torch.Tensor]:
        """Run each prompt once and expand it to its draws; return the next logits, too."""
        skip = shared.tokens if shared else 0
        width = max(len(item.tokens) for item in batch) - skip
        self._prompt_tokens += sum(len(item.tokens) * len(item.draws) for item in batch)
        self._computed_tokens += sum(len(item.tokens) - skip for item in batch)
        parts, logits, visible = [], [], []
        for chunk in _chunks(batch, max(1, _PREFILL_TOKENS // width)):
            prompts = [item.tokens[skip:] for item in chunk]
            cache, chunk_logits, chunk_visible = self._run_prompts(prompts, width, shared)
            draws = torch.tensor([len(item.draws) for item in chunk])
            index = torch.arange(len(chunk)).repeat_interleave(draws).to(self._model.device)
            parts.append((cache, index))
            logits.append(chunk_logits[index])
            visible.append(chunk_visible[index])
        cache = expanded(parts, width + min(max_tokens, _GROWTH_COLUMNS))
        return self._new_rows(batch, torch.cat(visible), cache, max_tokens), torch.cat(logits)

    def _run_prompts(
        self, prompts: list[list[int]], width: int, shared: SharedPrefix | None
    ) -> tuple[RowCache, torch.Tensor, torch.Tensor]:
        device = self._model.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device).unsqueeze(-1)
        columns = torch.arange(width, device=device)
        visible = columns >= width - lengths
        ids = torch.zeros(visible.shape, dtype=torch.long, device=device)
        ids[visible] = torch.tensor([token for prompt in prompts for token in prompt]).to(device)
        places = (columns - width + lengths).clamp(min=0) + (shared.tokens if shared else 0)
        cache = RowCache(self._layers, width)
        return cache, self._forward(ids, places, visible, cache, shared), visible

    def _new_rows(
        self, batch: list[_Item], visible: torch.Tensor, cache: RowCache, max_tokens: int
    ) -> Rows:
        device = self._model.device
        seeds = [item.request.seeds[place] for item in batch for place in item.draws]
        lengths = [len(item.tokens) for item in batch for _ in item.draws]
        starts = torch.tensor(lengths, device=device)
        room = (self._context or max_tokens + max(lengths)) - starts
        return Rows(
            torch.arange(len(seeds), device=device),
            torch.tensor(seeds, device=device),
            room.clamp(max=max_tokens),
            starts,
            visible,
            torch.empty((len(seeds), 0), dtype=torch.long, device=device),
            torch.zeros(len(seeds), dtype=torch.float64, device=device),
            torch.zeros(len(seeds), dtype=torch.long, device=device),
            cache,
        )

    @torch.inference_mode()
    def _next_logits(
        self, rows: Rows, tokens: torch.Tensor, shared: SharedPrefix | None
    ) -> torch.Tensor:
        if rows.cache.full:
            rows.cache.grow(max(_GROWTH_COLUMNS, rows.drawn // 2))
        places = (rows.starts + rows.drawn - 1).unsqueeze(-1)
        return self._forward(tokens, places, rows.visible, rows.cache, shared)

    def _forward(
        self,
        ids: torch.Tensor,
        places: torch.Tensor,
        visible: torch.Tensor,
        cache: RowCache,
        shared: SharedPrefix | None,
    ) -> torch.Tensor:
        """Run tokens [rows, columns] at their positions; return the last logits.

        visible: which of the cache's first columns are prompt; those after it all are.
        """
        after = cache.get_seq_length() + ids.shape[1] - visible.shape[1]
        mask = torch.nn.functional.pad(visible, (0, after), value=True)
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


def _batches(
    members: list[tuple[Request, list[int]]], rows: int, skip: int
) -> Iterator[list[_Item]]:
    """Fill batches of at most so many rows; a request's draws may go to several.

    Members come shortest first. A batch ends where padding to the next prompt would be waste.
    """
    batch: list[_Item] = []
    room = rows
    for request, tokens in members:
        if batch and len(tokens) - skip > _STRETCH * (len(batch[0].tokens) - skip) + _SLACK:
            yield batch
            batch, room = [], rows
        start, count = 0, len(request.draws)
        while start < count:
            taken = min(room, count - start)
            batch.append(_Item(request, tokens, range(start, start + taken)))
            start, room = start + taken, room - taken
            if not room:
                yield batch
                batch, room = [], rows
    if batch:
        yield batch


def _chunks(batch: list[_Item], size: int) -> Iterator[list[_Item]]:
    for start in range(0, len(batch), size):
        yield batch[start : start + size]


def _layer_kinds(model: Any) -> set[str]:
    kinds = getattr(model.config.get_text_config(), "layer_types", None)
    return set(kinds or ["full_attention"])
