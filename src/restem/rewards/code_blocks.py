"""Find the fenced blocks of a completion, as CommonMark defines them.

Where a model's Markdown is broken, because a block is not indented as its list item requires, the
lines between two fences count.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from markdown_it import MarkdownIt

MAX_NESTING: Final = 3

FENCE_LINE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
_WORD: Final = re.compile(r"[\s{.=]*(?:lang(?:uage)?[=:][\s\"']*)?([\w+#./-]+)", re.IGNORECASE)
_PYTHON: Final = re.compile(r"(?:i?python|i?py)(?:[-_]?[23](?:\.\d+)*)?|.*\.py")
_CODE: Final = re.compile(
    r"\s*\w+[ \t]+((?:def|class|import|from|async|for|while|print)\b[ \t(].*)"
)
_MARKDOWN: Final = ("markdown", "md")


@dataclass(frozen=True)
class Block:
    """A fenced block. language: empty where none is given; first_line: that of its fence."""

    language: str
    text: str
    first_line: int

    @property
    def is_python(self) -> bool:
        """Return whether the block is marked as Python."""
        return bool(_PYTHON.fullmatch(self.language))


def fenced_blocks(text: str) -> list[Block]:
    """Return the blocks of a text in order; the last one may be without an end."""
    return list(_parsed(text, 0))


def blocks_between_lines(text: str) -> list[Block]:
    """Return what lies between lines that look like fences, however they are indented."""
    blocks: list[Block] = []
    lines = text.split("\n")
    opened: int | None = None
    fences = [number for number, line in enumerate(lines) if FENCE_LINE.match(line)]
    for number in [*fences, len(lines)]:
        if opened is None:
            opened = number
            continue
        content = textwrap.dedent("\n".join([*lines[opened + 1 : number], ""]))
        blocks.append(Block(_language(lines[opened].strip().strip("`~")), content, opened))
        opened = None
    return blocks


def _parsed(text: str, depth: int) -> Iterator[Block]:
    for token in _parser().parse(text):
        if token.type != "fence" or token.map is None:
            continue
        code = _CODE.fullmatch(token.info)  # the first line of code, beside the language
        text = f"{code[1]}\n{token.content}" if code else token.content
        block = Block(_language(token.info), text, token.map[0])
        wrapped = block.language in _MARKDOWN and depth < MAX_NESTING
        inner = list(_parsed(block.text, depth + 1)) if wrapped else []
        yield from inner or [block]


def _language(info: str) -> str:
    """Return the language of an info string: `python:main.py`, `{.python}` and `Python 3`."""
    word = _WORD.match(info)
    return word[1].lower() if word else ""


@cache
def _parser() -> MarkdownIt:
    """Return a parser of what may hold a fence; nothing else matters here."""
    parser = MarkdownIt("zero").enable(["fence", "list", "blockquote"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser
