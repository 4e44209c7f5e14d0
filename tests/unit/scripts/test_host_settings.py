"""What an image build borrows from the machine."""

import pytest

from local_cluster.errors import ClusterError
from local_images import host_settings


@pytest.fixture
def machine(monkeypatch):
    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for setting in host_settings._PIP_SETTINGS:
        monkeypatch.delenv(f"PIP_{setting.upper().replace('-', '_')}", raising=False)
    monkeypatch.setattr(host_settings, "run", lambda *_, **__: "global.index-url='https://pip.example/simple'\n")
    return monkeypatch


def test_the_settings_of_pips_files_reach_the_build(machine):
    assert "index-url = https://pip.example/simple" in host_settings.pip_configuration()


def test_the_environment_wins_over_pips_files(machine):
    machine.setenv("PIP_INDEX_URL", "https://other.example/100%simple")
    assert "index-url = https://other.example/100%simple" in host_settings.pip_configuration()


def test_the_bundle_asked_for_must_be_there(machine, tmp_path):
    with pytest.raises(ClusterError, match="is not a file"):
        host_settings.find_ca_bundle(str(tmp_path / "none.pem"))


def test_the_bundle_that_the_environment_names_is_found(machine, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    machine.setenv("SSL_CERT_FILE", str(bundle))
    assert host_settings.find_ca_bundle(None) == bundle
