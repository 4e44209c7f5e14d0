"""The TLS context of a client: reading the list of certificates takes a twentieth of a second, and is done once."""

from __future__ import annotations

import functools
import ssl

import httpx


def tls_of(url: str) -> ssl.SSLContext:
    """Return the context for a client of this address.

    One that speaks plain http gets a context that trusts nobody: an https address must not be reached through it.
    """
    return trusted() if url.lower().startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return the context that trusts what httpx does, the same for every client of this process."""
    return httpx.create_ssl_context()
