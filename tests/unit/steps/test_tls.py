"""Whom a step's clients trust: emulators speak plain http, so that no other test would miss a certificate."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from videotask_contract.errors import FailureClass, TransientError
from videotask_contract.steps import Provider
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.kling import ClipRequest, KlingClient
from videotask_steps.tls import tls_of, trusted

HOST = "127.0.0.1"
CLIP = ClipRequest(
    model="kling-2.6", prompt="waves", first_frame="aGk=", resolution="720p", seconds=5, external_task_id="ours"
)


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


@dataclass(kw_only=True)
class Stranger:
    """An https server that signed its certificate itself, and what it was told."""

    certificate: Path
    url: str = ""
    heard: list[bytes] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 4\r\n\r\nclip")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def stranger(tmp_path: Path) -> AsyncIterator[Stranger]:
    stranger = Stranger(certificate=tmp_path / "certificate.pem")
    stranger.certificate.write_bytes(self_signed())
    identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity.load_cert_chain(stranger.certificate)
    async with await asyncio.start_server(stranger.answer, HOST, 0, ssl=identity) as server:
        stranger.url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
        yield stranger


def self_signed() -> bytes:
    """Return a key and a certificate for our own address that only it vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
async def client(stranger: Stranger) -> AsyncIterator[KlingClient]:
    settings = ProviderSettings(provider=Provider.KLING, base_url=stranger.url)
    async with KlingClient(settings, SecretStr("k3y")) as client:
        yield client


async def test_a_server_whose_certificate_nobody_we_trust_has_signed_is_told_nothing(
    stranger: Stranger, client: KlingClient
) -> None:
    with pytest.raises(TransientError, match=r"could not be reached.*certificate verify failed") as caught:
        await client.create(CLIP)
    assert caught.value.failure_class is FailureClass.NETWORK, "it was never sent, so that nothing can be charged"
    assert stranger.heard == []


async def test_no_clip_is_taken_from_a_host_whose_certificate_nobody_we_trust_has_signed(
    stranger: Stranger, client: KlingClient, tmp_path: Path
) -> None:
    with pytest.raises(TransientError, match=r"could not be downloaded \(ConnectError\)"):
        await client.download(f"{stranger.url}/clip.mp4", tmp_path / "clip.mp4")
    assert (stranger.heard, (tmp_path / "clip.mp4").exists()) == ([], False)


async def test_the_same_server_answers_one_who_trusts_its_certificate(stranger: Stranger) -> None:
    """Else the two above would show nothing of the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(stranger.certificate)
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        response = await client.get(stranger.url)
    assert (response.content, len(stranger.heard)) == (b"clip", 1)
