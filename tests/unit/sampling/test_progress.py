import io

from restem.sampling.engine import Completion
from restem.sampling.usage import Progress

COMPLETION = Completion("p", 0, 1, "text", 50, 9, "stop", "#", -1.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(stream: io.StringIO) -> str:
    clock = Clock()
    progress = Progress(8, stream, clock)
    for _ in range(4):
        clock.now += 0.5
        progress.add([COMPLETION])
    progress.close()
    return stream.getvalue()


def test_a_terminal_gets_one_line_a_second() -> None:
    lines = shown(Terminal()).split("\r\x1b[K")
    assert lines == [
        "",
        "samples: 2/8 completions (25%), 100 tokens/s, 0:00:03 left",
        "samples: 4/8 completions (50%), 100 tokens/s, 0:00:02 left",
        "",
    ]


def test_a_log_stays_quiet() -> None:
    assert shown(io.StringIO()) == ""


def test_nothing_done_yet_has_no_estimate() -> None:
    assert Progress(3, io.StringIO(), Clock()).line().endswith("0 tokens/s, ? left")
