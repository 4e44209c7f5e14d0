#!/bin/sh
# Installs the locked packages of /build/requirements.txt into /opt/venv, inside an image build. What the host lends for it
# (a CA bundle, pip's settings) comes as build secrets and must never stay in a layer.
set -eu
umask 022
[ ! -f /run/secrets/pip.conf ] || export PIP_CONFIG_FILE=/run/secrets/pip.conf
[ ! -f /run/secrets/ca.pem ] || export PIP_CERT=/run/secrets/ca.pem SSL_CERT_FILE=/run/secrets/ca.pem
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

python3 -m venv /tmp/pip
python3 -m venv --without-pip /opt/venv
/tmp/pip/bin/pip --python /opt/venv/bin/python install --quiet --no-compile --no-cache-dir --require-hashes "$@" \
    -r /build/requirements.txt
rm -rf /tmp/pip

packages=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
find "$packages" -depth -type d \( -name tests -o -name test -o -name include -o -name docs -o -name examples \) \
    -not -path '*/numpy/_core/tests' -exec rm -rf {} +
find "$packages" \( -name '*.a' -o -name '*.pyi' -o -name '*.c' -o -name '*.pyx' -o -name '*.pxd' \) -delete
# A read-only root could never keep what Python compiles at its first start: compile now, and never look at the times.
/opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$packages" || true
