"""What comes from a volume is unpacked with care, and believed only when it is the very film of the status."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from videotask_contract.errors import PermanentError
from videotask_contract.resources import FilmStatus
from videotask_operator.cli.fetch import _pod_settings, _unpack, check_film

STEP_POD = {
    "securityContext": {"runAsNonRoot": True},
    "nodeSelector": {"disk": "fast"},
    "serviceAccountName": "videotask-step",
    "containers": [
        {
            "image": "localhost/videotask-video-assembly:1",
            "env": [{"name": "KLING_API_KEY", "valueFrom": {"secretKeyRef": {"name": "kling", "key": "api-key"}}}],
            "securityContext": {"readOnlyRootFilesystem": True},
        }
    ],
    "volumes": [
        {"name": "report-token", "projected": {"sources": []}},
        {"name": "channel", "persistentVolumeClaim": {"claimName": "night-stories"}},
    ],
}


def an_archive(*members):
    """Return a tar of (name, content); content None makes a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    out.seek(0)
    return out


def a_film(content):
    return FilmStatus(
        path="projects/x/film.mp4",
        duration_seconds="1.0",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def test_files_and_folders_are_written_below_the_target(tmp_path):
    _unpack(an_archive(("film.mp4", b"film"), ("composites/composite_01.png", b"png")), tmp_path)
    assert (tmp_path / "film.mp4").read_bytes() == b"film"
    assert (tmp_path / "composites/composite_01.png").read_bytes() == b"png"


@pytest.mark.parametrize("name", ["../film.mp4", "composites/../../x", "/etc/cron.d/x"])
def test_a_path_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(PermanentError, match="leads out"):
        _unpack(an_archive((name, b"x")), tmp_path / "inner")


def test_a_link_is_never_written(tmp_path):
    _unpack(an_archive(("film.mp4", None)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_right_film_is_believed(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"film")
    check_film(tmp_path / "film.mp4", a_film(b"film"))


@pytest.mark.parametrize("content", [b"", b"fil", b"fi1m"])
def test_an_empty_cut_or_changed_film_is_no_success(tmp_path, content):
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(PermanentError, match="is not the film of the status"):
        check_film(tmp_path / "film.mp4", a_film(b"film"))


def test_a_film_that_did_not_come_is_no_success(tmp_path):
    with pytest.raises(PermanentError, match="did not come"):
        check_film(tmp_path / "film.mp4", a_film(b"film"))


def test_the_reader_gets_the_steps_image_and_place_but_no_secret_no_token_and_no_right_to_write():
    pod = _pod_settings(STEP_POD, folder="projects/x-12345678", image=None)
    container = pod["containers"][0]
    assert container["image"] == "localhost/videotask-video-assembly:1"
    assert container["volumeMounts"] == [
        {"name": "channel", "mountPath": "/volume", "subPath": "projects/x-12345678", "readOnly": True}
    ]
    assert [volume["name"] for volume in pod["volumes"]] == ["channel"]
    assert "env" not in container
    assert "serviceAccountName" not in pod
    assert pod["automountServiceAccountToken"] is False
    assert pod["nodeSelector"] == {"disk": "fast"}
