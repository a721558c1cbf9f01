"""Find an answer by a marker: the gold answer in a solution, or an answer in a completion.

Each marker is a convention: `boxed` of MATH (Hendrycks et al. 2021), `final_answer` of Minerva's
prompt (Lewkowycz et al. 2022), `hashes` of GSM8K (Cobbe et al. 2021), `answer_is` of the
chain-of-thought prompt (Wei et al. 2022). The last occurrence counts, as in MATH's graders. What a
verifier accepts is decided in `extraction`, a module of its own: problems do not depend on it.
"""

import re
import string
from collections.abc import Callable
from typing import Final

FINAL_ANSWER: Final = "final_answer"
BOXED: Final = "boxed"
HASHES: Final = "hashes"
ANSWER_IS: Final = "answer_is"

BOX = re.compile(r"\\f?box(?:ed)?(?![A-Za-z])")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_HOPE: Final = "i hope it is correct"


def find(text: str, marker: str) -> str | None:
    """Return the answer at a marker in a text, None when there is none."""
    return FINDERS[marker](text)


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed` or `\fbox`, None if it is empty or not closed."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if start < 0 or not (command := BOX.match(text, start)):
        return None
    rest = text[command.end() :].lstrip()
    if rest.startswith("{"):
        return _group(rest) or None
    # Some solutions of MATH have `\boxed 5$`: take the text up to the end of the formula.
    return rest.partition("\n")[0].partition("$")[0].strip() or None


def _group(text: str) -> str | None:
    """Return the content of the brace group that a text starts with."""
    depth = 0
    position = 0
    while position < len(text):
        character = text[position]
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[1:position].strip()
        position += 2 if character == "\\" else 1
    return None


def _final_answer(text: str) -> str | None:
    """Return X of `The final answer is X. I hope it is correct.`"""
    lowered = text.translate(_LOWER)
    start = lowered.rfind("final answer is")
    end = lowered.find(_HOPE, start)
    if start < 0 or end < 0:
        return None
    # A leading dot stays: it may start a decimal.
    return text[start + len("final answer is") : end].lstrip(" \n\t:").rstrip(" \n\t.") or None


def _hashes(text: str) -> str | None:
    """Return X of `#### X`."""
    return text.rpartition("####")[2].strip().partition("\n")[0].strip() if "####" in text else None


def _answer_is(text: str) -> str | None:
    """Return X of `The answer is X.`, up to the end of the sentence."""
    start = text.translate(_LOWER).rfind("answer is")
    if start < 0:
        return None
    line = text[start + len("answer is") :].lstrip(" :\n\t").partition("\n")[0]
    return line.partition(". ")[0].strip().removesuffix(".").strip() or None


FINDERS: Final[dict[str, Callable[[str], str | None]]] = {
    FINAL_ANSWER: _final_answer,
    BOXED: last_boxed,
    HASHES: _hashes,
    ANSWER_IS: _answer_is,
}
