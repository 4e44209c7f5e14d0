"""Whom a step's clients trust: emulators speak plain http, so that no other test would miss a certificate."""

from __future__ import annotations

import ssl

import pytest

from videotask_steps.tls import tls_of, trusted


@pytest.mark.parametrize("url", ["https://api.example.com", "HTTPS://api.example.com/v1"])
def test_an_https_client_trusts_the_public_authorities_and_checks_names(url: str) -> None:
    context = tls_of(url)
    assert context is trusted()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] > 50


def test_a_client_of_plain_http_trusts_nobody() -> None:
    context = tls_of("http://127.0.0.1:8080")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] == 0
