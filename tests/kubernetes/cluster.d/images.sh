# The images of the nodes: their containerd, the store that both share, and what is made here.
# Sourced by tests/kubernetes/cluster, never run.
# shellcheck shell=bash

containerd_config() {
    local folder=$1 root=$2 node=$3
    mkdir -p "$folder/net.d" "$RUN/registries/_default"
    # Nothing is fetched: an image that is not there is missing at once.
    printf 'server = "http://127.0.0.1:1"\n' >"$RUN/registries/_default/hosts.toml"
    cat >"$folder/containerd.toml" <<CONFIG
version = 3
root = "$root"
state = "$folder/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs"]
[grpc]
address = "$folder/containerd.sock"
[ttrpc]
address = "$folder/containerd.sock.ttrpc"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "docker.io/$PAUSE_IMAGE"
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = "$RUN/registries"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "$folder/net.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "runc"
SystemdCgroup = false
CONFIG
    [ -n "$node" ] || return 0
    cat >"$folder/net.d/10-pods.conflist" <<CONFIG
{"cniVersion": "1.0.0", "name": "slicerhub-$node", "plugins": [
  {"type": "bridge", "bridge": "sh-pods", "isGateway": true, "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "$folder/addresses",
    "ranges": [[{"subnet": "${PODS[$node]}"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
CONFIG
}

containerd_answers() { "$RUN/bin/ctr" --address "$1/containerd.sock" version; }

image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null; }

# lacking FOLDER IMAGE...: those that are not there as the engine has them.
lacking() {
    local folder=$1 image
    shift
    for image in "$@"; do
        grep -qsxF "$image $(image_id "$image")" "$folder/images" || echo "$image"
    done
}

# note FOLDER IMAGE...: they are there.
note() {
    local folder=$1 image
    shift
    {
        grep -sv "^\($(printf '%s\\|' "$@")-\) " "$folder/images" || true
        for image in "$@"; do echo "$image $(image_id "$image")"; done
    } >"$folder/images.new"
    mv "$folder/images.new" "$folder/images"
}

take_images() { "$RUN/bin/ctr" --address "$1/containerd.sock" --namespace k8s.io images import "$2" >/dev/null; }

# Imports what is missing into the store, by a containerd that has nothing else to do.
fill_store() {
    local missing folder="$RUN/store"
    mapfile -t missing < <(lacking "$STORE" "$@")
    ((${#missing[@]})) || return 0
    mkdir -p "$STORE/root" "$folder"
    containerd_config "$folder" "$STORE/root" ""
    start containerd-store "$BIN/containerd" --config "$folder/containerd.toml"
    until_ok "answer of containerd" containerd_answers "$folder"
    say "importing ${missing[*]}"
    docker save "${missing[@]}" | take_images "$folder" - || fail "the images could not be imported."
    note "$STORE" "${missing[@]}"
    stop TERM containerd-store
}

# A node's images are the store's: what is there is never written to again, but the lists are.
seed_node() {
    local root="$RUN/$1/root" list
    [ -d "$root" ] && return
    rm -rf "$root.new"
    mkdir -p "$RUN/$1"
    cp -al "$STORE/root" "$root.new"
    while read -r list; do
        cp --remove-destination "$STORE/root/$list" "$root.new/$list"
    done < <(cd "$STORE/root" && find . -name '*.db')
    cp "$STORE/images" "$RUN/$1/images"
    mv "$root.new" "$root"
}

load() {
    local missing image node other rc=0
    if [ -n "${KUBECONFIG:-}" ]; then
        say "the cluster of KUBECONFIG must come by these images itself: $*"
        return
    fi
    if ! { running containerd-one && running containerd-two; }; then
        fail "there is no cluster." "Start it:  $0 up"
    fi
    for image in "$@"; do have_image "$image" || fail "the Docker engine has no image $image."; done
    exec 5>>"$RUN/load.lock"
    flock 5
    mapfile -t missing < <({
        lacking "$RUN/one" "$@"
        lacking "$RUN/two" "$@"
    } | sort -u)
    ((${#missing[@]})) || return 0
    workdir
    # Read once, for both.
    mkfifo "$WORKDIR/images"
    take_images "$RUN/two" - <"$WORKDIR/images" &
    other=$!
    docker save "${missing[@]}" | tee "$WORKDIR/images" | take_images "$RUN/one" - || rc=$?
    wait "$other" || rc=$?
    ((rc == 0)) || fail "the images could not be imported: ${missing[*]}"
    for node in "${NODES[@]}"; do note "$RUN/$node" "${missing[@]}"; done
}

# kill_container NAMESPACE POD CONTAINER
kill_container() {
    local node found ctr
    for node in "${NODES[@]}"; do
        ctr=("$RUN/bin/ctr" --address "$RUN/$node/containerd.sock" --namespace k8s.io)
        for found in $("${ctr[@]}" containers list --quiet \
            "labels.\"io.kubernetes.pod.namespace\"==$1,labels.\"io.kubernetes.pod.name\"==$2,labels.\"io.kubernetes.container.name\"==$3"); do
            # Those that ended before are there, too.
            if "${ctr[@]}" tasks kill --signal SIGKILL "$found" 2>/dev/null; then return; fi
        done
    done
    fail "no such container runs: $*"
}

ensure_pause_image() {
    have_image "$PAUSE_IMAGE" && return
    workdir
    local folder="$WORKDIR/pause"
    mkdir -p "$folder"
    cat >"$folder/pause.c" <<'SOURCE'
/* Holds a pod's network: waits, reaps whoever is left to it, and ends when it is told to. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int signal) { _exit(signal ? 0 : 1); }
static void reap(int signal) { while (waitpid(-1, 0, WNOHANG) > 0 && signal) {} }
int main(void) {
    signal(SIGINT, leave); signal(SIGTERM, leave); signal(SIGCHLD, reap);
    for (;;) pause();
}
SOURCE
    gcc -O2 -static -o "$folder/pause" "$folder/pause.c"
    printf 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n' >"$folder/Dockerfile"
    run_quietly "making the image $PAUSE_IMAGE" env DOCKER_BUILDKIT=0 \
        docker build -t "$PAUSE_IMAGE" "$folder" || fail "the image $PAUSE_IMAGE could not be made."
}

# ensure_image_of PROGRAM IMAGE: an image with nothing but a program of ours.
ensure_image_of() {
    have_image "$2" && return
    workdir
    local folder="$WORKDIR/$1"
    mkdir -p "$folder"
    cp "$BIN/$1" "$folder/"
    printf 'FROM scratch\nCOPY %s /%s\nUSER 65534:65534\nENTRYPOINT ["/%s"]\n' "$1" "$1" "$1" >"$folder/Dockerfile"
    run_quietly "making the image $2" env DOCKER_BUILDKIT=0 \
        docker build -t "$2" "$folder" || fail "the image $2 could not be made."
}
