"""Where a laptop keeps what a cluster would hold: resources, Secrets, volumes, runs; no rule of work in here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from videotask_contract.errors import BadInputError
from videotask_operator.local.files import PRIVATE, read_json, write_json

PLURALS: Final = {"VideoTask": "videotasks", "Channel": "channels"}


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """One folder that stands for one namespace."""

    root: Path

    @property
    def videotasks(self) -> Path:
        """NAME.yaml for each VideoTask."""
        return self.root / "resources" / "videotasks"

    @property
    def channels(self) -> Path:
        """NAME.yaml for each Channel."""
        return self.root / "resources" / "channels"

    @property
    def runs(self) -> Path:
        """One folder for each Job."""
        return self.root / "runs"

    @property
    def logs(self) -> Path:
        """What steps wrote to stdout and stderr, one file a run; kept when the run is deleted."""
        return self.root / "logs"

    @property
    def events(self) -> Path:
        """Events, one JSON object a line."""
        return self.root / "events.jsonl"

    @property
    def claims(self) -> Path:
        """{"channel": "claim"}: the volume that each Channel named first."""
        return self.root / "claims.json"

    @property
    def secrets(self) -> Path:
        """{"secret name": {"key": "value"}}, readable by its owner alone."""
        return self.root / "secrets.json"

    def status(self, name: str) -> Path:
        """Return the file of a VideoTask's uid, generation and status."""
        return self.root / "status" / f"{name}.json"

    def names_with_status(self) -> set[str]:
        """Return the names of the VideoTasks that have such a file."""
        return {path.stem for path in visible_files(self.root / "status", ".json")}

    def volume(self, claim_name: str) -> Path:
        """Return the folder that stands for a claim's volume; it exists when the claim does."""
        return self.root / "volumes" / claim_name

    def prepare(self) -> None:
        """Make the folders that are watched."""
        for folder in (self.videotasks, self.channels, self.runs, self.logs, self.root / "status"):
            folder.mkdir(parents=True, exist_ok=True)

    def apply(self, manifest: dict[str, Any]) -> None:
        """Write a VideoTask or Channel, as `kubectl apply` would; BadInputError on another kind."""
        kind, name = manifest.get("kind"), manifest.get("metadata", {}).get("name")
        if kind not in PLURALS or not isinstance(name, str):
            raise BadInputError(f"kind: {kind!r} named {name!r} cannot be applied here; a VideoTask or Channel can")
        write_json(self.root / "resources" / PLURALS[kind] / f"{name}.yaml", manifest)  # JSON is YAML

    def save_secret(self, name: str, values: dict[str, str]) -> None:
        """Write one Secret, the others kept."""
        write_json(self.secrets, (read_json(self.secrets) or {}) | {name: values}, mode=PRIVATE)

    def make_volume(self, claim_name: str) -> Path:
        """Make the volume of a claim."""
        volume = self.volume(claim_name)
        volume.mkdir(parents=True, exist_ok=True)
        return volume


def visible_files(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a folder that end so; OSError where it cannot be read, which Path.glob takes for empty."""
    return [path for path in folder.iterdir() if path.suffix == suffix and not path.name.startswith(".")]
