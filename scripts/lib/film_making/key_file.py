"""Real keys from a file of the person's own, proved by calls that cost nothing; a key must never be shown or logged."""

import json
import stat
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from film_making.failure import FilmError
from film_making.places import shown
from videotask_contract.steps import Provider

_REQUEST_SECONDS = 20.0
_KLING_SUCCESS = 0


def read_keys(path: Path) -> dict[Provider, str]:
    """Return the three keys of a file of NAME=value lines; FilmError when others may read it or one is missing."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except OSError as error:
        raise FilmError(f"{path} cannot be read: {error.strerror}; {_how(path)}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise FilmError(f"{path} may be read by others; first: chmod 600 {path}")
    lines = dict(map(_split, filter(_is_setting, text.splitlines())))
    keys = {provider: lines.get(provider.key_variable, "") for provider in Provider}
    missing = [provider.key_variable for provider, key in keys.items() if not key]
    if missing:
        raise FilmError(f"{path} has no {', '.join(missing)}; {_how(path)}")
    return keys


def check_keys(keys: Mapping[Provider, str], base_urls: Mapping[Provider, str]) -> list[str]:
    """Return what is wrong with the keys, in sentences; every call made here is free of charge."""
    checks = {
        Provider.GEMINI: ("/v1beta/models?pageSize=1", "x-goog-api-key", "{}"),
        Provider.KLING: ("/tasks?task_ids=x", "Authorization", "Bearer {}"),
        Provider.ELEVENLABS: ("/v1/user/subscription", "xi-api-key", "{}"),
    }
    problems = []
    for provider, (path, header, form) in checks.items():
        problem = _try(base_urls[provider] + path, {header: form.format(keys[provider])})
        if problem is not None:
            problems.append(f"{provider.key_variable}: {base_urls[provider]} says {problem}")
    return problems


def _is_setting(line: str) -> bool:
    return "=" in line and not line.lstrip().startswith("#")


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.strip(), value.strip().strip("\"'")


def _try(url: str, headers: Mapping[str, str]) -> str | None:
    request = urllib.request.Request(url, headers={**headers, "Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as answer:
            return _kling_complaint(json.load(answer))
    except urllib.error.HTTPError as error:
        return f"{error.code} {_words(error.read(2000))}".strip()
    except (OSError, ValueError) as error:
        return f"nothing: {error}"


def _kling_complaint(body: Any) -> str | None:
    """Kling answers 200 with a code in the body; the others have no such field."""
    if isinstance(body, dict) and body.get("code", _KLING_SUCCESS) != _KLING_SUCCESS:
        return f"{body['code']} {body.get('message', '')}"
    return None


def _words(body: bytes) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:200]
    for key in ("error", "detail"):
        found = found.get(key, found) if isinstance(found, dict) else found
    return str(found.get("message", found) if isinstance(found, dict) else found)[:200]


def _how(path: Path) -> str:
    names = ", ".join(provider.key_variable for provider in Provider)
    return f"write {names} into {shown(path)}, one NAME=value a line, and chmod 600 it"
