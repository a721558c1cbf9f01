"""The one exception that a user is meant to read: what happened, where, and what to do."""


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
