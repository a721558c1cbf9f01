"""A program finds what an ordinary interpreter offers: `exit`, `__file__`, /dev/stdin."""

import pytest

from restem.sandbox.limits import ProgramError
from restem.sandbox.programs import run_script

DOUBLE = "print(2 * int(input()))\n"


@pytest.mark.parametrize(
    "program",
    [
        DOUBLE + "exit()",
        DOUBLE + "exit(0)",
        DOUBLE + "quit()",
        DOUBLE + "quit(None)",
        DOUBLE + "def end():\n    exit()\nend()\nprint('not reached')",
        "import builtins\n" + DOUBLE + "builtins.exit(0)",
        DOUBLE + "raise SystemExit",
        DOUBLE + "import sys\nsys.exit()",
        DOUBLE + "assert __file__.endswith('.py') and __name__ == '__main__'",
        DOUBLE + "import os\nassert os.path.isabs(os.path.dirname(os.path.abspath(__file__)))",
        DOUBLE + "import sys\nassert sys.argv == [__file__]",
        DOUBLE + "import __main__\nassert __main__.__file__ == __file__",
        DOUBLE + "assert str(exit).startswith('Use exit') and callable(help) and copyright",
        "print(2 * int(open('/dev/stdin').read()))",
        "print(2 * int(open('/dev/stdin', 'rb').readline()))",
        "import sys\nsys.stdin = open('/dev/stdin')\n" + DOUBLE,
        "with open(file='/dev/stdin', encoding='utf8') as lines:\n    print(2 * int(next(lines)))",
        "from pathlib import Path\nprint(2 * int(Path('/dev/stdin').read_text()))",
        "import io\nprint(2 * int(io.open('/dev/fd/0').read()))",
        "print(2 * int(open(0).read()))",
        "print(2 * int(input()), file=open('/dev/stdout', 'w'))",
        "with open('/dev/fd/1', 'w') as out: out.write(f'{2 * int(input())}\\n')",
        DOUBLE + "print('a warning', file=open('/dev/stderr', 'w'))",
        "\ufeff" + DOUBLE,
        "\ufeff# a byte-order mark\n" + DOUBLE,
    ],
)
def test_a_program_does_what_it_does_elsewhere(worker, limits, program):
    assert run_script(worker, "", [program], "21\n", limits) == "42\n"


@pytest.mark.parametrize("program", ["exit(3)", "quit('failed')", "print(1)\nexit(True)"])
def test_a_status_that_is_not_zero_is_a_failure(worker, limits, program):
    with pytest.raises(ProgramError) as caught:
        run_script(worker, "", [program], "", limits)
    assert caught.value.failure == "runtime error"


def test_open_still_opens_files_and_keeps_the_walls(worker, limits):
    program = (
        "with open('/tmp/x', 'w') as file: file.write('kept')\n"
        "print(open('/tmp/x').read(), open(b'/tmp/x').read())\n"
        "for name in ('/dev/tty', '/etc/passwd', '/proc/self/fd/3', '/x'):\n"
        "    try: open(name, 'w'); print(name)\n"
        "    except OSError: pass\n"
    )
    assert run_script(worker, "", [program], "", limits) == "kept kept\n"
