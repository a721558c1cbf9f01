"""Write prompts as the turns of a conversation, with the chat template of a model's tokenizer.

A conversation is written up to the place where the model answers, and once more with an answer.
The second text has to go on from the first one: what follows its answer is the end of the turn.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from restem.answers.thoughts import after_thoughts
from restem.errors import RestemError
from restem.sampling.prompts import TAG, PromptForm, Turns

# Stand for question and answer when the template is applied; no template and no text has them.
_QUESTION: Final = "⟦restem question⟧"
_ANSWER: Final = "⟦restem answer⟧"

# A block of thoughts at the end of a prompt: empty, or begun for the model to go on.
_THOUGHTS_LAST: Final = re.compile(rf"<{TAG}>\s*(?P<closed></{TAG}>\s*)?\Z")
# What may stand between the prompt and an answer without thoughts.
_BEFORE_ANSWER: Final = re.compile(rf"\s*(?:<{TAG}>)?\s*(?:</{TAG}>)?\s*")
_BEGIN: Final = re.compile(rf"<{TAG}>")
_CLOSE: Final = re.compile(rf"</{TAG}>")

# Some templates write today's date. Prompts have to be the same on any day; this day is the one
# that the template of Llama 3 falls back to.
_TODAY: Final = datetime(2024, 7, 26)


def chat_form(shots: Turns, tokenizer: Any, where: str) -> PromptForm:
    """Return the form of prompts that are turns: the shots, then the question.

    Raises RestemError if the tokenizer has no chat template, or one that cannot be divided into the
    prompt, the answer and the end of the answer's turn.
    """
    if not tokenizer.chat_template:
        raise RestemError(
            "the model's tokenizer has no chat template",
            where,
            "set `prompt: base`, or use an instruction-tuned model",
        )
    turns = []
    for question, answer in shots:
        turns += [_turn("user", question), _turn("assistant", answer)]
    turns.append(_turn("user", _QUESTION))
    prompt = _applied(tokenizer, turns, where, add_generation_prompt=True)
    answered = [*turns, _turn("assistant", _ANSWER)]
    whole = _applied(tokenizer, answered, where)
    # A template may leave out what was thought in earlier turns, and nothing else.
    if any(after_thoughts(turn["content"]).strip() not in prompt for turn in turns):
        raise _unusable("changes or leaves out the text of a turn", where)
    before, _, after = prompt.partition(_QUESTION)
    opening, rest = _around_answer(prompt, whole, where)
    end = _first_token(rest, tokenizer)
    if not end:  # in some families (GLM) the next turn begins where an answer ends
        longer = _applied(tokenizer, [*answered, turns[-1]], where)
        end = _first_token(longer.partition(_ANSWER)[2], tokenizer)
    if not end:
        raise _unusable("ends no answer with a token, so a model could not learn to end one", where)
    return PromptForm(before, after, True, opening, end)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content.strip()}


def _applied(
    tokenizer: Any,
    turns: Sequence[Mapping[str, str]],
    where: str,
    add_generation_prompt: bool = False,
) -> str:
    """Return the text of a conversation."""
    from jinja2 import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(
                list(turns),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                strftime_now=_TODAY.strftime,
            )
        )
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise _unusable(
            f"refuses a conversation of questions and answers: {error}", where
        ) from error


def _around_answer(prompt: str, whole: str, where: str) -> tuple[str, str]:
    """Return what the template puts before an answer without thoughts, and what after it."""
    begun = _THOUGHTS_LAST.search(prompt)
    # In a finished conversation a template may leave out the thoughts with which a prompt ends.
    start = prompt[: begun.start()] if begun and not whole.startswith(prompt) else prompt
    opening, answer, rest = whole[len(start) :].partition(_ANSWER)
    if not whole.startswith(start) or not answer:
        raise _unusable(
            "writes a finished answer in another way than it asks for one, so that there is no "
            "telling what to train on",
            where,
        )
    if not _BEFORE_ANSWER.fullmatch(opening):
        raise _unusable(
            f"puts {opening!r} before an answer, which no completion begins with", where
        )
    if begun and not begun["closed"]:
        opening = _BEGIN.sub("", opening) if _CLOSE.search(opening) else _closing(begun[0])
    elif begun:
        opening = opening if start == prompt else ""
    return opening, rest


def _closing(begun: str) -> str:
    """Return what closes a block of thoughts that a prompt has begun."""
    tag = begun.strip()
    return f"\n</{tag[1:]}\n\n"


def _first_token(rest: str, tokenizer: Any) -> str:
    """Return the token that a text begins with, after blanks; empty if it begins with words.

    The blanks before the end of a turn are not the model's to write.
    """
    tokens = [*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()]
    begun = [token for token in tokens if token.strip() and rest.lstrip().startswith(token)]
    return str(max(begun, key=len, default=""))


def _unusable(what: str, where: str) -> RestemError:
    return RestemError(
        f"the chat template {what}",
        where,
        "set `prompt: base`, or repair the template of the checkpoint",
    )
