"""Write prompts as the turns of a conversation, with the chat template of a model's tokenizer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from restem.errors import RestemError
from restem.sampling.engine import Request

# Stands for the question when the template is applied; no template and no problem contains it.
_QUESTION: Final = "⟦restem question⟧"


def as_chat(
    requests: Sequence[Request], shots: Sequence[tuple[str, str]], tokenizer: Any, where: str
) -> list[Request]:
    """Return the same draws as turns: the shots (question, answer), then the question.

    The text before the question becomes the common prefix. Raises RestemError if the tokenizer has
    no chat template, or one that changes the text of a turn.
    """
    before, after = _around_question(shots, tokenizer, where)
    return [
        replace(request, prefix=before, prompt=request.prompt.strip() + after, chat=True)
        for request in requests
    ]


def _around_question(
    shots: Sequence[tuple[str, str]], tokenizer: Any, where: str
) -> tuple[str, str]:
    turns = []
    for question, answer in shots:
        turns += [
            {"role": "user", "content": question.strip()},
            {"role": "assistant", "content": answer.strip()},
        ]
    turns.append({"role": "user", "content": _QUESTION})
    if not tokenizer.chat_template:
        raise RestemError(
            "the model's tokenizer has no chat template",
            where,
            "set `prompt: base`, or use an instruction-tuned model",
        )
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    if any(turn["content"] not in text for turn in turns):
        raise RestemError(
            "the chat template changes or leaves out the text of a turn",
            where,
            "set `prompt: base`, or repair the template of the checkpoint",
        )
    before, _, after = text.partition(_QUESTION)
    return before, after
