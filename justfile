# Every command that people and CI use. `./x <recipe>` first gets what the recipe needs; `just <recipe>` expects it there.

set shell := ["sh", "-eu", "-c"]

cache := env("XDG_CACHE_HOME", env("HOME") / ".cache") / "asman"

# Outside the checkout, so that every clone of this machine shares one.
export CARGO_TARGET_DIR := env("CARGO_TARGET_DIR", cache / "target")

# List the recipes.
default:
    @{{ just_executable() }} --list --unsorted

# Run everything on this machine, http://localhost:8000. `./x up` also runs a first job.
[group('run')]
[positional-arguments]
up *args: build
    @exec .bin/asman up "$@"

# Stop what `up` started.
[group('run')]
[positional-arguments]
down *args: build
    @.bin/asman down "$@"

# Say what this machine lacks and how to get it.
[group('run')]
[positional-arguments]
doctor *args: build
    @.bin/asman doctor "$@"

# Run any command of the program: `just asman job list local`.
[group('run')]
[no-exit-message]
[positional-arguments]
asman *args: build
    @.bin/asman "$@"

# Build the web client, which becomes part of the program; does nothing when it is up to date.
[group('run')]
web:
    @web/build.sh

# Without optimisation: a first start after three minutes of compiling beats one after fifteen.
[private]
build: web
    @cargo build --bin asman
    @mkdir -p .bin && ln -sf "$CARGO_TARGET_DIR/debug/asman" .bin/asman

# What CI checks before it tests, in CI's order.
[group('check')]
check: fmt lint doc links forbid types web-check

# Formatting.
[group('check')]
fmt:
    cargo fmt --all --check

# Lints, in tests too.
[group('check')]
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Documentation, private items too: every link in it must lead somewhere.
[group('check')]
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --document-private-items

# Each relative link of a Markdown file leads to a file, and each anchor to a heading.
[group('check')]
links:
    @docs/links.sh

# Licences, sources and known vulnerabilities of dependencies, by `deny.toml`. The list of vulnerabilities comes from the network.
[group('check')]
[positional-arguments]
deny *checks:
    cargo deny --workspace --locked check "$@"

# The web client's types of the wire are those of `protocol/`, and the golden messages have them.
[group('check')]
types:
    @cargo run --quiet -p protocol --features typescript --example wire | diff -u web/src/wire.ts - \
      || { echo "web/src/wire.ts is stale: run 'just wire'"; exit 1; }
    @web/build.sh --packages
    @if [ -d web/node_modules/typescript ]; then node protocol/golden/check.mjs web; else echo "NOT CHECKED: the golden messages' types"; fi

# Generate the web client's types of the wire, web/src/wire.ts, again.
[group('check')]
wire:
    cargo run --quiet -p protocol --features typescript --example wire > web/src/wire.ts

# Types, accessibility and unit tests of the web client.
[group('check')]
web-check:
    @web/build.sh --packages
    @if [ -d web/node_modules/svelte ]; then cd web && npm run --silent check && npm run --silent test; else echo "NOT CHECKED: the web client"; fi

# Words that must not be committed.
[group('check')]
forbid:
    ! grep -rniE 'todo!|dbg!|\bfixme\b' --include='*.rs' --include='*.sql' --include='*.sh' --include='*.ts' --include='*.svelte' \
      --exclude-dir=target --exclude-dir=node_modules --exclude-dir=dist .

# Tests on a PostgreSQL in RAM that is thrown away; `just test claim` runs those whose name holds `claim`.
[group('check')]
[positional-arguments]
test *filter: web
    cli/tests/postgres.sh cargo nextest run --workspace "$@"

# Ten thousand random definitions have the same ids in Rust, in SQL and on the page. Some minutes.
[group('check')]
ids:
    cli/tests/postgres.sh cargo nextest run -p api --run-ignored only -E 'test(ids::)'

# Screenshots of ten states of the web client, light and dark, desktop and phone, into web/shots.
[group('check')]
shots: web
    cli/tests/postgres.sh cargo nextest run -p cli --test browser --run-ignored only --no-capture shots

# What the web client costs: sizes, times, memory after a long log and after UPDATE_MINUTES (10) of quick updates.
[group('check')]
figures: web
    cli/tests/postgres.sh cargo nextest run -p cli --test browser --run-ignored only --no-capture figures

# Fuzz the API by its own description, on this machine only; FUZZ_MINUTES (20) bounds it.
[group('check')]
[positional-arguments]
test-fuzz *options: build
    SCHEMATHESIS="{{ cache }}/schemathesis/bin/schemathesis" cli/tests/postgres.sh api/tests/fuzz.sh "$PWD/.bin/asman" "$@"

# Files in a real object storage: Garage on this machine, 2 GiB through it. Some minutes.
[group('check')]
[positional-arguments]
test-s3 *filter:
    cli/tests/postgres.sh cargo nextest run -p cli --features s3-server --test s3 --no-capture "$@"

# 200 jobs of a queue that a worker of the existing kind and ours share; `just test` has a short form. Some minutes.
[group('check')]
test-fleet:
    cli/tests/postgres.sh cargo nextest run -p cli --test fleet --run-ignored only --no-capture

# PostgreSQL as people run it, at length: the server is killed 20 times behind PgBouncer 1.18 and behind one that knows prepared statements; fail-over, restore, rolling restart. Some minutes.
[group('check')]
[positional-arguments]
test-operation *filter:
    OPERATION_KILLS=20 cli/tests/postgres.sh cargo nextest run -p cli --test operation "$@"
    OPERATION_KILLS=20 PGBOUNCER="$(cli/tests/pgbouncer.sh)" cli/tests/postgres.sh cargo nextest run -p cli --test operation pooler "$@"

# Migrations, statements and the API on other servers: `just test-postgres 16 17 18`.
[group('check')]
[positional-arguments]
test-postgres *versions:
    for version in ${@:-16 17 18}; do \
      POSTGRES_BIN="$(cli/tests/server.sh "$version")" cli/tests/postgres.sh cargo nextest run -p migrations -p sql -p api -E 'not test(events_of_a_dump)'; \
    done

# The short form of it, for CI: the newest server, statements and some of the API. A newer server refuses the dump program of an older one.
[group('check')]
test-newest-postgres: web
    POSTGRES_BIN="$(cli/tests/server.sh 18)" cli/tests/postgres.sh cargo nextest run --workspace \
      -E '(package(migrations) & not test(events_of_a_dump)) | package(sql) | (binary(it) & package(api) & test(/routes::(health|submit|worker|job|jobs)|sql_users/))'

# The worker's tests on Podman, as root, without those that worker/tests/podman.txt names with their reasons. `just test-podman --cannot` runs these alone, and fails if one passes. Half an hour.
[group('check')]
[positional-arguments]
test-podman *filter:
    #!/bin/sh
    set -eu
    cargo test --no-run --quiet --workspace --test worker
    if [ "${1:-}" = --cannot ]; then
      shift
      worker/tests/podman.sh cargo nextest run --workspace --no-fail-fast --retries 0 -E "$(worker/tests/podman.sh --cannot)" "$@" 2>&1 | tee /dev/stderr \
        | if grep -q '^ *PASS '; then echo "these pass now: take them off worker/tests/podman.txt"; exit 1; fi
      exit
    fi
    worker/tests/podman.sh cargo nextest run --workspace --no-fail-fast -E "$(worker/tests/podman.sh --filter)" "$@"
    echo "These cannot pass on Podman and did not run:"
    worker/tests/podman.sh --list

# A thousand jobs of every kind while workers, API and engine are killed and restarted and a disk is full; SOAK_JOBS (1000) bounds it. Some minutes, as root.
[group('check')]
soak:
    cli/tests/postgres.sh cargo nextest run -p cli --test soak --run-ignored only --no-capture

# Measure on a PostgreSQL that commits to disk; some minutes, after an optimised build. Writes bench/RESULTS.md; `just bench job` measures container jobs alone.
[group('check')]
[positional-arguments]
bench *args:
    cargo build --release --bin asman --bin bench
    DURABLE=1 cli/tests/postgres.sh sh -c 'BENCH_DATABASE_URL=$TEST_DATABASE_URL exec "$CARGO_TARGET_DIR/release/bench" --output bench/RESULTS.md "$@"' bench "$@"

# Bring the database at DATABASE_URL to this program's schema.
[group('db')]
db-migrate: build
    @.bin/asman db migrate

# Which migrations the database at DATABASE_URL has.
[group('db')]
db-status: build
    @.bin/asman db status

# A PostgreSQL in RAM and a shell with TEST_DATABASE_URL set, for tests by hand; gone when the shell ends.
[group('db')]
db-shell:
    cli/tests/postgres.sh "${SHELL:-sh}"
