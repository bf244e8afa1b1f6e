#!/bin/sh
# Sends the API what its own description allows, and what it forbids, for FUZZ_MINUTES (20), on 127.0.0.1 only.
#
#   ./x test-fuzz            a PostgreSQL and an API of its own, thrown away afterwards
#   FUZZ_MINUTES=2 ./x test-fuzz
#   ./x test-fuzz --include-path-regex '^/f/' --seed 7
#
# In:  TEST_DATABASE_URL, the program at $1, further options of schemathesis. Out: 0 when nothing was found. A failure is an
# answer from 500 up, or a status, content type, header or body that the document does not describe, or a method that is not refused.
#
# Left out are the sockets and the event streams, which do not end and have tests of their own, and the old paths `/<queue>/...`:
# they have the handlers of `/q/<queue>/...`, and names that their description forbids reach other routes. Claims wait at most half a
# lease, which is one second here. Which requests are accepted and which refused is not checked: members that the document does
# not name are ignored on purpose.
set -eu
asman=$1
shift

folder=$(mktemp -d)
api=
trap '[ -z "$api" ] || kill "$api" 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

DATABASE_URL=$TEST_DATABASE_URL
export DATABASE_URL
"$asman" db migrate
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
"$asman" api --listen "127.0.0.1:$port" --lease 2s --task-queue-name tasks --blob-directory "$folder/blobs" >"$folder/api.log" 2>&1 &
api=$!
tries=0
until python3 -c "import urllib.request as r; r.urlopen('$url/readyz')" 2>/dev/null; do
  tries=$((tries + 1))
  [ $tries -le 100 ] && kill -0 "$api" || { cat "$folder/api.log" >&2; exit 3; }
  sleep 0.1
done

# Requests to other machines go to a proxy that does not exist. Redirects are checked and not followed.
cd "$folder"
code=0
fuzz() {
  seconds=$1
  shift
  http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 no_proxy=127.0.0.1 \
    "${SCHEMATHESIS:-schemathesis}" run "$url/openapi.json" --url "$url" \
    --max-time "$seconds" --request-timeout 40 --max-redirects 0 --continue-on-failure --warnings off --no-color \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method \
    "$@" || code=$?
}
unending='^/\{queue\}/|/(client|browser|worker|stream)$'
fuzz $((${FUZZ_MINUTES:-20} * 60)) --exclude-path-regex "$unending|/policy\$" "$@"
# Afterwards, because a queue with an owner answers 401 to nearly everything.
[ $# -gt 0 ] || fuzz 60 --include-path-regex '/policy$'
kill -0 "$api" 2>/dev/null || { echo "fuzz.sh: the API ended by itself" >&2; code=1; }
# Log lines about answers from 500 up.
grep -i 'a request failed\|panicked' "$folder/api.log" | sort | uniq -c | sort -rn | head -20 >&2 || true
exit $code
