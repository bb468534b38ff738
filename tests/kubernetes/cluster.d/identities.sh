# Keys, certificates and kubeconfigs of the cluster's own authority.
# Sourced by tests/kubernetes/cluster, never run.
# shellcheck shell=bash

# sign NAME SUBJECT [ALTERNATIVE-NAMES]: a key and a certificate of the cluster's own authority.
sign() {
    local name="$RUN/pki/$1" names=${3:-}
    [ -f "$name.crt" ] && return
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$2" \
        -keyout "$name.key" -out "$name.csr" 2>/dev/null
    openssl x509 -req -in "$name.csr" -CA "$RUN/pki/ca.crt" -CAkey "$RUN/pki/ca.key" -CAcreateserial \
        -days 3650 -out "$name.new" -extfile <(printf '%s' "${names:+subjectAltName=$names}") 2>/dev/null
    mv "$name.new" "$name.crt"
}

# identify NAME SUBJECT: a kubeconfig with a certificate for that user.
identify() {
    local name=$1 file="$RUN/$1.kubeconfig"
    sign "$name" "$2"
    cat >"$file.new" <<CONFIG
apiVersion: v1
kind: Config
current-context: $NAME
contexts:
  - name: $NAME
    context: {cluster: $NAME, user: $name}
clusters:
  - name: $NAME
    cluster:
      server: https://${ADDRESS[one]}:6443
      certificate-authority-data: $(base64 -w 0 "$RUN/pki/ca.crt")
users:
  - name: $name
    user:
      client-certificate-data: $(base64 -w 0 "$RUN/pki/$name.crt")
      client-key-data: $(base64 -w 0 "$RUN/pki/$name.key")
CONFIG
    mv "$file.new" "$file"
}

make_identities() {
    local pki="$RUN/pki" node
    if [ ! -f "$pki/ca.crt" ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
            -subj "/CN=slicerhub-test" -keyout "$pki/ca.key" -out "$pki/ca.new" 2>/dev/null
        mv "$pki/ca.new" "$pki/ca.crt"
    fi
    [ -f "$pki/accounts.key" ] ||
        openssl ecparam -name prime256v1 -genkey -noout -out "$pki/accounts.key"
    sign server "/CN=kube-apiserver" "IP:${ADDRESS[one]},IP:127.0.0.1,IP:$FIRST_SERVICE,$(printf 'DNS:%s,' \
        kubernetes kubernetes.default kubernetes.default.svc)DNS:kubernetes.default.svc.cluster.local"
    sign etcd-client "/CN=etcd-client"
    sign kubelet-client "/O=system:masters/CN=kubelet-client"
    identify admin "/O=system:masters/CN=admin"
    identify controller-manager "/CN=system:kube-controller-manager"
    identify scheduler "/CN=system:kube-scheduler"
    sign front-proxy "/CN=front-proxy"
    identify volumes "/O=system:masters/CN=volumes"
    for node in "${NODES[@]}"; do
        identify "kubelet-$node" "/O=system:nodes/CN=system:node:$node"
        sign "kubelet-server-$node" "/CN=$node" "DNS:$node,IP:${ADDRESS[$node]}"
    done
    identify proxy "/CN=system:kube-proxy"
    identify router "/O=system:masters/CN=router"
}
