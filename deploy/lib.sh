# Shared by deploy/up, deploy/down, deploy/test and deploy/lock. Sourced, never run.
# Everything here may be interrupted at any point and run again: it looks at what is there and
# does only what is missing.
# shellcheck shell=bash

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# What these scripts themselves must know; the same names and defaults as in compose.yaml, and the
# same order: the environment, then .env, then the default.
value_of() {
    local name=$1 value=${!1:-}
    if [ -z "$value" ] && [ -r "$ROOT/.env" ]; then
        value=$(sed -n "s/^[[:space:]]*$name=//p" "$ROOT/.env" | tail -n 1 | tr -d "\"'\r")
    fi
    echo "${value:-${2:-}}"
}
setting() {
    local value
    value=$(value_of "$1" "$2")
    export "$1=$value"
}
setting SLICERHUB_INSTANCE slicerhub
setting SLICERHUB_PORT 8080
setting SLICERHUB_BIND 127.0.0.1
setting SLICERHUB_DOMAIN localhost
setting SLICERHUB_NETWORK_POOL 10.231.0.0/16

# How Traefik comes by a certificate, if it ends TLS: "given", "acme", or nothing.
# shellcheck disable=SC2034 # for those who source this
case ":$(value_of COMPOSE_FILE):" in
*deploy/tls/given.yaml*) TLS=given ;;
*deploy/tls/acme.yaml*) TLS=acme ;;
*) TLS="" ;;
esac
# shellcheck disable=SC2034
TLS_PORT=$(value_of SLICERHUB_TLS_PORT 443)

LAST_FAILURE="${TMPDIR:-/tmp}/slicerhub-$(id -u)-last-failure.log"
OFFLINE_LABEL=slicerhub.offline-base
ENGINE_LOG=/var/log/dockerd.log
# How long an image registry may take until it says that it has the image. A pull that has begun
# may take as long as it needs.
REGISTRY_SECONDS=15
ENGINE_SECONDS=60
# The engine's process if this script launched it.
ENGINE_PID=""

# --- what the person at the terminal sees -------------------------------------------------------

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

fail() {
    printf '\n%s: %s\n' "$(basename "$0")" "$1" >&2
    shift
    local line
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

# The command that is running now, a process group of its own, for a shell that is interrupted
# does not take its background commands along.
JOB=""
stop_job() {
    if [ -n "$JOB" ]; then
        kill -- "-$JOB" 2>/dev/null || true
        wait "$JOB" 2>/dev/null || true
        JOB=""
    fi
}

# What a program said last, as far as it fits: of a bar that moves the last one, and no half letter.
last_words() { tail -c 2000 "$1" | tr '\r' '\n' | grep -a . | tail -n 1 | cut -b -100 | iconv -c -f UTF-8 -t UTF-8; }

# Runs a long command (a program, not a function) with its output in a log; shows a sign of life,
# and the log if it fails.
run_quietly() {
    local what=$1 log rc=0 since=$SECONDS shown=$SECONDS
    shift
    workdir
    log=$(mktemp "$WORKDIR/log.XXXXXX")
    say "$what"
    setsid "$@" >"$log" 2>&1 </dev/null 9>&- &
    JOB=$!
    while kill -0 "$JOB" 2>/dev/null; do
        if ((SECONDS - shown >= 15)); then
            shown=$SECONDS
            say "  ... still running ($((SECONDS - since)) s): $(last_words "$log")"
        fi
        sleep 0.2
    done
    wait "$JOB" || rc=$?
    JOB=""
    if ((rc != 0)); then
        cat "$log" >"$LAST_FAILURE"
        tail -n 40 "$log" >&2
        echo "(the whole output: $LAST_FAILURE)" >&2
    fi
    return "$rc"
}

# --- what must be there -------------------------------------------------------------------------

is_root() { [ "$(id -u)" -eq 0 ]; }

need_root() {
    is_root || fail "$1 needs root." "Run it once as root:  sudo $0"
}

have() { command -v "$1" >/dev/null 2>&1; }

have_python_venv() { have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }

# The files of one run that must not outlive it.
WORKDIR=""
workdir() {
    if [ -z "$WORKDIR" ]; then
        WORKDIR=$(mktemp -d -t slicerhub.XXXXXX)
    fi
}
leave_nothing() {
    stop_job
    if [ -n "$WORKDIR" ]; then rm -rf "$WORKDIR"; fi
}
trap leave_nothing EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# One run at a time prepares the machine; a second one waits for it.
lock_machine() {
    local file
    file="${XDG_RUNTIME_DIR:-/run/lock}/slicerhub-$(id -u).lock"
    { : >>"$file"; } 2>/dev/null || return 0
    exec 9>>"$file"
    flock -n 9 || { say "waiting for another run that is preparing this machine"; flock 9; }
}
unlock_machine() { exec 9>&-; }

need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    ((${#missing[@]} == 0)) && return 0
    have apt-get || fail "these packages are missing: ${missing[*]}" \
        "This script can install them on Debian and Ubuntu only. Install them and run it again."
    need_root "Installing ${missing[*]}"
    # Lists older than a day may name files that the mirror no longer has.
    if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 2>/dev/null | head -n 1)" ]; then
        run_quietly "reading the package lists" \
            apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 update ||
            fail "the package lists could not be read." "Check the network and /etc/apt/sources.list."
    fi
    run_quietly "installing ${missing[*]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -y \
        --no-install-recommends install "${missing[@]}" ||
        fail "installing ${missing[*]} failed." "The reason is above."
}

need_disk() {
    local gib=$1 path=/var/lib free
    if [ -d /var/lib/docker ]; then path=/var/lib/docker; fi
    free=$(df --output=avail -k "$path" | tail -n 1)
    ((free >= gib * 1024 * 1024)) || fail \
        "only $((free / 1024 / 1024)) GiB are free under $path; the images need $gib GiB." \
        "Free some space (docker image prune removes unused images) and run it again."
}

# --- the engine ---------------------------------------------------------------------------------

engine_answers() { timeout 10 docker info >/dev/null 2>&1; }

wait_for_engine() {
    local deadline=$((SECONDS + ENGINE_SECONDS))
    until engine_answers; do
        ((SECONDS < deadline)) || return 1
        if [ -n "$ENGINE_PID" ] && ! kill -0 "$ENGINE_PID" 2>/dev/null; then return 1; fi
        sleep 0.3
    done
}

start_engine() {
    need_root "Starting the Docker engine"
    if [ -d /run/systemd/system ]; then
        run_quietly "starting the Docker engine (systemd)" systemctl enable --now docker || true
        wait_for_engine || fail "the Docker engine does not start." "See:  journalctl -u docker"
        return
    fi
    if ! pgrep -x dockerd >/dev/null; then
        say "starting the Docker engine (log: $ENGINE_LOG)"
        launch_engine
    fi
    wait_for_engine && return
    if put_networks_aside; then
        launch_engine
        wait_for_engine && return
    fi
    fail "the Docker engine does not start." "See its log: $ENGINE_LOG"
}

launch_engine() {
    # A process file left by an engine that was killed keeps the next one from starting.
    rm -f /var/run/docker.pid
    # The lock's descriptor is closed, or the engine would hold the lock for ever.
    setsid nohup dockerd >>"$ENGINE_LOG" 2>&1 </dev/null 9>&- &
    ENGINE_PID=$!
}

# An engine that was killed while it wrote its list of networks can panic over a half-written one at
# each later start (libnetwork's reservePools; seen with 20.10). Without the list it starts, and the
# networks are made again by what uses them. False if the engine died of anything else.
put_networks_aside() {
    local list=/var/lib/docker/network/files/local-kv.db
    if [ ! -f "$list" ] || pgrep -x dockerd >/dev/null; then return 1; fi
    tail -n 50 "$ENGINE_LOG" | grep -aq 'libnetwork.*reservePools' || return 1
    mv "$list" "$list.broken"
    say "the engine could not read its list of networks, which is now at $list.broken"
}

ensure_engine() {
    local client
    if have docker && engine_answers; then return; fi
    if [ -n "${DOCKER_HOST:-}" ]; then
        fail "the Docker engine at $DOCKER_HOST does not answer." \
            "Start it, or unset DOCKER_HOST to use this machine's own."
    fi
    if have docker && [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
        fail "you may not talk to the Docker engine of this machine." \
            "Run  sudo $0  or have yourself added to the group that owns /var/run/docker.sock."
    fi
    if ! have dockerd; then need_packages docker.io iptables; fi
    # Debian 13 has the client in a package of its own.
    if ! have docker; then
        client=$(installable docker-cli docker-ce-cli)
        if [ -n "$client" ]; then need_packages "$client"; fi
    fi
    have docker || fail "the Docker engine is installed, but its client 'docker' is not." \
        "Install it (Debian 13: apt-get install docker-cli) and run this again."
    start_engine
}

# --- the Compose plugin -------------------------------------------------------------------------

compose_answers() { docker compose version >/dev/null 2>&1; }

# The first of the given packages that this machine's package lists offer and can install.
installable() {
    local package
    for package in "$@"; do
        if apt-get install --simulate --no-install-recommends "$package" >/dev/null 2>&1; then
            echo "$package"
            return
        fi
    done
}

ensure_compose() {
    compose_answers && return
    local package=""
    if is_root && have apt-get; then
        # Docker's own package, then Ubuntu's.
        package=$(installable docker-compose-plugin docker-compose-v2)
        if [ -n "$package" ]; then need_packages "$package"; fi
    fi
    compose_answers && return
    have_python_venv || need_packages python3 python3-venv
    run_quietly "fetching the Compose plugin" "$ROOT/deploy/offline/get-compose" ||
        fail "the Compose plugin could not be fetched." \
            "Install it as https://docs.docker.com/compose/install/linux/ says and run this again."
    compose_answers || fail "the Compose plugin was installed, but 'docker compose version' fails."
}

# --- base images --------------------------------------------------------------------------------

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

REGISTRY=unknown
IMAGES_LOCK="$ROOT/deploy/images.lock"

# The digest that the lock names for an image, if any: a tag may mean something else tomorrow.
locked_digest() {
    [ -r "$IMAGES_LOCK" ] || return 0
    awk -v image="$1" '$1 == image && $2 ~ /^sha256:[0-9a-f]+$/ {print $2}' "$IMAGES_LOCK"
}

# Pulls an image; false if the registry does not answer. A registry that is cut off must not hold
# anybody up, so the pull is given up when it has not begun in time.
pull_image() {
    local image=$1 source=$1 digest log deadline
    [ "$REGISTRY" = silent ] && return 1
    digest=$(locked_digest "$image")
    if [ -n "$digest" ]; then
        source=${image%:*}@$digest
    else
        say "no digest is locked for $image; deploy/lock writes them down where a registry answers"
    fi
    workdir
    log="$WORKDIR/pull.log"
    : >"$log"
    say "asking the image registry for $image"
    setsid docker pull "$source" >"$log" 2>&1 </dev/null 9>&- &
    JOB=$!
    deadline=$((SECONDS + REGISTRY_SECONDS))
    while kill -0 "$JOB" 2>/dev/null; do
        if ((SECONDS >= deadline)) && ! grep -q 'Pulling from' "$log"; then
            kill -- "-$JOB" 2>/dev/null || true
            break
        fi
        sleep 0.2
    done
    if wait "$JOB" 2>/dev/null; then
        JOB=""
        # What is built and started asks for the tag.
        if [ -n "$digest" ]; then docker tag "$source" "$image"; fi
        return 0
    fi
    JOB=""
    REGISTRY=silent
    say "  no: $(tail -n 1 "$log" | cut -c -160)"
    return 1
}

ensure_debian() {
    have_image debian:bookworm-slim && return
    pull_image debian:bookworm-slim && return
    need_root "Making the base image debian:bookworm-slim without an image registry"
    need_packages mmdebstrap debian-archive-keyring
    run_quietly "making debian:bookworm-slim from Debian's packages (about a minute)" \
        "$ROOT/deploy/offline/make-debian" "$OFFLINE_LABEL" ||
        fail "the base image debian:bookworm-slim could not be made."
}

ensure_base() {
    local name=$1 image=$2
    have_image "$image" && return
    pull_image "$image" && return
    ensure_debian
    # The classic builder, for the engine may have no other.
    run_quietly "making $image from Debian's and Python's packages" env DOCKER_BUILDKIT=0 \
        docker build --label "$OFFLINE_LABEL=$name" -t "$image" "$ROOT/deploy/offline/$name" ||
        fail "the base image $image could not be made."
}

ensure_base_images() {
    ensure_debian
    ensure_base python python:3.11-slim-bookworm
    ensure_base traefik traefik:v3.7
}

# --- Python for the tests -----------------------------------------------------------------------

CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/slicerhub"

# An empty virtual environment, unless one is there.
ensure_venv() {
    [ -x "$1/bin/pip" ] && return
    have_python_venv || need_packages python3 python3-venv
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed; python3 is $(python3 --version)."
    mkdir -p "$CACHE"
    rm -rf "$1"
    python3 -m venv "$1"
}

# The virtual environment of the tests: exactly what the lock file names. The project itself is found
# by PYTHONPATH, so that all checkouts share one. Says in VENV where it is.
venv_of_tests() {
    local key
    key=$( (cat "$ROOT/tests/requirements.lock"; python3 --version) | sha256sum | cut -c -16)
    VENV="$CACHE/venv-$key"
}

ensure_test_venv() {
    venv_of_tests
    if [ ! -f "$VENV/.complete" ]; then
        rm -rf "$VENV"
        ensure_venv "$VENV"
        run_quietly "installing what the tests need (some minutes, once)" \
            "$VENV/bin/pip" install --no-deps --require-hashes -r "$ROOT/tests/requirements.lock" ||
            fail "the tests' packages could not be installed."
        touch "$VENV/.complete"
    fi
}
