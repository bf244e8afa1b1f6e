#!/bin/sh
# Builds a PgBouncer that knows prepared statements (1.21 or newer; Debian 12 has 1.18) and prints its path. Some minutes, once.
#
# The source is Debian 13's, from the mirror that this machine uses already. Needs a C compiler, make, pkg-config and libevent.
set -eu

fail() { echo "pgbouncer.sh: $*" >&2; exit 3; }

folder=${TMPDIR:-/var/tmp}/asman-pgbouncer
if [ -x "$folder/pgbouncer" ]; then
  echo "$folder/pgbouncer"
  exit
fi
command -v apt-get >/dev/null 2>&1 || fail "the source is Debian's; build PgBouncer 1.21 or newer yourself and name it in PGBOUNCER"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)
[ -n "$mirror" ] || fail "no Debian mirror is configured on this machine; build PgBouncer 1.21 or newer yourself and name it in PGBOUNCER"
new=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$new"' EXIT
mkdir -p "$new/lists/partial" "$new/source"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb-src [signed-by=$keys] $mirror trixie main" >"$new/sources.list"
(
  cd "$new/source"
  set -- -qq -o Dir::Etc::SourceList="$new/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$new/lists"
  apt-get "$@" update
  apt-get "$@" source --download-only pgbouncer
  tar xzf pgbouncer_*.orig.tar.gz --strip-components=1
  ./configure --without-openssl --without-cares
  make pgbouncer
) >"$folder.log" 2>&1 || fail "it could not be built; see $folder.log"
chmod 755 "$new"
cp "$new/source/pgbouncer" "$new/pgbouncer"
rm -rf "$folder" "$new/source" "$new/lists"
mv "$new" "$folder"
trap - EXIT
echo "$folder/pgbouncer"
