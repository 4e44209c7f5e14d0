"""A failure in words for the person at the terminal; it must never carry a traceback to them."""


class FilmError(Exception):
    """Something failed; the message says what, and what to do about it. The program exits with `exit_code`."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
