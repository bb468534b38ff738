# What the cluster takes of this machine: ports, a network, rules, control groups; and gives back.
# Sourced by tests/kubernetes/cluster, never run.
# shellcheck shell=bash

# A port that is taken is told at once: everything that comes before its use takes minutes.
check_ports() {
    local line place port what taken
    running etcd && return
    for line in "${ADDRESS[one]}:6443 the API server" "127.0.0.1:22379 etcd" "127.0.0.1:22380 etcd" \
        "${ADDRESS[one]}:10250 the kubelet" "${ADDRESS[one]}:10256 kube-proxy" \
        "127.0.0.1:$TRAEFIK_PORT Traefik"; do
        place=${line%% *} what=${line#* } port=${place##*:}
        taken=$(ss --no-header --listening --tcp --numeric --processes "sport = :$port" |
            awk -v place="$place" -v any=":$port" '
                $4 == place || $4 == "0.0.0.0" any || $4 == "*" any || $4 == "[::]" any { print $4, $6; exit }')
        [ -z "$taken" ] || fail "port $port of this machine, which $what of the cluster needs, is taken." \
            "It is used by: $taken" "End that, or set SLICERHUB_TEST_TRAEFIK_PORT if it is Traefik's port."
    done
    for line in "$NODES_RANGE" "$PODS_RANGE" "$SERVICES_RANGE"; do
        taken=$(ip -4 route show root "$line" | sed "/ $BRIDGE \| sh-pods \| ${ADDRESS[two]} /d" | head -n 1)
        [ -z "$taken" ] || fail "this machine has a route into $line, which the cluster needs:" "$taken"
    done
}

inside() { nsenter --net="/run/netns/$SPACE" "$@"; }

# A bridge for the nodes, and the second node on it.
make_network() {
    ip link show "$BRIDGE" >/dev/null 2>&1 || ip link add "$BRIDGE" type bridge
    ip address replace "${ADDRESS[one]}/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    [ -e "/run/netns/$SPACE" ] || ip netns add "$SPACE"
    if ! inside ip link show eth0 >/dev/null 2>&1; then
        ip link delete sh-two 2>/dev/null || true
        ip link add sh-two type veth peer name eth0 netns "$SPACE"
    fi
    ip link set sh-two master "$BRIDGE" up
    inside ip address replace "${ADDRESS[two]}/24" dev eth0
    inside ip link set lo up
    inside ip link set eth0 up
    inside ip route replace default via "${ADDRESS[one]}"
    ip route replace "${PODS[two]}" via "${ADDRESS[two]}"
    inside sysctl --quiet --write net.ipv4.ip_forward=1
    sysctl --quiet --write net.ipv4.ip_forward=1
    make_rules
}

# By their comment they go with Kubernetes' own rules.
rule() {
    local table=$1 chain=$2
    shift 2
    iptables --wait --table "$table" --check "$chain" "$@" 2>/dev/null ||
        iptables --wait --table "$table" --append "$chain" "$@"
}

make_rules() {
    local range out comment=(--match comment --comment KUBE-SLICERHUB)
    out=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    for range in "$SERVICES_RANGE" "$PODS_RANGE"; do
        # An address is nobody's until kube-proxy has written its rules. Without this a connection to
        # it would leave by the default route, and where something out there answers, Traefik keeps
        # that connection for as long as it is used. After all other rules: not before, for what is
        # sent to a Service from here has left for a Pod by then.
        if [ -n "$out" ]; then
            rule mangle POSTROUTING --destination "$range" --out-interface "$out" "${comment[@]}" --jump DROP
        fi
    done
    # Docker lets nothing through but its own.
    for range in "$PODS_RANGE" "$NODES_RANGE"; do
        rule filter FORWARD --source "$range" "${comment[@]}" --jump ACCEPT
        rule filter FORWARD --destination "$range" "${comment[@]}" --jump ACCEPT
    done
}

# Takes Kubernetes' rules, chains and sets out of the machine's tables and touches no other's.
remove_rules() {
    local family table rules set
    for family in iptables ip6tables; do
        for table in filter nat mangle; do
            rules=$("$family-save" -t "$table" 2>/dev/null) || continue
            {
                echo "*$table"
                sed -n '/KUBE-/ s/^-A /-D /p' <<<"$rules"
                sed -n 's/^:\(KUBE-[^ ]*\) .*/-X \1/p' <<<"$rules"
                echo COMMIT
            } | "$family-restore" --wait --noflush
        done
    done
    if have ipset; then
        for set in $(ipset list -name | grep -E '^(inet6:)?(KUBE-|kube-router-)'); do ipset destroy "$set"; done
    fi
}

remove_network() {
    ip netns delete "$SPACE" 2>/dev/null || true
    for link in sh-two sh-pods "$BRIDGE"; do ip link delete "$link" 2>/dev/null || true; done
}

# Kubernetes changes these for the whole machine.
keep_sysctls() {
    [ -f "$RUN/sysctls" ] && return
    sysctl vm.overcommit_memory kernel.panic kernel.panic_on_oops net.ipv4.conf.all.route_localnet \
        net.ipv4.ip_forward >"$RUN/sysctls.new"
    mv "$RUN/sysctls.new" "$RUN/sysctls"
}

# A node's control group, in which all that it starts can be found again.
group_of() { echo "/slicerhub-$1"; }

# Where groups are listed: that of version 2, or one of the many of version 1.
GROUPS_AT=/sys/fs/cgroup
[ -f "$GROUPS_AT/cgroup.controllers" ] || GROUPS_AT=/sys/fs/cgroup/pids

make_groups() {
    local node at name
    for node in "${NODES[@]}"; do
        if [ "$GROUPS_AT" = /sys/fs/cgroup ]; then
            mkdir -p "$GROUPS_AT$(group_of "$node")"
            for at in "$GROUPS_AT" "$GROUPS_AT$(group_of "$node")"; do
                for name in cpu cpuset memory pids io; do
                    echo "+$name" >"$at/cgroup.subtree_control" 2>/dev/null || true
                done
            done
        else
            for at in /sys/fs/cgroup/*/; do
                at=${at%/}
                [ "$at" = /sys/fs/cgroup/unified ] && continue
                mkdir -p "$at$(group_of "$node")"
                for name in cpuset.cpus cpuset.mems; do
                    # It begins with none.
                    if [ -f "$at/$name" ]; then cat "$at/$name" >"$at$(group_of "$node")/$name"; fi
                done
            done
        fi
        mkdir -p "$GROUPS_AT$(group_of "$node")/parts"
    done
}

# Ends whatever runs in a node's group: the containers, and the shims that outlive containerd.
empty_group() {
    local at deadline=$((SECONDS + 20)) pids
    at="$GROUPS_AT$(group_of "$1")"
    [ -d "$at" ] || return 0
    while :; do
        mapfile -t pids < <(find "$at" -name cgroup.procs -exec cat {} + 2>/dev/null)
        ((${#pids[@]})) || break
        ((SECONDS < deadline)) || fail "these processes of the node $1 do not end: ${pids[*]}"
        kill -KILL "${pids[@]}" 2>/dev/null || true
        sleep 0.1
    done
    find /sys/fs/cgroup -depth -type d \( -path "*$(group_of "$1")" -o -path "*$(group_of "$1")/*" \) \
        -exec rmdir {} + 2>/dev/null || true
}
