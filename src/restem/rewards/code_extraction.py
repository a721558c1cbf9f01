"""Extract the program from a completion, by looking at its lines: no model output is parsed here.

A completion is a fenced block, bare code, or the continuation of a signature. Where the text is
ambiguous there are several readings, in order; the sandbox takes the first one that compiles.
"""

import re
from collections.abc import Sequence
from typing import Final

MAX_CHARACTERS: Final = 200_000

_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*([\w+.-]*)[ \t]*$")
_CODE_LINE: Final = re.compile(r"(?:import|from|def|class|async|if|for|while|with|try|@|#)\b|[@#]")
_OPENING: Final = re.compile(r"(?:import |from \w[\w.]* import |def |class |async def |@)")
_END_MARKERS: Final = ("[DONE]", "<|endoftext|>", "<|im_end|>", "</s>", "</code>")
_LANGUAGES: Final = ("", "python", "python3", "py", "py3")


def readings(completion: str, prefix: str, entry: str, flexible: bool = False) -> list[str]:
    """Return the complete programs that a completion may mean, the likeliest first.

    prefix: the start of the program in the prompt, such as imports and a signature. entry: the
    function that the tests call, `Solution().method`, or nothing. flexible: also look for code
    inside prose.
    """
    completion = _open_fence(completion)
    blocks = _blocks(completion)
    if any(map(_FENCE.match, completion.splitlines())) and not blocks:
        return []
    body = _choose(blocks, entry) if blocks else _unmarked(completion)
    if not body.strip() or len(body) > MAX_CHARACTERS:
        return []
    bodies = [body] if blocks else [body, _until_prose(body)]
    if flexible and not blocks:
        bodies.append(_from_first_opening(body))
    if blocks and prefix and not _defines(body, entry):
        bodies.append(completion[: completion.find("```")] or body)
    if body[:1] in (" ", "\t") and not prefix:
        bodies.append(body.lstrip(" \t"))  # a space after the prompt is not indentation
    programs = [program for text in bodies for program in _complete(text, prefix, entry)]
    return list(dict.fromkeys(programs))


def _open_fence(completion: str) -> str:
    """Add the opening fence where it is in the prompt, so that only the closing one is here."""
    lines = completion.splitlines()
    fences = [number for number, line in enumerate(lines) if _FENCE.match(line)]
    before = [line for line in lines[: fences[0]] if line.strip()] if fences else []
    if len(fences) % 2 == 0 or not before or lines[fences[0]].strip(" \t`~"):
        return completion
    is_code = before[0][0] in " \t#" or any(map(_OPENING.match, before))
    return f"```python\n{completion}" if is_code else completion


def _blocks(completion: str) -> list[str]:
    """Return the fenced blocks in Python or without a language; the last may be unclosed."""
    blocks, lines, inside = [], [], ""
    for line in completion.splitlines(keepends=True):
        fence = _FENCE.match(line.rstrip("\r\n"))
        if not fence and inside:
            lines.append(line)
        elif fence and not inside:
            inside, lines = fence[1].lower() or "python", []
        elif fence:
            blocks.append((inside, "".join(lines)))
            inside = ""
    if inside:
        blocks.append((inside, "".join(lines)))
    return [text for language, text in blocks if language in _LANGUAGES and text.strip()]


def _choose(blocks: Sequence[str], entry: str) -> str:
    """Return the last block that defines the entry, else the longest block."""
    defining = [block for block in blocks if entry and _defines(block, entry)]
    return defining[-1] if defining else max(blocks, key=len)


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
