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
[ "$role" = controller ] || [ -n "${SLICERHUB_INSTANCE:-}" ] || {
    echo "engine-proxy: say by SLICERHUB_INSTANCE whose containers Traefik may list" >&2
    exit 64
}
[ -S "$socket" ] || {
    echo "engine-proxy: $socket is not the engine's socket. Mount it there." >&2
    exit 78
}

# A container sees the socket that was there when it started. An engine that starts anew makes
# another, and with live-restore it lets its containers run meanwhile: then the one here is a file
# without a name. The proxy ends, and the engine starts it again with the new one. Not at once: what
# ends while the engine is still taking its containers over is started twice, and may be lost for it
# ("id already in use"). Nor at the engine's own question: with live-restore it asks nobody for his
# health any more.
# shellcheck disable=SC2016 # the inner shell's variables
exec setpriv --reuid 10003 --regid "$(stat -c %g "$socket")" --clear-groups \
    --inh-caps=-all --no-new-privs \
    bash -c '
        { while [ "$(stat -c %h "$1")" != 0 ]; do sleep 2; done; sleep 15; kill -USR1 1; } &
        exec haproxy -db -f /etc/haproxy/common.cfg -f "/etc/haproxy/$2.cfg"
    ' engine-proxy "$socket" "$role"
