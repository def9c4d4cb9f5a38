#!/usr/bin/env bash
# Gives a Debian machine without a Docker engine one, for tests: `engine.sh start DIRECTORY` and `engine.sh stop DIRECTORY`.
#
# `start` installs Debian's engine and Compose where there are none and starts dockerd where none answers; its process id
# and log are kept in DIRECTORY. `stop` ends what `start` started, and nothing else, and takes its traces out of the
# machine's network.
set -euo pipefail

START_TIMEOUT_S=60
STOP_TIMEOUT_S=60

install_engine() {
    local missing=()
    command -v dockerd > /dev/null || missing+=(docker.io iptables iproute2)
    docker compose version > /dev/null 2>&1 || command -v docker-compose > /dev/null || missing+=(docker-compose)
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "==> installing ${missing[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
    fi
}

start_engine() {
    local directory="$1"
    mkdir -p "$directory"
    echo "==> starting dockerd"
    # With a state directory of its own no dockerd that was killed before leaves anything in the way.
    setsid dockerd --pidfile "$directory/docker.pid" --exec-root "$directory/run" > "$directory/dockerd.log" 2>&1 &
    echo $! > "$directory/dockerd.pid"
    for _ in $(seq "$START_TIMEOUT_S"); do
        if docker info > /dev/null 2>&1; then
            return
        fi
        if ! kill -0 "$(cat "$directory/dockerd.pid")" 2> /dev/null; then
            break
        fi
        sleep 1
    done
    tail -n 20 "$directory/dockerd.log" >&2
    echo "dockerd did not start" >&2
    exit 1
}

stop_engine() {
    local pid bridges
    pid="$(cat "$1/dockerd.pid")"
    bridges="$(docker network ls --quiet --filter driver=bridge | sed 's/^/br-/')"
    kill "$pid" 2> /dev/null || true
    for _ in $(seq "$STOP_TIMEOUT_S"); do
        kill -0 "$pid" 2> /dev/null || break
        sleep 1
    done
    rm "$1/dockerd.pid"
    remove_traces $bridges
}

# dockerd leaves its bridges and its packet filter's rules behind, and all packets pass those, also on the loopback. It
# makes both anew when it starts.
remove_traces() {
    local bridge tables
    for bridge in docker0 "$@"; do
        ip link delete "$bridge" 2> /dev/null || true
    done
    for tables in iptables ip6tables; do
        "$tables-save" 2> /dev/null | grep -v -E 'DOCKER|docker0|br-[0-9a-f]{12}' | "$tables-restore" || true
    done
}

case "${1:-}" in
    start)
        install_engine
        docker info > /dev/null 2>&1 || start_engine "$2"
        ;;
    stop)
        [ ! -f "$2/dockerd.pid" ] || stop_engine "$2"
        ;;
    *)
        echo "usage: engine.sh start|stop DIRECTORY" >&2
        exit 2
        ;;
esac
