"""VideoTasks and Channels read from files; a file that breaks the contract is shown with a sentence, never skipped."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from videotask_contract.resources import API_VERSION, GROUP, ChannelSpec, DesiredState, VideoTaskSpec
from videotask_contract.storyboard import ContractModel
from videotask_operator.core.model import ChannelResource, TaskKey, TaskResource
from videotask_operator.local.files import read_json, write_json
from videotask_operator.local.folder import LocalFolder

_Spec = TypeVar("_Spec", bound=ContractModel)
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_OTHER_CHANNEL = "spec.channelRef: can never be changed (it was {}); create a new VideoTask for the other channel"
_OTHER_VOLUME = (
    "spec.volume.claimName: cannot be changed (it was {}): the films' files and ledgers lie there, and on another "
    "volume what was paid would be paid again; make another Channel for another volume"
)


def load_task(folder: LocalFolder, *, namespace: str, name: str) -> TaskResource:
    """Return the VideoTask of this name; allocates its uid the first time, and a generation for each other spec.

    OSError where neither the file nor a person is to blame: a disk that fails, too many open files.
    """
    manifest, problem = _load_manifest(folder.videotasks / f"{name}.yaml", kind="VideoTask")
    spec, spec_error = (None, problem) if problem else _parse_spec(VideoTaskSpec, manifest)
    identity = _identify(folder.status(name), manifest, channel=spec.channel_ref.name if spec else None)
    if spec is not None and spec.channel_ref.name != identity["channel"]:
        spec, spec_error = None, _OTHER_CHANNEL.format(identity["channel"])
    return TaskResource(
        key=TaskKey(namespace, name),
        uid=identity["uid"],
        generation=identity["generation"],
        created_at=datetime.fromisoformat(identity["createdAt"]),
        deleting=False,
        spec=spec,
        spec_error=spec_error,
        status=identity["status"],
        state=_readable_state(manifest.get("spec")) if spec is None else None,
    )


def load_channel(folder: LocalFolder, *, namespace: str, name: str) -> ChannelResource:
    """Return the Channel of this name; OSError as above."""
    manifest, problem = _load_manifest(folder.channels / f"{name}.yaml", kind="Channel")
    spec, spec_error = (None, problem) if problem else _parse_spec(ChannelSpec, manifest)
    claim_name = _claim_of(folder, name, spec)
    if spec is not None and spec.volume.claim_name != claim_name:
        spec, spec_error = None, _OTHER_VOLUME.format(claim_name)
    uid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{folder.root.resolve()}/channels/{name}"))
    # Nobody counts a Channel's versions here; a checksum differs when the spec does, and no more is asked of it.
    generation = zlib.crc32(spec.model_dump_json().encode()) if spec else 0
    return ChannelResource(
        namespace=namespace, name=name, uid=uid, spec=spec, spec_error=spec_error, generation=generation
    )


def channels_with_claim(folder: LocalFolder) -> set[str]:
    """Return the names of the Channels whose volume is known."""
    return set(_claims(folder))


def forget_claim(folder: LocalFolder, name: str) -> None:
    """Let a Channel that is gone have another volume when it is made anew."""
    known = _claims(folder)
    if known.pop(name, None) is not None:
        write_json(folder.claims, known)


def _claim_of(folder: LocalFolder, name: str, spec: ChannelSpec | None) -> str | None:
    """Return the claim that a Channel named first."""
    known = _claims(folder)
    if spec is not None and name not in known:
        known[name] = spec.volume.claim_name
        write_json(folder.claims, known)
    return known.get(name)


def _claims(folder: LocalFolder) -> dict[str, str]:
    known = read_json(folder.claims)
    return known if isinstance(known, dict) else {}


def save_status(folder: LocalFolder, *, name: str, uid: str, status: dict[str, Any]) -> None:
    """Replace the status of the VideoTask with this uid; one that is gone or re-created is left alone."""
    identity = read_json(folder.status(name))
    if isinstance(identity, dict) and identity.get("uid") == uid:
        write_json(folder.status(name), identity | {"status": status})


def explain(error: ValidationError, *, root: str = "spec") -> str:
    """Return a validation error as sentences, each with the field's path as it stands in the manifest."""
    return "; ".join(_sentence(detail, root) for detail in error.errors(include_url=False))


def _sentence(detail: Any, root: str) -> str:
    path = root
    for part in detail["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    message: str = detail["msg"].removeprefix("Value error, ")
    if message.startswith(f"{root}:"):
        return message
    if message.startswith("storyboard"):
        return f"{root}.{message}"
    given = detail.get("input")
    shown = f" (given: {given!r:.80})" if isinstance(given, str | int | float) else ""
    return f"{path}: {message[:1].lower()}{message[1:]}{shown}"


def _load_manifest(path: Path, *, kind: str) -> tuple[dict[str, Any], str | None]:
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (PermissionError, IsADirectoryError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, f"{path.name}: cannot be read as YAML: {error}"
    if not isinstance(manifest, dict) or not isinstance(manifest.get("metadata"), dict):
        return {}, f"{path.name}: is no manifest; apiVersion, kind, metadata and spec are needed"
    expected = {"apiVersion": f"{GROUP}/{API_VERSION}", "kind": kind}
    for field, value in expected.items():
        if manifest.get(field) != value:
            return manifest, f"{field}: {manifest.get(field)!r} was given; {value!r} is needed in {path.name}"
    name = manifest["metadata"].get("name")
    if name != path.stem or not _NAME.fullmatch(path.stem):
        return manifest, (
            f"metadata.name: {name!r} in {path.name}; the file must be named after it, "
            "in lower-case letters, digits, dashes and dots"
        )
    return manifest, None


def _parse_spec(model: type[_Spec], manifest: dict[str, Any]) -> tuple[_Spec | None, str | None]:
    try:
        return model.model_validate(manifest.get("spec", {})), None
    except ValidationError as error:
        return None, explain(error)


def _readable_state(spec: Any) -> DesiredState | None:
    state = spec.get("state") if isinstance(spec, dict) else None
    return DesiredState(state) if isinstance(state, str) and state in set(DesiredState) else None


def _identify(path: Path, manifest: dict[str, Any], *, channel: str | None) -> dict[str, Any]:
    """Return what is kept of a VideoTask; `channel` is the one that its spec names, and the first of them stays."""
    known = read_json(path)
    spec_sha256 = _digest(manifest.get("spec"))
    if not isinstance(known, dict) or "uid" not in known:
        identity = {"uid": str(uuid.uuid4()), "createdAt": datetime.now(UTC).isoformat(), "generation": 1, "status": {}}
    elif known["specSha256"] != spec_sha256:
        identity = known | {"generation": known["generation"] + 1}
    elif known.get("channel") is None and channel is not None:
        identity = dict(known)  # from before its Channel was kept
    else:
        return known
    identity["specSha256"] = spec_sha256
    identity["channel"] = identity.get("channel") or channel
    write_json(path, identity)
    return identity


def _digest(spec: Any) -> str:
    try:
        text = json.dumps(spec, sort_keys=True, default=str)
    except (TypeError, ValueError):
        text = repr(spec)  # YAML allows what JSON has not: a number among names, a value that holds itself
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
