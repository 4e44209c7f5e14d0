"""What people and providers wrote, made fit for a text column; must change nothing that the database can hold."""

from __future__ import annotations


def storable(words: str) -> str:
    """Return the text with NUL and lone surrogates as U+FFFD: PostgreSQL refuses them, and JSON allows both."""
    if "\0" in words:
        words = words.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        words.encode()
    except UnicodeEncodeError:
        return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= letter <= "\udfff" else letter for letter in words)
    return words


def storable_or_none(words: str | None) -> str | None:
    """Return the same for a text that may be missing."""
    return None if words is None else storable(words)
