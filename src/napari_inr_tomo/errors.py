"""The one error a user sees: what is wrong, why, and what to do about it."""

from __future__ import annotations


class UserError(Exception):
    """A problem the user can act on.

    ``what`` is wrong, ``why`` it is so, and what to ``do`` about it; each a plain
    sentence without a trailing full stop.  The command line prints it as one line and
    exits with status 2; the window shows it as a notification.
    """

    def __init__(self, what: str, why: str, do: str) -> None:
        self.what = what
        self.why = why
        self.do = do
        super().__init__(f"{what}: {why}. {do}.")

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        """Rebuild from the three parts, so that it crosses process borders."""
        return type(self), (self.what, self.why, self.do)
