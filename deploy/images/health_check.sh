#!/bin/bash
# health_check.sh SERVICE: whether the server of this container serves, as the exit status; in words if it does not.
#
# It calls grpc.health.v1.Health/Check on the loopback, at the port of CLIPPER_ADDRESS, in frames of HTTP/2 by hand: a
# container's health check runs every few seconds, on a machine that may have no time to start a Python for it. Bash is
# there in a fifteenth of that time, and starts nothing else.
LC_ALL=C
service=$1
port=${CLIPPER_ADDRESS##*:}
# Within this the server says something; the engine's own limit is longer.
silence_s=5

unhealthy() {
    echo "$1"
    exit 1
}

# A byte as printf writes it.
byte() {
    printf -v "$1" '\\x%02x' "$2"
}

{ exec 3<> "/dev/tcp/127.0.0.1/$port"; } 2> /dev/null || unhealthy "nothing listens at port $port"

byte name "${#service}"
byte field $((${#service} + 2))
byte message $((${#service} + 7))
{
    printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    # SETTINGS, all as usual.
    printf '\0\0\0\4\0\0\0\0\0'
    # HEADERS with END_HEADERS on stream 1: POST, http, :path, :authority, content-type and te, none in a table.
    printf '\0\0\x4b\1\4\0\0\0\1'
    printf '\x83\x86\x04\x1c/grpc.health.v1.Health/Check\x01\x09localhost\x0f\x10\x10application/grpc\0\x02te\x08trailers'
    # DATA with END_STREAM: a message, not compressed, whose field 1 is the service.
    printf "\0\0${message}\0\1\0\0\0\1\0\0\0\0${field}\x0a${name}%s" "$service"
} >&3 2> /dev/null

# Between two zeros of the answer there is the message's length with the message: field 1, the status.
while IFS= read -r -t "$silence_s" -d '' part <&3; do
    case $part in
        $'\x02\x08\x01') exit 0 ;;
        $'\x02\x08\x02') unhealthy "$service says NOT_SERVING; its log says why" ;;
        *grpc-status*) unhealthy "the server at port $port does not have $service" ;;
    esac
done
unhealthy "the server at port $port said nothing for $silence_s s, or nothing of $service"
