#!/bin/sh
# Runs a command with Podman as the engine at the usual socket, in a network, mounts and a folder for temporary files of its own, so that
# it meets neither the machine's engine nor its networks. It needs root, podman, catatonit and iptables.
#
#   worker/tests/podman.sh cargo nextest run --workspace -E "$(worker/tests/podman.sh --filter)"
#
# Tests that use no engine (rooms, executors::process) and those that start their own Podman are not in the filter.
# In:  a command; or --filter, --cannot and --list, which print a filter of nextest for the tests that run here, one for the tests that
#      cannot pass, and these with their reasons. Out: the command's exit code. Podman's log is in the folder PODMAN_LOGS, if that is set.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
list=$here/podman.txt

fail() { echo "podman.sh: $*" >&2; exit 3; }
names() { sed -n 's/^\([a-z_:]*\)  *.*/test(=\1)/p' "$list" | paste -s -d '|'; }

case ${1:-} in
  --filter) echo "package(worker) & binary(worker) - test(/^(podman|rooms)::/) - test(/^executors::process::/) - ($(names))"; exit ;;
  --cannot) echo "package(worker) & binary(worker) & ($(names))"; exit ;;
  --list) cat "$list"; exit ;;
  --inside) shift; folder=$1; shift ;;
  "") fail "give a command" ;;
  *)
    [ "$(id -u)" = 0 ] || fail "only root can run an engine"
    for program in podman iptables ip unshare; do command -v "$program" >/dev/null 2>&1 || fail "$program is missing"; done
    folder=$(mktemp -d /var/tmp/asman-podman.XXXXXX)
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    code=0
    unshare --net --mount "$0" --inside "$folder" "$@" || code=$?
    [ -z "${PODMAN_LOGS:-}" ] || cp "$folder/log" "$PODMAN_LOGS/podman.log"
    exit $code
    ;;
esac

mkdir -p "$folder/networks" "$folder/addresses" "$folder/tmp" /var/lib/cni /etc/cni/net.d
# Some tests run as another user.
chmod 755 "$folder"
chmod 1777 "$folder/tmp"
mount -t tmpfs -o mode=755 none /run
mount --bind "$folder/addresses" /var/lib/cni
mount --bind "$folder/networks" /etc/cni/net.d
ip link set lo up
# Commands of the tests set no limits, and Podman's own ones are above what a root without all capabilities may set.
files=$(ulimit -Hn) processes=$(cat /proc/sys/kernel/pid_max)
cat >"$folder/containers.conf" <<C
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
runtime="runc"
C
# The registries of the tests have no TLS.
printf '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n' >"$folder/registries.conf"
unset DOCKER_HOST
export TMPDIR="$folder/tmp"
(
  export CONTAINERS_CONF="$folder/containers.conf" CONTAINERS_REGISTRIES_CONF="$folder/registries.conf"
  cd /
  # Without a named storage driver, Podman's clean-up after a container takes its own database for another one's.
  exec podman --log-level "${PODMAN_LOG:-warn}" --root "$folder/root" --runroot /run/podman --tmpdir /run/podman-tmp --storage-driver overlay --cgroup-manager cgroupfs \
    system service --time=0 unix:///run/docker.sock >"$folder/log" 2>&1
) &
service=$!
tries=0
until [ -S /run/docker.sock ]; do
  tries=$((tries + 1))
  [ $tries -le 150 ] || { cat "$folder/log" >&2; fail "Podman does not start"; }
  sleep 0.2
done
chmod 660 /run/docker.sock
code=0
"$@" || code=$?
# Containers that a failed test left run on without the service.
podman --root "$folder/root" --runroot /run/podman --tmpdir /run/podman-tmp --storage-driver overlay --cgroup-manager cgroupfs \
  rm --all --force --time 0 >/dev/null 2>&1 || true
kill $service 2>/dev/null || true
wait $service 2>/dev/null || true
umount "$folder/root/overlay" 2>/dev/null || true
exit $code
