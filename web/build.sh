#!/bin/sh
# Builds the web client into web/dist, unless that is newer than everything it is made of. `build.sh --packages` only gets the
# packages. Where Node.js is missing or too old it says so and what follows from it, and fails in CI.
set -eu
cd "$(dirname "$0")"

# Vite's minimum.
is_new_enough='const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
if ! command -v npm >/dev/null 2>&1 || ! node -e "$is_new_enough" 2>/dev/null; then
  echo "web: Node.js 20.19 or newer is missing, so browsers get a plain page; get it from https://nodejs.org" >&2
  [ -z "${CI:-}" ]
  exit
fi

stamp=node_modules/.package-lock.json
if [ ! -f "$stamp" ] || [ package-lock.json -nt "$stamp" ]; then
  echo "web: getting packages" >&2
  npm ci --silent --prefer-offline
  touch "$stamp"
fi
[ "${1:-}" != --packages ] || exit 0

newer=$(find . \( -name node_modules -o -name dist -o -name shots -o -name tests \) -prune -o -type f -newer dist/index.html -print 2>/dev/null | head -n 1)
if [ ! -f dist/index.html ] || [ -n "$newer" ]; then
  npm run --silent build -- --logLevel warn
fi
