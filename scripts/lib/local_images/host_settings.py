"""What a build borrows from this machine to reach the package index; it must never end up in an image."""

import configparser
import io
import os
import sys
from pathlib import Path

from local_cluster.commands import run
from local_cluster.errors import ClusterError

_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "retries", "timeout", "default-timeout")
_BUNDLE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def find_ca_bundle(asked: str | None) -> Path | None:
    """Return the CA bundle asked for, else the one this machine's environment names, else None.

    Raises ClusterError if the one asked for is not a file.
    """
    if asked:
        bundle = Path(asked)
        if not bundle.is_file():
            raise ClusterError(f"--ca-bundle: {asked} is not a file")
        return bundle
    named = (os.environ.get(variable) for variable in _BUNDLE_VARIABLES)
    return next((Path(path) for path in named if path and Path(path).is_file()), None)


def pip_configuration() -> str:
    """Return a pip.conf that says what this machine's pip says about where packages come from."""
    parser = configparser.ConfigParser(interpolation=None)
    parser["global"] = {**_from_pip(), **_from_environment()}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _from_pip() -> dict[str, str]:
    """Return the settings of pip's own files. `pip config list` prints lines such as global.timeout='60'."""
    listed = run([sys.executable, "-m", "pip", "config", "list"], check=False)
    settings = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        setting = name.rpartition(".")[2]
        if setting in _PIP_SETTINGS and not name.startswith(":env:"):
            settings[setting] = value.strip("'\"").replace("\\n", "\n\t")
    return settings


def _from_environment() -> dict[str, str]:
    variables = {setting: f"PIP_{setting.upper().replace('-', '_')}" for setting in _PIP_SETTINGS}
    return {setting: os.environ[name] for setting, name in variables.items() if os.environ.get(name)}
