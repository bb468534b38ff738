#!/bin/bash
# Starts the demo directory. At the first start it makes an authority and a certificate of its own
# and fills the directory; a start that was cut short is begun again.
set -euo pipefail
umask 077

run=/tmp/slapd
tls=/var/lib/ldap-tls
ca=/run/ldap-ca/ca.crt
data=/var/lib/ldap
local_socket="ldapi://${run//\//%2F}%2Fldapi"

# A certificate with less than a month to live is as good as none.
valid() { openssl x509 -in "$1" -noout -checkend $((30 * 86400)) >/dev/null 2>&1; }

make_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -sha256 -days 3650 \
        -subj "/CN=Demo directory's authority" -keyout "$tls/ca.key.new" -out "$tls/ca.crt.new" \
        -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
    rm -f "$tls/server.crt"
    mv "$tls/ca.key.new" "$tls/ca.key"
    mv "$tls/ca.crt.new" "$tls/ca.crt"
}

make_certificate() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -sha256 \
        -subj "/CN=ldap" -keyout "$tls/server.key.new" -out "$tls/server.csr" 2>/dev/null
    openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.crt" -CAkey "$tls/ca.key" -days 397 \
        -sha256 -out "$tls/server.crt.new" -extfile /dev/stdin 2>/dev/null <<'EXTENSIONS'
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:ldap,DNS:localhost,IP:127.0.0.1
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
EXTENSIONS
    mv "$tls/server.key.new" "$tls/server.key"
    mv "$tls/server.crt.new" "$tls/server.crt"
}

# Through a running slapd and not with slapadd, so that memberOf is kept by its overlay.
fill() {
    local person ldif
    ldif=$(<"/etc/ldap/demo/people.ldif")
    for person in alice bob carol; do
        # shellcheck disable=SC2016 # slapd's own notation, not a variable
        ldif=${ldif//@HASH_$person@/$(slappasswd -n -h '{CRYPT}' -c '$6$%.16s' -s "$person")}
    done
    rm -rf "$data/db"
    mkdir "$data/db"
    slapd -F "$run/config" -h "$local_socket" -d 0 &
    local server=$! tries=0
    until ldapwhoami -Q -Y EXTERNAL -H "$local_socket" >/dev/null 2>&1; do
        ((++tries < 100)) || { echo "directory: slapd does not answer" >&2; exit 1; }
        sleep 0.1
    done
    ldapadd -Q -Y EXTERNAL -H "$local_socket" <<<"$ldif" >/dev/null
    kill "$server"
    wait "$server" || true
    touch "$data/filled"
}

rm -rf "$run"
mkdir -p "$run/config"

if [ ! -f "$tls/ca.key" ] || ! valid "$tls/ca.crt"; then make_authority; fi
if [ ! -f "$tls/server.key" ] || ! valid "$tls/server.crt"; then make_certificate; fi
# Others read the authority's certificate, and nothing else, from a volume of its own.
cp "$tls/ca.crt" "$ca.new"
chmod 0644 "$ca.new"
mv "$ca.new" "$ca"

[ -f "$data/filled" ] || mkdir -p "$data/db"
sed "s|@RUN@|$run|" /etc/ldap/demo/config.ldif >"$run/config.ldif"
slapadd -n 0 -F "$run/config" -l "$run/config.ldif"
[ -f "$data/filled" ] || fill

echo "directory: the demo directory is up; everybody knows its passwords"
# slapd's accept queue and memory are sized by this number.
ulimit -n 1024
exec slapd -F "$run/config" -h "ldap:/// ldaps:/// $local_socket" -d "${SLAPD_LOG_LEVEL:-none}"
