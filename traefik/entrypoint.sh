#!/bin/sh
# Puts the instance's name into the static configuration: a file, flags and environment variables
# exclude each other there, and a file cannot read variables.
set -eu

case "$SLICERHUB_INSTANCE" in
'' | *[!a-z0-9-]*)
    echo "SLICERHUB_INSTANCE is '$SLICERHUB_INSTANCE': only a-z, 0-9 and '-' may stand in it." >&2
    exit 78
    ;;
esac
sed "s/@INSTANCE@/$SLICERHUB_INSTANCE/g" /etc/slicerhub/traefik/traefik.yml >/tmp/traefik.yml
exec traefik --configFile=/tmp/traefik.yml
