import time

import pytest

from restem.rewards.code_extraction import readings

SIGNATURE = 'import math\n\ndef helper(x):\n    return x\n\ndef f(x: int) -> int:\n    """Doc."""\n'
WANTED = 42


def works(completion, prefix="", entry="f", flexible=False):
    """Run the first reading that compiles, as the sandbox does."""
    for program in readings(completion, prefix, entry, flexible):
        try:
            code = compile(program, "p", "exec")
        except SyntaxError:
            continue
        namespace = {}
        exec(code, namespace)
        return namespace["f"](21) == WANTED
    return False


WHOLE = "def f(x):\n    return x * 2\n"


@pytest.mark.parametrize(
    "completion",
    [
        WHOLE,
        f"```python\n{WHOLE}```",
        f"Sure!\n\n```python\n{WHOLE}```\nThis doubles.",
        f"```\n{WHOLE}```",
        f"~~~py\n{WHOLE}~~~",
        f"```Python\n{WHOLE}",
        f"{WHOLE}```\nand that is it",
        f"{WHOLE}[DONE]\nmore text",
        f"[BEGIN]\n{WHOLE}[DONE]",
        f"{WHOLE}\nThis function doubles its argument.\n",
        f"```bash\npip install x\n```\n```python\n{WHOLE}```",
        f"```python\nprint(1)\n```\nand\n```python\n{WHOLE}```",
        f"```python\n{WHOLE}```\nUsage:\n```python\nf(3)\n```",
        "f = lambda x: x * 2\n",
        "import math\nfrom typing import List\n\n" + WHOLE,
    ],
)
@pytest.mark.parametrize("prefix", ["", SIGNATURE])
def test_a_whole_program_is_found(completion, prefix):
    assert works(completion, prefix)


@pytest.mark.parametrize(
    "completion",
    [
        "    return x * 2\n",
        "    y = x * 2\n    return y\n\n\n",
        "return x * 2\n",
        "    return helper(x) * 2\n\ndef other():\n    pass\n",
        "\n    return math.floor(x) * 2\n",
        "    return x * 2\n```\nDone.",
        "```python\n    return x * 2\n```",
        "    return x * 2\n\nThis doubles it.\n",
    ],
)
def test_a_continued_signature_is_completed(completion):
    assert works(completion, SIGNATURE)


def test_helpers_of_the_prompt_serve_a_whole_program_too():
    assert works("def f(x):\n    return helper(x) + math.floor(x)\n", SIGNATURE)


def test_a_class_continues_or_replaces_its_starter():
    starter = "class Solution:\n    def g(self, x: int) -> int:\n"
    for completion in ("        return x * 2\n", starter + "        return x * 2\n"):
        for program in readings(completion, starter, "Solution().g"):
            namespace = {}
            exec(compile(program, "p", "exec"), namespace)
            assert namespace["Solution"]().g(21) == WANTED
            break
        else:
            pytest.fail("no reading")


@pytest.mark.parametrize("completion", ["", "   \n\n", "```python\n```", "```\n\n```"])
def test_nothing_is_no_program(completion):
    assert readings(completion, "", "f") == []


def test_prose_around_bare_code_is_left_out_by_the_flexible_policy_only():
    completion = f"Here is my answer:\n{WHOLE}\nIt doubles."
    assert works(completion, flexible=True)
    assert not works(completion)


def test_the_space_after_a_prompt_is_no_indentation():
    assert works(f" {WHOLE}")


PIECES = [
    "```", "```python\n", "def f(", "\n", " ", "((", "a=", "`", "@", "a,", "lambda ", "for a ",
    "import (", "```python\nx = y\n```\n", "> ", "- ", "1. ", "~~~\n", "</think>", "a b",
    "\t", "from a ", "a:",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("start", ["", "```python\n"])
def test_long_text_takes_no_time(start, piece):
    began = time.process_time()
    readings(start + piece * (190_000 // len(piece)), SIGNATURE, "f", True)
    assert time.process_time() - began < 20
