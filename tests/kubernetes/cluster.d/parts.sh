# The parts of Kubernetes, with their settings, and what a site has besides.
# Sourced by tests/kubernetes/cluster, never run.
# shellcheck shell=bash

start_control() {
    local pki="$RUN/pki"
    # In memory: nothing of it is wanted afterwards, and a disk that others use is slow.
    mountpoint -q "$RUN/etcd" || mount -t tmpfs -o mode=0700,size=1g slicerhub-etcd "$RUN/etcd"
    start etcd etcd --name "$NAME" --data-dir "$RUN/etcd/data" \
        --listen-client-urls "$ETCD" --advertise-client-urls "$ETCD" \
        --listen-peer-urls "$ETCD_PEERS" --initial-advertise-peer-urls "$ETCD_PEERS" \
        --initial-cluster "$NAME=$ETCD_PEERS" --client-cert-auth --trusted-ca-file "$pki/ca.crt" \
        --cert-file "$pki/server.crt" --key-file "$pki/server.key"
    # Pods and this machine reach it at the nodes' bridge, the network of the house does not.
    start apiserver "$BIN/kube-apiserver" \
        --bind-address="${ADDRESS[one]}" --advertise-address="${ADDRESS[one]}" --secure-port=6443 \
        --etcd-servers="$ETCD" --etcd-cafile="$pki/ca.crt" \
        --etcd-certfile="$pki/etcd-client.crt" --etcd-keyfile="$pki/etcd-client.key" \
        --tls-cert-file="$pki/server.crt" --tls-private-key-file="$pki/server.key" \
        --client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC \
        --enable-admission-plugins=NodeRestriction --allow-privileged=true \
        --service-cluster-ip-range="$SERVICES_RANGE" \
        --service-node-port-range="$TRAEFIK_PORT-$TRAEFIK_PORT" \
        --service-account-key-file="$pki/accounts.key" \
        --service-account-signing-key-file="$pki/accounts.key" \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
        --kubelet-certificate-authority="$pki/ca.crt" \
        --kubelet-client-certificate="$pki/kubelet-client.crt" \
        --kubelet-client-key="$pki/kubelet-client.key" \
        --kubelet-preferred-address-types=InternalIP
    until_ok "answer of the API server" api_answers
    start controller-manager "$BIN/kube-controller-manager" \
        --kubeconfig="$RUN/controller-manager.kubeconfig" \
        --secure-port=0 --leader-elect=false --use-service-account-credentials \
        --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/accounts.key" \
        --flex-volume-plugin-dir="$RUN/plugins" --pvclaimbinder-sync-period=1s --kube-api-qps=200 --kube-api-burst=400
    start scheduler "$BIN/kube-scheduler" --kubeconfig="$RUN/scheduler.kubeconfig" \
        --secure-port=0 --leader-elect=false --kube-api-qps=200 --kube-api-burst=400
    start volumes "$BIN/folder-volumes" --kubeconfig="$RUN/volumes.kubeconfig" \
        --root="$RUN/volumes" --name=slicerhub-test/folder
}

api_answers() { curl --silent --fail --noproxy '*' --cacert "$RUN/pki/ca.crt" \
    --cert "$RUN/pki/admin.crt" --key "$RUN/pki/admin.key" "https://${ADDRESS[one]}:6443/readyz"; }

start_node() {
    local node=$1 folder="$RUN/$1" pki="$RUN/pki" in_group
    mkdir -p "$folder"/{kubelet,logs,state}
    containerd_config "$folder" "$folder/root" "$node"
    # shellcheck disable=SC2016 # for the inner shell
    in_group=(sh -c 'echo $$ >"$0" && exec "$@"' "$GROUPS_AT$(group_of "$node")/parts/cgroup.procs")
    start "containerd-$node" "${in_group[@]}" env "PATH=$BIN:$PATH" \
        "$BIN/containerd" --config "$folder/containerd.toml"
    cat >"$folder/kubelet.yaml" <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ${ADDRESS[$node]}
healthzPort: 0
tlsCertFile: $pki/kubelet-server-$node.crt
tlsPrivateKeyFile: $pki/kubelet-server-$node.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$folder/containerd.sock
podLogsDir: $folder/logs
volumePluginDir: $RUN/plugins
# A pod that has changed is looked at then, and not when the second is over.
featureGates: {EventedPLEG: true}
cgroupDriver: cgroupfs
cgroupRoot: $(group_of "$node")
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [$DNS]
clusterDomain: cluster.local
# Room for hundreds of sessions that start at once.
maxPods: 400
eventRecordQPS: 50
serializeImagePulls: false
# The machine, its disk and its images are not this cluster's alone: nothing may be cleared away.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi}
CONFIG
    until_ok "answer of containerd" containerd_answers "$folder"
    start "kubelet-$node" "$BIN/kubelet" --config="$folder/kubelet.yaml" \
        --kubeconfig="$RUN/kubelet-$node.kubeconfig" --hostname-override="$node" \
        --node-ip="${ADDRESS[$node]}" --root-dir="$folder/kubelet"
    # It ends when its configuration changes.
    if ! running "proxy-$node"; then
        cat >"$folder/proxy.yaml" <<CONFIG
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $RUN/proxy.kubeconfig}
hostnameOverride: $node
clusterCIDR: $PODS_RANGE
nodePortAddresses: [127.0.0.0/8]
healthzBindAddress: ${ADDRESS[$node]}:10256
metricsBindAddress: ${ADDRESS[$node]}:10249
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0}
# A cluster of this size can be told at once.
iptables: {minSyncPeriod: 50ms, localhostNodePorts: true}
CONFIG
    fi
    start "proxy-$node" "$BIN/kube-proxy" --config="$folder/proxy.yaml"
}

# What enforces policies ends where its node is not known yet.
start_router() {
    local node=$1 name
    mkdir -p "$RUN/router"
    for name in iptables ip6tables iptables-restore ip6tables-restore; do
        ln -sfn "$here/own-chains" "$RUN/router/$name"
    done
    start "router-$node" env PATH="$RUN/router:$PATH" "$BIN/kube-router" --kubeconfig="$RUN/router.kubeconfig" \
        --hostname-override="$node" --run-firewall=true --run-router=false --run-service-proxy=false \
        --enable-ipv6=false --service-cluster-ip-range="$SERVICES_RANGE" \
        --service-node-port-range="$TRAEFIK_PORT-$((TRAEFIK_PORT + 1))" --health-port=0
}

# What a site has before the hub comes.
apply_rest() {
    local definitions="$ROOT/../shared/traefik/kubernetes-crd-definition-v1.yml" address
    if [ ! -r "$definitions" ]; then
        workdir
        definitions="$WORKDIR/traefik.yml"
        address=$(grep -o 'https://[^ ]*/kubernetes-crd-definition-v1.yml' \
            "$ROOT/deploy/guide/kubernetes.md" | head -n 1)
        if ! curl --silent --fail --location --max-time 15 --output "$definitions" "$address"; then
            definitions="$here/crds.yaml"
            say "ATTENTION: $address does not answer, so Traefik's kinds are the tests' own reading of"
            say "  them (tests/kubernetes/crds.yaml), and not what a site has. Its own can be put at"
            say "  ../shared/traefik/kubernetes-crd-definition-v1.yml, seen from the root of the project."
        fi
    fi
    say "applying Traefik, names, metrics and the storage class"
    kube apply --server-side --force-conflicts -f "$definitions" >/dev/null
    sed -e "s|DNS_ADDRESS|$DNS|" -e "s|DNS_IMAGE|$DNS_IMAGE|" -e "s|METRICS_IMAGE|$METRICS_IMAGE|" \
        "$here/system.yaml" | kube apply -f - -f "$here/storage.yaml" >/dev/null
    kube wait --for=condition=Established --timeout=60s -f "$definitions" >/dev/null
    sed "s/nodePort: .*/nodePort: $TRAEFIK_PORT/" "$here/traefik.yaml" | kube apply -f - >/dev/null
}
