"""The one exception that a user is meant to read: what happened, where, and what to do."""

import difflib
import errno
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

_ROOM: Final = "make room, or name a place with more"
_RIGHTS: Final = "name a place where you may write, or ask for the rights"
_FILES: Final = "allow more open files (ulimit -n 1024), or use fewer jobs at once"
_FIXES: Final = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "allow larger files (ulimit -f unlimited), or name another place",
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENAMETOOLONG: "choose shorter names",
    errno.EIO: "look for a damaged disk or file system",
    errno.ESTALE: "run again; the network's file system has lost the file",
}


_PRINTED: Final = re.compile(r"restem: (.+?)\n  where: (.+?)\n  what to do: (.+)", re.S)


class RestemError(Exception):
    """Report a problem in three parts.

    what: the problem in one sentence; where: the file, row or key; fix: the way out.
    """

    def __init__(self, what: str, where: str, fix: str) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  what to do: {self.fix}"

    @classmethod
    def printed(cls, text: str) -> "RestemError | None":
        """Return the problem that another process has printed, if it printed nothing else."""
        match = _PRINTED.fullmatch(text.strip())
        return cls(*match.groups()) if match else None


def of_system(error: BaseException) -> RestemError | None:
    """Return what the system refused, if an error or one of its causes says that; else None.

    Libraries that are not written in Python report it in words: weights, tables and figures too.
    """
    cause: BaseException | None = error
    while cause is not None:
        number = cause.errno if isinstance(cause, OSError) else None
        words = str(cause)
        named = (code for code in _FIXES if os.strerror(code).lower() in words.lower())
        if number not in _FIXES:
            number = None if isinstance(cause, RestemError) else next(named, None)
        if number is not None:
            place = getattr(cause, "filename", None)
            said = words if not place and os.strerror(number) != words else ""
            where = str(place or said or Path.cwd()).splitlines()[0]
            return RestemError(f"the system refuses: {os.strerror(number)}", where, _FIXES[number])
        cause = cause.__cause__
    return None


def nearest(name: str, known: Collection[str]) -> str:
    """Return a hint that names the most similar known name, or lists all of them."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(known))}" if known else "; none is defined"
