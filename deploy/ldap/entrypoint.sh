#!/bin/bash
# Starts the demo directory. At the first start it makes an authority and a certificate of its own
# and fills the directory; a start that was cut short is begun again.
set -euo pipefail
umask 077

run=/tmp/slapd
tls=/var/lib/ldap-tls
ca=/run/ldap-ca/ca.crt
data=/var/lib/ldap
password=$data/hub.password
shared_password=/run/ldap-ca/hub.password
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

# Runs a command against the directory while nobody else can reach it; through a running slapd and
# not with slapadd, so that memberOf is kept by its overlay.
with_slapd() {
    slapd -F "$run/config" -h "$local_socket" -d 0 &
    local server=$! tries=0
    until ldapwhoami -Q -Y EXTERNAL -H "$local_socket" >/dev/null 2>&1; do
        ((++tries < 100)) || { echo "directory: slapd does not answer" >&2; exit 1; }
        sleep 0.1
    done
    "$@"
    kill "$server"
    wait "$server" || true
}

add() { ldapadd -Q -Y EXTERNAL -H "$local_socket" >/dev/null; }

hash_of() {
    # shellcheck disable=SC2016 # slapd's own notation, not a variable
    slappasswd -n -h '{CRYPT}' -c '$6$%.16s' -s "$1"
}

fill() {
    local person ldif
    ldif=$(<"/etc/ldap/demo/people.ldif")
    for person in alice bob carol; do
        ldif=${ldif//@HASH_$person@/$(hash_of "$person")}
    done
    add <<<"$ldif"
}

# The hub's own account, with which it looks people up; its password is made here and told to
# nobody but the hub.
make_account() {
    # An account without its password here is what an interrupted start left.
    ldapdelete -Q -Y EXTERNAL -H "$local_socket" cn=hub,ou=services,dc=example,dc=org \
        ou=services,dc=example,dc=org >/dev/null 2>&1 || true
    openssl rand -hex 24 | tr -d '\n' >"$password.new"
    add <<ACCOUNT
dn: ou=services,dc=example,dc=org
objectClass: organizationalUnit
ou: services

dn: cn=hub,ou=services,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: hub
userPassword: $(hash_of "$(<"$password.new")")
ACCOUNT
    mv "$password.new" "$password"
}

rm -rf "$run"
mkdir -p "$run/config"

if [ ! -f "$tls/ca.key" ] || ! valid "$tls/ca.crt"; then make_authority; fi
if [ ! -f "$tls/server.key" ] || ! valid "$tls/server.crt"; then make_certificate; fi
# The hub reads the authority's certificate and its own password, and nothing else, from a volume of
# their own.
cp "$tls/ca.crt" "$ca.new"
chmod 0644 "$ca.new"
mv "$ca.new" "$ca"

if [ ! -f "$data/filled" ]; then
    rm -rf "$data/db" "$password"
    mkdir -p "$data/db"
fi
sed "s|@RUN@|$run|" /etc/ldap/demo/config.ldif >"$run/config.ldif"
slapadd -n 0 -F "$run/config" -l "$run/config.ldif"
if [ ! -f "$data/filled" ]; then
    with_slapd fill
    touch "$data/filled"
fi
[ -f "$password" ] || with_slapd make_account
cp "$password" "$shared_password.new"
chmod 0444 "$shared_password.new"
mv "$shared_password.new" "$shared_password"

echo "directory: the demo directory is up; everybody knows its passwords"
# slapd's accept queue and memory are sized by this number.
ulimit -n 1024
# Other ports where a user without rights may not take these.
urls="ldap://:${SLAPD_LDAP_PORT:-389}/ ldaps://:${SLAPD_LDAPS_PORT:-636}/"
exec slapd -F "$run/config" -h "$urls $local_socket" -d "${SLAPD_LOG_LEVEL:-none}"
