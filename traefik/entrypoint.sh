#!/bin/sh
# Finishes the static configuration: a file, flags and environment variables exclude each other
# there, and a file cannot read variables. Refuses to start with what would make Traefik serve
# another certificate than the one that was meant.
#
# SLICERHUB_TLS: empty (HTTP), "files" (the certificate is given) or "acme" (it is fetched).
set -eu

refuse() {
    echo "slicerhub: $*" >&2
    exit 78
}

# Only what cannot mean anything to sed or YAML may be put into the file.
plain() {
    case "$2" in
    '' | *[!A-Za-z0-9.,:/@_*+-]*) refuse "$1 is '$2', which cannot be right." ;;
    esac
}

case "$SLICERHUB_INSTANCE" in
'' | *[!a-z0-9-]*)
    refuse "SLICERHUB_INSTANCE is '$SLICERHUB_INSTANCE': only a-z, 0-9 and '-' may stand in it."
    ;;
esac

edit="s/@INSTANCE@/$SLICERHUB_INSTANCE/g"
case "${SLICERHUB_TLS:-}" in
'') edit="$edit; s/@WEB_PORT@/8080/" ;;
files)
    for file in "$SLICERHUB_TLS_CERT" "$SLICERHUB_TLS_KEY"; do
        [ -f "$file" ] || refuse "the file $file is missing. SLICERHUB_TLS_FOLDER names the" \
            "folder, SLICERHUB_TLS_CERT and SLICERHUB_TLS_KEY the files in it."
        [ -r "$file" ] || refuse "$file may not be read by the user of Traefik:" \
            "chown 10002 it, or give that user the right to read it (setfacl -m u:10002:r)."
    done
    # Without these lines Traefik would start, and serve a certificate that it made up.
    grep -q 'BEGIN CERTIFICATE' "$SLICERHUB_TLS_CERT" ||
        refuse "$SLICERHUB_TLS_CERT holds no certificate in PEM form."
    grep -q 'BEGIN.* PRIVATE KEY' "$SLICERHUB_TLS_KEY" ||
        refuse "$SLICERHUB_TLS_KEY holds no private key in PEM form."
    ! grep -q 'ENCRYPTED' "$SLICERHUB_TLS_KEY" ||
        refuse "the key in $SLICERHUB_TLS_KEY wants a password. Traefik needs one without."
    edit="$edit; s/@WEB_PORT@/8443/; s/#tls# //"
    ;;
acme)
    plain SLICERHUB_ACME_DIRECTORY "$SLICERHUB_ACME_DIRECTORY"
    plain SLICERHUB_ACME_EMAIL "$SLICERHUB_ACME_EMAIL"
    plain SLICERHUB_ACME_DOMAINS "$SLICERHUB_ACME_DOMAINS"
    edit="$edit; s/@WEB_PORT@/8443/; s/#tls# //; s/#acme# //"
    case "$SLICERHUB_ACME_CHALLENGE" in
    tls-alpn | http)
        case "$SLICERHUB_ACME_DOMAINS" in
        *\**) refuse "a certificate for *.… is given out for SLICERHUB_ACME_CHALLENGE=dns only." ;;
        esac
        ;;
    dns)
        plain SLICERHUB_ACME_DNS_PROVIDER "${SLICERHUB_ACME_DNS_PROVIDER:-}"
        edit="$edit; s|@ACME_DNS_PROVIDER@|$SLICERHUB_ACME_DNS_PROVIDER|"
        resolvers=""
        if [ -n "${SLICERHUB_ACME_DNS_RESOLVERS:-}" ]; then
            plain SLICERHUB_ACME_DNS_RESOLVERS "$SLICERHUB_ACME_DNS_RESOLVERS"
            resolvers="\"$(echo "$SLICERHUB_ACME_DNS_RESOLVERS" | sed 's/,/", "/g')\""
        fi
        edit="$edit; s|@ACME_DNS_RESOLVERS@|[$resolvers]|"
        ;;
    *) refuse "SLICERHUB_ACME_CHALLENGE is '$SLICERHUB_ACME_CHALLENGE': tls-alpn, http or dns." ;;
    esac
    # "a,b,c" becomes [{main: a, sans: [b, c]}].
    others=""
    case "$SLICERHUB_ACME_DOMAINS" in
    *,*) others=$(echo "${SLICERHUB_ACME_DOMAINS#*,}" | sed 's/,/", "/g') ;;
    esac
    domains="[{main: \"${SLICERHUB_ACME_DOMAINS%%,*}\"${others:+, sans: [\"$others\"]}}]"
    edit="$edit; s/#$SLICERHUB_ACME_CHALLENGE# //"
    edit="$edit; s|@ACME_DIRECTORY@|$SLICERHUB_ACME_DIRECTORY|; s|@ACME_EMAIL@|$SLICERHUB_ACME_EMAIL|"
    edit="$edit; s|@ACME_DOMAINS@|$domains|"
    ;;
*) refuse "SLICERHUB_TLS is '$SLICERHUB_TLS': files, acme, or empty." ;;
esac
sed "$edit" /etc/slicerhub/traefik/traefik.yml >/tmp/traefik.yml
exec traefik --configFile=/tmp/traefik.yml
