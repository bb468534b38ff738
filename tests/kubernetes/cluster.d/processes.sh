# The processes of the cluster's parts: starts, stops and finds them again.
# Sourced by tests/kubernetes/cluster, never run.
# shellcheck shell=bash

# A process by its number and the time of its start, for the number alone may be another's by now;
# nothing of one that has ended and only waits to be noticed.
identity() {
    awk -v pid="$1" '{ sub(/.*\) /, "") } $1 != "Z" { print pid, $20 }' "/proc/$1/stat" 2>/dev/null
}

running() {
    local pid started
    { read -r pid started <"$RUN/pids/$1"; } 2>/dev/null || return 1
    [ "$(identity "$pid")" = "$pid $started" ]
}

start() {
    local part=$1
    shift
    if running "$part"; then return; fi
    say "starting $part"
    local inside=()
    case $part in *-two) inside=(nsenter --net="/run/netns/$SPACE") ;; esac
    setsid ${inside[@]+"${inside[@]}"} "$@" >>"$RUN/logs/$part.log" 2>&1 </dev/null 7>&- 9>&- &
    # In one piece, or an interruption here would leave a process that nobody knows.
    identity $! >"$RUN/pids/.new" || true
    mv "$RUN/pids/.new" "$RUN/pids/$part"
}

# Every part that was started and not stopped.
started() { find "$RUN/pids" -type f -not -name '.*' -printf '%f\n'; }

# stop SIGNAL PART...: all at once.
stop() {
    local signal=$1 part pid deadline=$((SECONDS + 5))
    shift
    for part in "$@"; do
        if running "$part"; then
            read -r pid _ <"$RUN/pids/$part"
            kill "-$signal" -- "-$pid" 2>/dev/null || true
        fi
    done
    for part in "$@"; do
        while running "$part"; do
            if ((SECONDS >= deadline)); then
                read -r pid _ <"$RUN/pids/$part"
                kill -KILL -- "-$pid" 2>/dev/null || true
            fi
            sleep 0.1
        done
        rm -f "$RUN/pids/$part"
    done
}

# Waits until a command succeeds, unless one of the started parts ends.
until_ok() {
    local what=$1 deadline=$((SECONDS + WAIT_SECONDS)) part shown=$SECONDS
    shift
    until "$@" >/dev/null 2>&1; do
        for part in $(started); do
            running "$part" || {
                tail -n 15 "$RUN/logs/$part.log" >&2
                fail "$part of the cluster has ended." "Its whole log: $RUN/logs/$part.log"
            }
        done
        ((SECONDS < deadline)) ||
            fail "after $WAIT_SECONDS s there is still no $what." "The logs: $RUN/logs"
        if ((SECONDS - shown >= 15)); then
            shown=$SECONDS
            say "  ... waiting for $what"
        fi
        sleep 0.3
    done
}
