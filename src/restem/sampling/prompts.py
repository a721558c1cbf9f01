"""What stands around a question: the same in sampling, in validation and in training."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from restem.answers.thoughts import after_thoughts
from restem.config.models import PromptKind
from restem.sampling.engine import Request
from restem.tasks.problem import Problem
from restem.tasks.task import Task, few_shot_prefix, question_header, worked_examples

Turns = Sequence[tuple[str, str]]
"""Worked examples as turns: what is asked, and the answer."""

TAG: Final = r"(?:think(?:ing)?|thoughts?|reasoning)"
_BEGINS: Final = re.compile(rf"\s*<{TAG}>\s*")
_BEGUN: Final = re.compile(rf"<{TAG}>\s*\Z")


@dataclass(frozen=True)
class PromptForm:
    """The text around questions and answers.

    prefix: text before the question, which many prompts share. after: text from the question to the
    place where the answer begins. chat: the texts are those of a chat template, with its special
    tokens. opening: what the template puts before an answer without thoughts; end: its token that
    ends the answer. following: what follows an answer in running text: the next question's header.
    """

    prefix: str
    after: str = ""
    chat: bool = False
    opening: str = ""
    end: str = ""
    following: str = ""

    def prompt(self, question: str) -> str:
        """Return the text of a prompt after the prefix."""
        return question.strip() + self.after if self.chat else question

    def request(
        self, problem_id: str, question: str, draws: tuple[int, ...], seeds: tuple[int, ...]
    ) -> Request:
        """Ask for some draws of one problem."""
        return Request(problem_id, self.prefix, self.prompt(question), draws, seeds, self.chat)

    def stops(self, of_task: tuple[str, ...]) -> tuple[str, ...]:
        """Return what ends a completion: the strings of the task, or the end of the turn.

        A base model goes on with the next question, which the task's strings recognise. In the
        thoughts of a chat model they may stand anywhere.
        """
        return (self.end,) if self.chat else of_task

    def target(self, answer: str, sampled: bool) -> str:
        """Return what a policy is trained to say.

        sampled: a policy said the answer after such a prompt, so it stays as it is; otherwise it
        becomes what the template makes of it.
        """
        if not self.chat:
            return answer
        return (answer if sampled else self._written(answer.strip())) + self.end

    def _written(self, answer: str) -> str:
        if after_thoughts(answer) == answer:
            return self.opening + answer
        # It brings its own thoughts, which the prompt may have begun.
        return _BEGINS.sub("", answer, count=1) if _BEGUN.search(self.after) else answer


class Prompts:
    """The prompts of one model on one task; checkpoint: whose tokenizer has the chat template."""

    def __init__(
        self, kind: PromptKind, task: Task, shots: Sequence[Problem], checkpoint: Path
    ) -> None:
        self._kind, self._task, self._shots, self._checkpoint = kind, task, shots, checkpoint

    def form(
        self, own: str | Turns | None = None, subject: str = "", hint: bool = False
    ) -> PromptForm:
        """Return the form of prompts.

        own: the policy's own worked examples, as text or as turns; without, those of the task.
        subject, hint: see `worked_examples`. Raises RestemError for a chat template that cannot be
        used.
        """
        if self._kind == "base":
            text = own if isinstance(own, str) else None
            prefix = text or few_shot_prefix(self._task, self._shots, subject, hint)
            return PromptForm(prefix, following=question_header(self._task))
        from restem.sampling.chat import chat_form

        turns = own if own and not isinstance(own, str) else None
        turns = turns or worked_examples(self._task, self._shots, subject, hint)
        return chat_form(turns, self._tokenizer, str(self._checkpoint))

    @cached_property
    def _tokenizer(self) -> Any:
        from restem.policies.tokenizer import load_tokenizer

        return load_tokenizer(self._checkpoint)
