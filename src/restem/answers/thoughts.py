"""Separate what a model thinks, as `<think>…</think>`, from what it answers."""

import re
from typing import Final

# Not in quotes, where a program or a sentence only mentions the tag.
_END: Final = re.compile(r"</(?:think(?:ing)?|thoughts?|reasoning)>(?!['\"])", re.IGNORECASE)


def after_thoughts(completion: str) -> str:
    """Return what follows the last thought of a completion.

    The opening tag may be in the prompt. A thought that does not end is returned as it is.
    """
    if "</" not in completion:
        return completion
    end = 0
    for match in _END.finditer(completion):
        end = match.end()
    return completion[end:]
