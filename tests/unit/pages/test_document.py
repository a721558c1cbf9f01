"""A document shows what it is given, and nothing of it is interpreted."""

import re

import pytest

from restem.pages.document import Document, Section, html, markdown, terminal, visible

HOSTILE = "<script>alert(1)</script> | `x` [a](b) \x1b[31m & \u202e"
DOCUMENT = Document(
    HOSTILE, [Section("Part", [HOSTILE], ("name", "number"), "lr", [(HOSTILE, "1"), ("b", "20")])]
)


@pytest.mark.parametrize("render", [terminal, markdown, html])
def test_nothing_is_interpreted(render: object) -> None:
    text = render(DOCUMENT)  # type: ignore[operator]
    assert "\x1b" not in text and "\u202e" not in text
    assert "\\x1b[31m" in text.replace("\\\\", "\\").replace("\\[", "[")
    if render is not terminal:
        assert not re.search(r"(?<!\\)<script", text)


def test_columns_are_aligned() -> None:
    lines = terminal(
        Document("t", [Section("p", (), ("a", "b"), "lr", [("x", "1"), ("yy", "20")])])
    )
    assert lines.splitlines()[-2:] == ["x    1", "yy  20"]


def test_cells_of_markdown_stay_in_their_column() -> None:
    rows = [line for line in markdown(DOCUMENT).splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}


def test_a_page_has_a_language_headings_and_named_columns_and_no_script() -> None:
    text = html(DOCUMENT)
    assert '<html lang="en">' in text and text.count("<h1>") == 1
    assert text.count('<th scope="col"') == 2
    assert 'tabindex="0"' in text and "<script" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\nc é 数 −", "a\tb\nc é 数 −"),
        ("\x00\r\x7f\x9b", "\\x00\\x0d\\x7f\\x9b"),
        ("\u2028\ufeff\ue000\U000e0041", "\\u2028\\ufeff\\ue000\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_invisible_characters_are_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected
