#!/bin/sh
# Runs a command with a throw-away PostgreSQL: data in RAM, fsync off, a unix socket and no port.
#
#   cli/tests/postgres.sh cargo nextest run --workspace
#
# In:  a command; POSTGRES_BIN, a folder with initdb, pg_ctl and postgres, instead of the newest that is installed. Out: its exit code. The command finds TEST_DATABASE_URL: superuser, database `postgres`, in the form that
# sqlx and tokio-postgres both read. The cluster is stopped and removed however the command ends; what a kill -9 leaves is
# swept by the next run.
set -eu

fail() { echo "postgres.sh: $*" >&2; exit 3; }

# The newest server, 15 at least, or the one whose folder of programs POSTGRES_BIN names.
bin=${POSTGRES_BIN:-}
newest=14
[ -n "$bin" ] || for server in /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres "$(command -v postgres || true)"; do
  [ -x "$server" ] || continue
  version=$("$server" --version | sed 's/.*) //; s/[^0-9].*//')
  if [ "${version:-0}" -gt "$newest" ]; then newest=$version bin=$(dirname "$server"); fi
done
[ -n "$bin" ] || fail "PostgreSQL 15 or newer is missing; Debian and Ubuntu: apt-get install postgresql"

# PostgreSQL refuses to run as root.
user=
if [ "$(id -u)" = 0 ]; then
  user=nobody
  id postgres >/dev/null 2>&1 && user=postgres
fi
as_user() {
  if [ -z "$user" ]; then "$@"; else setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; fi
}
stop() { as_user "$bin/pg_ctl" -D "$1/data" -m immediate -s stop >/dev/null 2>&1 || true; }

base=/dev/shm
[ -d $base ] && [ -w $base ] || base=${TMPDIR:-/tmp}
# With DURABLE=1, for benchmarks: on disk, every commit synced, memory and write-ahead log as on a small server of its own.
[ -z "${DURABLE:-}" ] || base=/var/tmp
cd /

for left in "$base"/asman-test.*; do
  owner=$(cat "$left/owner" 2>/dev/null || true)
  if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then stop "$left"; rm -rf "$left"; fi
done

folder=$(mktemp -d "$base/asman-test.XXXXXX")
echo $$ >"$folder/owner"
[ -z "$user" ] || chown "$user" "$folder"
trap 'stop "$folder"; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

as_user "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N --no-instructions >"$folder/log" 2>&1 \
  || { cat "$folder/log" >&2; fail "initdb failed"; }
settings="-c listen_addresses= -c unix_socket_directories=$folder -c max_connections=300 -c shared_buffers=128MB
  -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum_naptime=10s -c max_wal_size=2GB"
[ -z "${DURABLE:-}" ] || settings="-c listen_addresses= -c unix_socket_directories=$folder -c max_connections=300
  -c shared_buffers=2GB -c max_wal_size=8GB -c checkpoint_timeout=30min -c wal_compression=lz4 -c autovacuum_naptime=10s"
as_user "$bin/pg_ctl" -D "$folder/data" -l "$folder/data/server.log" -s -w -o "$(echo $settings)" start \
  || { cat "$folder/data/server.log" >&2; fail "PostgreSQL did not start"; }

TEST_DATABASE_URL="postgres://postgres@$(echo "$folder" | sed 's,/,%2F,g')/postgres"
export TEST_DATABASE_URL
cd "$OLDPWD"
"$@"
