#!/usr/bin/env bash
# Three hosts of one network on this machine, for the tests marked `ray`: network namespaces kit-1, kit-2 and kit-3 with the
# addresses 10.77.0.1 to 10.77.0.3 on one bridge. Run as root. `tests/three_hosts.sh stop` removes them.
set -euo pipefail
stop() {
    for n in 1 2 3; do
        ip link del "kit-out-$n" 2> /dev/null || true  # goes with its namespace, but only when that is empty
        ip netns del "kit-$n" 2> /dev/null || true
    done
    ip link del kit-bridge 2> /dev/null || true
}
stop
if [ "${1:-start}" = stop ]; then exit 0; fi
ip link add kit-bridge type bridge
ip link set kit-bridge up
for n in 1 2 3; do
    ip netns add "kit-$n"
    ip link add "kit-out-$n" type veth peer name kit0 netns "kit-$n"
    ip link set "kit-out-$n" master kit-bridge up
    ip -n "kit-$n" addr add "10.77.0.$n/24" dev kit0
    ip -n "kit-$n" link set lo up
    ip -n "kit-$n" link set kit0 up
done
