"""A Secret that holds no single key: it is refused by its name, and no half of it is ever written out."""

from __future__ import annotations

import socket

import pytest
from pydantic import SecretStr

from videotask_contract.errors import FailureClass, VideoTaskError
from videotask_contract.steps import Provider
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.kling import ClipRequest, KlingClient
from videotask_steps.credentials import provider_key

HALVES = ("ak-SECRET1234", "sk-SECRET5678")
CLIP = ClipRequest(
    model="kling-2.5-turbo", prompt="pan", first_frame="", resolution="720p", seconds=5, external_task_id="id"
)


def kling(key: str, *, port: int = 1) -> KlingClient:
    return KlingClient(ProviderSettings(provider=Provider.KLING, base_url=f"http://127.0.0.1:{port}"), SecretStr(key))


@pytest.mark.parametrize(
    "value", ["\n".join(HALVES), "\u201cak-SECRET1234\u201d", "ak-SECRET1234\x7f0", "ak-\tSECRET1234"]
)
def test_a_secret_that_can_be_no_key_is_refused_as_the_accounts(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(Provider.KLING.key_variable, value)
    with pytest.raises(VideoTaskError, match=r"spec\.credentials\.kling\.secretRef") as caught:
        provider_key(Provider.KLING)
    assert caught.value.failure_class is FailureClass.ACCOUNT
    assert "SECRET" not in caught.value.message


def test_the_newline_at_the_end_of_a_key_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(Provider.KLING.key_variable, "a-key_that.works\n")
    assert provider_key(Provider.KLING).get_secret_value() == "a-key_that.works"


async def test_a_header_that_cannot_be_sent_names_no_half_of_the_key_and_costs_nothing() -> None:
    # Its backlog takes the connections: nothing is read, for nothing is sent.
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with kling("\n".join(HALVES), port=server.getsockname()[1]) as client:
            for asked in (client.find("ours"), client.create(CLIP)):
                with pytest.raises(VideoTaskError) as caught:
                    await asked
                assert caught.value.failure_class is FailureClass.NETWORK
                assert not any(half in caught.value.message for half in HALVES)


async def test_a_key_across_the_cut_of_a_long_message_leaks_no_head_of_it() -> None:
    async with kling("k3y-that-nobody-may-read") as client:
        said = client.words("x" * 390 + " k3y-that-nobody-may-read is unknown")
    assert "k3y" not in said
    assert len(said) == 400
