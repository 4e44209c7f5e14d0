"""The provider emulators on loopback, and their bill; it must never reach a real provider."""

import json
import sys
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

from film_making.background import Background
from film_making.failure import FilmError

_START_SECONDS = 60.0
_REQUEST_SECONDS = 10.0


class Emulators:
    """Gemini, Kling and ElevenLabs on one port of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._url_file = folder / "emulators.url"
        self.program = Background("emulators", folder)
        self.url = ""

    def start(self) -> None:
        """Start them on a free port and wait until they listen."""
        self._url_file.unlink(missing_ok=True)
        words: list[str | Path] = [
            "serve",
            "--port",
            "0",
            "--state-dir",
            self._folder / "emulators",
            "--url-file",
            self._url_file,
        ]
        self.program.start([sys.executable, "-m", "videotask_emulators", *words])
        self.program.wait_until(self._url_file.exists, timeout_seconds=_START_SECONDS)
        self.url = self._url_file.read_text(encoding="utf-8").strip()

    def billed_usd(self) -> Decimal:
        """Return what they charged in all."""
        return Decimal(self._get("/_control/bill")["total_usd"])

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=_REQUEST_SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (OSError, ValueError) as error:
            raise FilmError(f"the emulators at {self.url} do not answer: {error}") from error
