"""Where a step finds its provider's key; a key must never leave its SecretStr but for the request's header."""

from __future__ import annotations

import os

from pydantic import SecretStr

from videotask_contract.errors import BadInputError, FailureClass, PermanentError
from videotask_contract.steps import Provider
from videotask_contract.task_file import ProviderSettings, TaskFile


def provider_key(provider: Provider) -> SecretStr:
    """Return the provider's key from the environment; an ACCOUNT failure says which Secret to mend."""
    key = os.environ.get(provider.key_variable, "").strip()
    if not key:
        raise PermanentError(
            f"{provider.key_variable} is empty: put the key into the Secret named by the channel's "
            f"spec.credentials.{provider.value}.secretRef",
            failure_class=FailureClass.ACCOUNT,
        )
    if not (key.isascii() and key.isprintable()):
        raise PermanentError(
            f"{provider.key_variable} holds a line break or another character that no key has: put one key alone, "
            f"without quotes, into the Secret named by the channel's spec.credentials.{provider.value}.secretRef",
            failure_class=FailureClass.ACCOUNT,
        )
    return SecretStr(key)


def provider_settings(task: TaskFile, provider: Provider) -> ProviderSettings:
    """Return how to reach the step's provider; BadInputError when task.json names none or another."""
    if task.provider is None or task.provider.provider is not provider:
        named = "none" if task.provider is None else task.provider.provider.value
        raise BadInputError(f"provider: task.json names {named} and {task.step.value} needs {provider.value}")
    return task.provider
