"""Extract the program from a completion, by its text alone: no model output is parsed here.

A completion is Markdown with fenced blocks, bare code, or the continuation of a signature. Of
several blocks the last one that is a program counts, after those that it needs. Where the text is
ambiguous there are several readings, in order; the sandbox takes the first one that compiles.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from restem.answers.thoughts import after_thoughts
from restem.rewards.code_blocks import FENCE_LINE, Block, blocks_between_lines, fenced_blocks
from restem.rewards.code_names import is_script, prints, with_what_they_need

MAX_CHARACTERS: Final = 200_000
MAX_BLOCKS: Final = 100
MAX_SPANS: Final = 3

_CODE_LINE: Final = re.compile(r"(?:import|from|def|class|async|if|for|while|with|try|@|#)\b|[@#]")
_OPENING: Final = re.compile(r"(?:import |from \w[\w.]* import |def |class |async def |@)")
_END_MARKERS: Final = ("[DONE]", "<|endoftext|>", "<|im_end|>", "</s>", "</code>")
# An opening fence behind text, which is none for CommonMark.
_GLUED: Final = re.compile(
    r"(?<=[^\s`>*+.)-])[ \t]*(`{3,}(?:python|py)[\w.:]*[ \t]*)$", re.IGNORECASE | re.MULTILINE
)
_TAGGED: Final = re.compile(
    r"(?:\[PYTHON\]|<code[^>\n]*>)(.*?)(?:\[/PYTHON\]|</code>|\Z)", re.DOTALL | re.IGNORECASE
)
_ONE_LINE: Final = re.compile(r"```(?:python3?|py)?[ \t]*([^`\n]+)```")
_UNTAGGED: Final = ("", "code")


def readings(completion: str, prefix: str, entry: str, flexible: bool = False) -> list[str]:
    """Return the complete programs that a completion may mean, the likeliest first.

    prefix: the start of the program in the prompt, such as imports and a signature. entry: the
    function that the tests call, `Solution().method`, or nothing. flexible: also look for code
    inside prose.
    """
    text = after_thoughts(completion).lstrip("\ufeff\u200b")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _open_fence(_GLUED.sub(r"\n\1", text) if "```" in text else text)
    blocks = fenced_blocks(text) if "```" in text or "~~~" in text else []
    if blocks or FENCE_LINE.search(text):
        bodies = list(_fenced(text, blocks, prefix, entry))
    else:
        bodies = _bare(text, flexible)
    bodies = [body.removeprefix("\ufeff") for body in bodies]
    bodies = [body for body in bodies if body.strip() and len(body) <= MAX_CHARACTERS]
    if bodies and bodies[0][:1] in (" ", "\t") and not prefix:
        bodies.append(bodies[0].lstrip(" \t"))  # a space after the prompt is not indentation
    programs = [program for body in bodies for program in _complete(body, prefix, entry)]
    return list(dict.fromkeys(programs))


def _bare(text: str, flexible: bool) -> list[str]:
    """Return the readings of a text without fences."""
    body = _unmarked(text)
    bodies = [body, _until_prose(body)]
    if flexible:
        bodies.append(_from_first_opening(body))
    return bodies + _TAGGED.findall(text)[-1:] + _ONE_LINE.findall(text)


def _fenced(text: str, fenced: Sequence[Block], prefix: str, entry: str) -> Iterator[str]:
    """Yield the readings of a text with fences."""
    if _looks_like_code(text):  # then the fences may be in a docstring
        yield _unmarked(text)
    blocks = _programs(fenced) or _programs(blocks_between_lines(text))
    if not blocks:
        return
    codes = [block.text for block in blocks]
    complete = with_what_they_need(codes)
    for place in _candidates(blocks, complete, entry):
        yield complete[place]
        yield codes[place]
    if prefix and not any(_defines(code, entry) for code in codes):
        yield text[: text.find("```")] or codes[0]
    yield "\n".join(codes)
    yield from _spans(text, blocks)
    for code in codes[::-1]:
        yield code.partition("```")[0]  # the text after the end is on the line of its fence


def _programs(blocks: Sequence[Block]) -> list[Block]:
    """Return the last blocks in Python or in no stated language."""
    known = [b for b in blocks if b.text.strip() and (b.is_python or b.language in _UNTAGGED)]
    return known[-MAX_BLOCKS:]


def _candidates(blocks: Sequence[Block], complete: Sequence[str], entry: str) -> list[int]:
    """Return the places of the blocks that may be the program, the likeliest first.

    complete: the blocks with those that they need.
    """
    codes = [block.text for block in blocks]
    everywhere = range(len(blocks))[::-1]
    if entry:
        defining = [place for place in everywhere if _defines(codes[place], entry)]
        if not defining:
            defining = [place for place in everywhere if _defines_method(codes[place], entry)]
        return defining or [_longest(blocks)]
    tagged = [place for place in everywhere if blocks[place].is_python] or list(everywhere)
    for is_program in (is_script, prints):
        alone = [place for place in tagged if is_program(codes[place])]
        joined = [place for place in tagged if is_program(complete[place]) and place not in alone]
        if alone or joined:
            return alone + joined
    return [_longest(blocks)]


def _longest(blocks: Sequence[Block]) -> int:
    tagged = any(block.is_python for block in blocks)
    places = [place for place, block in enumerate(blocks) if block.is_python or not tagged]
    return max(places, key=lambda place: len(blocks[place].text))


def _spans(text: str, blocks: Sequence[Block]) -> Iterator[str]:
    """Yield the lines from a fence to the last one: the fences between may be in docstrings."""
    lines = text.split("\n")
    fences = (number for number, line in enumerate(lines) if FENCE_LINE.match(line))
    last = max(fences, default=0)
    for block in blocks[:MAX_SPANS]:
        if block.first_line < last:
            yield "\n".join(lines[block.first_line + 1 : last]) + "\n"


def _open_fence(text: str) -> str:
    """Add the opening fence where it is in the prompt, so that only the closing one is here."""
    fences = list(FENCE_LINE.finditer(text))
    if len(fences) % 2 == 0 or fences[0][1].strip(" \t~"):
        return text
    return f"```python\n{text}" if _looks_like_code(text[: fences[0].start()]) else text


def _looks_like_code(text: str) -> bool:
    """Return whether the first line of a text is one of code rather than of prose.

    A line that begins with # may be a comment or a heading.
    """
    lines = (line for line in text.splitlines() if line.strip() and line[0] != "#")
    first = next(lines, "")
    return first[:1] in (" ", "\t", '"', "'") or bool(_OPENING.match(first))


def _unmarked(completion: str) -> str:
    for marker in (*_END_MARKERS, "[BEGIN]"):
        before, separator, after = completion.partition(marker)
        completion = after if separator and marker == "[BEGIN]" else before
    return completion


def _complete(body: str, prefix: str, entry: str) -> list[str]:
    """Put the prefix from the prompt before a body that needs it."""
    if not prefix:
        return [body]
    if _defines(body, entry):
        return [before_entry(prefix, entry) + body]
    indented = body if body[:1] in " \t\r\n" else f"    {body}"
    if "\n" not in prefix.strip("\n") or not _defines(prefix, entry):
        return [prefix + body]
    return list(dict.fromkeys([prefix + body, prefix + indented, prefix + "\n" + body]))


def _defines(text: str, entry: str) -> bool:
    return bool(entry) and _definition(entry).search(text) is not None


def _defines_method(text: str, entry: str) -> bool:
    """Return whether a text defines the method of an entry, or its function in a class."""
    name = re.escape(entry.rpartition(".")[2])
    return re.search(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{name}\b", text, re.MULTILINE) is not None


def _definition(entry: str) -> re.Pattern[str]:
    """Return the pattern of the line that defines an entry; for a method, its class."""
    name = re.escape(entry.partition("(")[0].partition(".")[0])
    return re.compile(rf"^(?:async[ \t]+def|def|class)[ \t]+{name}\b|^{name}[ \t]*=", re.MULTILINE)


def before_entry(prefix: str, entry: str) -> str:
    """Return the part of a prefix before the definition of the entry."""
    definition = _definition(entry).search(prefix)
    return prefix[: definition.start()] if definition else prefix


def _until_prose(body: str) -> str:
    """Cut bare code before the first line at the margin that does not look like code."""
    kept: list[str] = []
    for line in body.splitlines(keepends=True):
        at_margin = line[:1].isalpha() and not _CODE_LINE.match(line)
        if kept and at_margin and not re.match(r"[\w.\[\], ]+[=(]", line):
            break
        kept.append(line)
    return "".join(kept)


def _from_first_opening(body: str) -> str:
    """Drop the prose before the first line that starts code."""
    lines = body.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if _OPENING.match(line):
            return _until_prose("".join(lines[number:]))
    return body
