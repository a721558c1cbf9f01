"""Check where a tool is to write before it works, and report what the system refuses."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from restem.errors import RestemError

_OF_THE_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def check_output(output: Path, *inputs: Path) -> None:
    """Make the folder of an output.

    Raises RestemError where the output is an input, or where no file can be written.
    """
    try:
        exists = output.exists()
        if exists and any(source.exists() and output.samefile(source) for source in inputs):
            raise RestemError("the output is the input", str(output), "name another --output")
        if exists and not output.is_file():
            raise _unwritable("it is not a regular file", output)
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab"):  # it changes nothing in a file that exists
            pass
        if not exists:
            output.unlink()
    except OSError as error:
        raise _unwritable(str(error.strerror), output) from error


def partial_path(output: Path) -> Path:
    """Return where to write an output until it is complete."""
    return output.with_name(f".{output.name[:100]}.{os.getpid()}")


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Give a temporary path that becomes the output at the end; a failure leaves nothing.

    Raises RestemError where the disk refuses.
    """
    partial = partial_path(output)
    try:
        yield partial
        partial.replace(output)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        raise _unwritable(str(error.strerror), output) from error
    finally:
        partial.unlink(missing_ok=True)


def _unwritable(why: str, output: Path) -> RestemError:
    return RestemError(
        f"the output cannot be written: {why}", str(output), "name another --output, or make room"
    )
