#!/bin/sh
# Makes the database once and then becomes PostgreSQL. It must never overwrite a data folder or show the password.
#
# Environment, as the official image has it:
#   POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE)  needed for the first start alone
#   POSTGRES_USER      default videotask
#   POSTGRES_DB        default: the user's name
#   PGDATA             default /var/lib/postgresql/data/pgdata, on a volume that this user may write
# /tmp must be writable; with a read-only root mount an emptyDir there.
set -eu
umask 077

die() {
    echo "postgres: $*" >&2
    exit 1
}

case "${1:-}" in
    '' | -*) set -- postgres "$@" ;;
    postgres) ;;
    *) exec "$@" ;;
esac

user=${POSTGRES_USER:-videotask}
database=${POSTGRES_DB:-$user}
data=${PGDATA:?}
folder=$(dirname "$data")

# A user ID of the cluster's choosing has no name, and initdb asks for one.
whoami >/dev/null 2>&1 || die "user ID $(id -u) has no name in /etc/passwd; run as 65532, 999, 70 or 26"

if [ ! -s "$data/PG_VERSION" ]; then
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); fi
    [ -n "${POSTGRES_PASSWORD:-}" ] || die "POSTGRES_PASSWORD is empty and $data holds no database yet"
    mkdir -p "$folder" 2>/dev/null || true
    [ -w "$folder" ] || die "$folder cannot be written by user $(id -u); give the pod an fsGroup and mount a volume there"

    # Made beside its place and then renamed: a start that was cut short begins anew.
    unfinished=$data.unfinished
    rm -rf "$unfinished"
    password_file=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password_file"
    initdb --pgdata="$unfinished" --username="$user" --pwfile="$password_file" --auth=scram-sha-256 \
        --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --data-checksums >/dev/null
    rm -f "$password_file"
    # Every address is allowed to ask and none is believed without the password.
    printf '%s\n' 'local all all scram-sha-256' 'host all all all scram-sha-256' >"$unfinished/pg_hba.conf"
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE "%s" OWNER "%s";\n' "$database" "$user" |
            postgres --single -D "$unfinished" postgres >/dev/null
    fi
    sync
    mv "$unfinished" "$data"
    echo "postgres: made the database \"$database\" for \"$user\" in $data" >&2
fi
unset POSTGRES_PASSWORD POSTGRES_PASSWORD_FILE

# fsGroup lets the group write whatever a volume holds; PostgreSQL starts on nothing that others can write.
chmod 0700 "$data" || true

shift
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
