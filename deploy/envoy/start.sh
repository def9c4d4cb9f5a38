#!/bin/sh
# In the edge image: fills in what the environment sets, and becomes Envoy. render.py has written the rest.
set -eu

here=$(dirname "$0")
. "$here/defaults.sh"

for number in "$CLIPPER_EDGE_HEAP_BYTES" "$CLIPPER_EDGE_CONNECTIONS" "$CLIPPER_EDGE_BODY_TIMEOUT_S"; do
    case $number in
        '' | 0* | *[!0-9]*)
            echo "CLIPPER_EDGE_HEAP_BYTES, _CONNECTIONS and _BODY_TIMEOUT_S must be whole numbers above 0: '$number'" >&2
            exit 1 ;;
    esac
done
case $CLIPPER_EDGE_CORS_ORIGINS in
    *[!A-Za-z0-9.:/,*\ -]*)
        echo "CLIPPER_EDGE_CORS_ORIGINS must be origins with commas between them, or *: '$CLIPPER_EDGE_CORS_ORIGINS'" >&2
        exit 1 ;;
esac
# Envoy ends itself when it may not open one more file: as EdgeSettings.within has it.
ulimit -n "$(ulimit -H -n)"
files=$(ulimit -n)
if [ "$files" != unlimited ] && [ $((files / 4)) -lt "$CLIPPER_EDGE_CONNECTIONS" ]; then
    CLIPPER_EDGE_CONNECTIONS=$((files / 4))
fi
origins=$(printf %s "$CLIPPER_EDGE_CORS_ORIGINS" | sed 's/ //g; s/,,*/|/g; s/^|//; s/|$//; s/[.]/[.]/g; s/[*]/.*/g')

sed -e "s#@heap_bytes@#$CLIPPER_EDGE_HEAP_BYTES#g" \
    -e "s#@connections@#$CLIPPER_EDGE_CONNECTIONS#g" \
    -e "s#@body_timeout_s@#$CLIPPER_EDGE_BODY_TIMEOUT_S#g" \
    -e "s#@cors_origins@#$origins#g" "$here/envoy.yaml" > "${TMPDIR:-/tmp}/envoy.filled.yaml"
# A second configuration is merged into the first, for what only a container needs.
exec envoy -c "${TMPDIR:-/tmp}/envoy.filled.yaml" --config-yaml "$(cat "$here/metrics.yaml")" --log-level warning
