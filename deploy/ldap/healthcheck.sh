#!/bin/sh
# Healthy: it answers over TLS with a certificate of the authority that the hub is given.
# (An address, for OpenLDAP's client replaces "localhost" by the machine's own name.)
LDAPTLS_CACERT=/run/ldap-ca/ca.crt LDAPTLS_REQCERT=demand \
    exec ldapsearch -x -LLL -o nettimeout=2 -H "ldaps://127.0.0.1:${SLAPD_LDAPS_PORT:-636}" -s base -b '' 1.1 >/dev/null
