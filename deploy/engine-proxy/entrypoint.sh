#!/bin/bash
# engine-proxy controller|traefik: what may be asked depends on who asks.
#
# Starts as root without any capability but to change its own ids, and goes on as a user of no
# rights in the socket's group; which group that is only the running machine knows.
set -euo pipefail

socket=/var/run/docker.sock
role=${1:-}
case "$role" in
controller | traefik) ;;
*)
    echo "engine-proxy: say for whom: controller or traefik" >&2
    exit 64
    ;;
esac
[ -S "$socket" ] || {
    echo "engine-proxy: $socket is not the engine's socket. Mount it there." >&2
    exit 78
}

exec setpriv --reuid 10003 --regid "$(stat -c %g "$socket")" --clear-groups \
    --inh-caps=-all --no-new-privs \
    haproxy -db -f /etc/haproxy/common.cfg -f "/etc/haproxy/$role.cfg"
