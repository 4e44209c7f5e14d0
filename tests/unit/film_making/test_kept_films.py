"""What lies in films/ is the film of the status, whole; a bad or cut copy is never left there."""

from __future__ import annotations

import hashlib

import pytest

from film_making import results
from film_making.failure import FilmError


def film_status(content):
    return {"sha256": hashlib.sha256(content).hexdigest(), "sizeBytes": len(content)}


@pytest.fixture
def films(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FILMS", tmp_path / "films")
    return tmp_path / "films"


@pytest.mark.parametrize("content", [b"", b"a fil", b"a-film"])
def test_a_film_that_is_not_the_one_of_the_status_is_not_left_among_the_films(films, tmp_path, content):
    source = tmp_path / "film.mp4"
    source.write_bytes(content)
    with pytest.raises(FilmError, match="is not the film the status names"):
        results.copy_film(source, name="heron", film=film_status(b"a film"))
    assert list(films.iterdir()) == []


def test_the_right_film_is_kept_under_its_name(films, tmp_path):
    source = tmp_path / "film.mp4"
    source.write_bytes(b"a film")
    kept = results.copy_film(source, name="heron", film=film_status(b"a film"))
    assert [kept] == list(films.iterdir())
    assert (kept.name, kept.read_bytes()) == ("heron.mp4", b"a film")
