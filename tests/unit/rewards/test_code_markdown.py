"""Programs in Markdown, however it is written: fences, info strings, several blocks, thoughts."""

import textwrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from restem.rewards.code_blocks import blocks_between_lines, fenced_blocks
from restem.rewards.code_extraction import readings

WHOLE = "def f(x):\n    return x * 2\n"
WRONG = "def f(x):\n    return x\n"
DOCSTRING = 'def f(x):\n{0}"""Double.\n\n{0}{1}\n{0}f(1)\n{0}{2}\n{0}"""\n{0}return x * 2\n'


def program_of(completion, prefix="", entry="f"):
    """Return the first reading that compiles, as the sandbox does; None without one."""
    for program in readings(completion, prefix, entry):
        try:
            compile(program, "p", "exec")
        except SyntaxError:
            continue
        return program
    return None


def works(completion, prefix=""):
    namespace = {}
    exec(program_of(completion, prefix), namespace)
    return namespace["f"](21) == 42


def printed(completion, text="21\n"):
    """Return what a script prints when it reads a text."""
    lines, output = iter(text.splitlines()), []
    names = {"input": lambda: next(lines), "print": output.append, "__name__": "__main__"}
    exec(program_of(completion, entry=""), names)
    return output


INFO_STRINGS = [
    "python", "Python", "py", "python3", "Python 3", "python3.11", "python:main.py",
    "python main.py", 'python title="a.py"', "python title=main.py linenums",
    "{.python}", "{.python .numberLines}",
    "{python}", "python,linenos", "python {1,3}", "ipython", "ipython3", "main.py", "src/main.py",
    "", " python ", "code", "Py", "python_3", "lang=python", "python // main.py", "python=1",
]  # fmt: skip


@pytest.mark.parametrize("info", INFO_STRINGS)
def test_an_info_string_may_say_more_than_the_language(info):
    assert works(f"Sure!\n\n```{info}\n{WHOLE}```\nDone.")
    assert works(f"~~~~{info}\n{WHOLE}~~~~\n")


@pytest.mark.parametrize("info", ["python-repl", "pycon", "bash", "c++", "pyrex", "text", "java"])
def test_another_language_is_no_program(info):
    assert readings(f"```{info}\n{WHOLE}```", "", "f") == []


@pytest.mark.parametrize("fence", ["```", "````", "`````", "~~~", "~~~~", "~~~~~~"])
def test_fences_have_any_length(fence):
    assert works(f"{fence}python\n{WHOLE}{fence}")
    assert works(f"{fence}python\n{WHOLE}{fence}{fence[0] * 2}\nAs you see, ```x``` is doubled.")
    assert works(f"{fence}python\n{WHOLE}")  # cut off


@pytest.mark.parametrize("indent", ["    ", "  ", "\t"])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [("```", "```"), ("```python", "```"), ("~~~", "~~~"), ("```text", "```"), ("````", "````")],
)
@pytest.mark.parametrize("outer", ["```python", "```", "````python", "~~~", ""])
def test_a_fence_inside_a_docstring_belongs_to_the_program(indent, opening, closing, outer):
    code = DOCSTRING.format(indent, opening, closing)
    marks = "".join(mark for mark in outer if mark in "`~")
    assert works(f"Here it is:\n\n{outer}\n{code}{marks}\nDone." if outer else code)


def test_a_fence_in_the_docstring_of_the_module_does_too():
    code = '"""Doubles.\n\n```\nf(1)\n```\n"""\n' + WHOLE
    assert works(code)
    assert works(f"```python\n{code}```")


@pytest.mark.parametrize(
    "completion",
    [
        f"1. Double it:\n   ```python\n{textwrap.indent(WHOLE, '   ')}   ```\n2. Done.",
        f"- Double it:\n\n  ```python\n{textwrap.indent(WHOLE, '  ')}  ```\n",
        f"> ```python\n{textwrap.indent(WHOLE, '> ')}> ```\n",
        f"1. Double it:\n```python\n{WHOLE}```\n",
        f"- Double it:\n  ```python\n{WHOLE}  ```\n",
        f"Double it:\n\n      ```python\n{textwrap.indent(WHOLE, '      ')}      ```\n",
        f"<details>\n<summary>Code</summary>\n```python\n{WHOLE}```\n</details>",
        f"````markdown\n# Answer\n```python\n{WHOLE}```\n````",
        f"```python\n{WHOLE}```  \nDone",
        f"```python\n{WHOLE}``` This doubles.",
        "```python\ndef f(x):\n    return x * 2```\nThis doubles.",
        "```def f(x): return x * 2```",
        "The program is ```python f = lambda x: x * 2```.",
        f"```python\r\n{WHOLE.replace(chr(10), chr(13) + chr(10))}```\r\n",
        f"\ufeff```python\n{WHOLE}```",
        f"```python\n\ufeff{WHOLE}```",
        f"\ufeff{WHOLE}",
        f"\u200b```python\n{WHOLE}```",
        f"Here it is:```python\n{WHOLE}```",
        f"Here it is: ```python\n{WHOLE}```\nDone.",
        "```python def f(x):\n    return x * 2\n```",
        f"[PYTHON]\n{WHOLE}[/PYTHON]",
        f"Sure:\n<code>\n{WHOLE}</code>",
        f"<pre><code>\n{WHOLE}</code></pre>",
    ],
)
def test_markdown_around_a_program_may_be_broken(completion):
    assert works(completion)


@pytest.mark.parametrize(
    "thought",
    [
        "<think>\nWhat about this?\n```python\n{wrong}```\nNo.\n</think>\n",
        "What about this?\n```python\n{wrong}```\nNo.\n</think>\n\n",
        "<thinking>{wrong}</thinking>",
        "<think></think>\n",
        "<THINK>\n```\n{wrong}\n</THINK>\n\n",
    ],
)
@pytest.mark.parametrize("answer", [WHOLE, f"```python\n{WHOLE}```", f"Sure:\n\n~~~\n{WHOLE}~~~"])
def test_thoughts_are_no_answer(thought, answer):
    assert works(thought.replace("{wrong}", WRONG) + answer)


def test_a_thought_without_an_answer_has_no_program():
    assert readings(f"<think>\n```python\n{WHOLE}```\n</think>\n", "", "f") == []


def test_a_program_may_mention_a_thought():
    assert works(f'TAG = "</think>"\n{WHOLE}') and works(f"```\nTAG = '</think>'\n{WHOLE}```")


HELPER = "def double(x):\n    return x * 2\n"
USER = "def f(x):\n    return double(x)\n"


@pytest.mark.parametrize(
    "blocks",
    [
        [WRONG, WHOLE],
        [WHOLE, "print(f(3))\n"],
        [WHOLE, "assert f(3) == 6\n", "f(5)\n"],
        [HELPER, USER],
        [USER, HELPER],
        [HELPER, "print(double(2))\n", USER],
        ["n = int(input())\nprint(f(n))\n", "def f(n):\n    return n * 2\n"],
        ["import math\n", "def f(x):\n    return math.floor(x) * 2\n"],
        ["from math import floor as down, sqrt\n", "def f(x):\n    return down(x) * 2\n"],
        ["TWO, THREE = 2, 3\n", "def f(x):\n    return x * TWO\n"],
        ["TWO: int = 2\n", HELPER.replace("2", "TWO"), USER],
        [WHOLE, "def f(x):\n    return x *\n"],
        ["pip install numpy\n", WHOLE],
    ],
)
def test_of_several_blocks_the_last_program_counts_with_what_it_needs(blocks):
    assert works("\n\nThen:\n\n".join(f"```python\n{block}```" for block in blocks))
    assert works("\n\nThen:\n\n".join(f"```\n{block}```" for block in blocks))


SCRIPT = "n = int(input())\nprint(n * 2)\n"
MAIN = "def main():\n    n = int(input())\n    print(n * 2)\n"


@pytest.mark.parametrize(
    "blocks",
    [
        [SCRIPT],
        ["print(int(input()) * 3)\n", SCRIPT],
        ["n = int(input())\n", "print(n * 2)\n"],
        [MAIN, "main()\n"],
        [MAIN, "if __name__ == '__main__':\n    main()\n"],
        [MAIN + "main()\n", "main()\n"],
        [HELPER, "print(double(int(input())))\n"],
        [SCRIPT, "print(21 * 2)  # by hand\n"],
        ["print(42)\n"],
    ],
)
def test_a_script_is_the_last_block_that_reads_and_prints(blocks):
    completion = "\n\nThen:\n\n".join(f"```python\n{block}```" for block in blocks)
    assert printed(completion) == [42]
    assert printed(f"{completion}\n\nFor 21 it prints\n\n```\n42\n```\n") == [42]


WORDS = st.sampled_from(
    ["Sure!", "Here is `f`:", "# Solution", "**Note**", "- one\n- two", "1. Read x.", "",
     "> quoted", "It takes O(n) time.", "| a | b |\n|---|---|\n| 1 | 2 |", "<b>x</b>",
     "$x^2$", "---", "* * *",
     "    indented", "\\boxed{42}", "[link](x.py)", "Ein Süßes 程序"]
)  # fmt: skip
PROSE = st.lists(WORDS, max_size=4).map("\n\n".join)
FENCES = st.tuples(st.sampled_from("`~"), st.integers(3, 6), st.integers(0, 2))


@example("# Solution", ("`", 3, 0), "", 0, "", False)
@given(PROSE, FENCES, st.sampled_from(INFO_STRINGS), st.integers(0, 3), PROSE, st.booleans())
@settings(deadline=None, max_examples=300)
def test_a_program_is_found_in_any_markdown(before, fence, info, indent, after, closed):
    mark, length, longer = fence
    opening = " " * indent + mark * length
    code = textwrap.indent(WHOLE, " " * indent)
    end = f"{mark * (length + longer)}\n\n{after}" if closed else ""
    assert works(f"{before}\n\n<!-- -->\n\n{opening}{info}\n{code}{end}")


@given(st.lists(st.sampled_from(["```", "~~~", "````", "python", "\n", " ", "    ", "- ", "> ",
                                 "def f(x):", "return 1", '"""', "</think>", "\r", "x = 1", "\t"]),
                max_size=30).map("".join), st.booleans())  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_any_text_has_readings(text, flexible):
    for prefix in ("", "def f(x):\n"):
        assert all(reading.strip() for reading in readings(text, prefix, "f", flexible))
    fenced_blocks(text)
    blocks_between_lines(text)
