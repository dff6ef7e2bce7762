#!/bin/sh
# From a bare Debian 12 to a served model: installs, builds, fetches and compresses SmolLM2 once, serves it.
# usage: ./serve.sh [OPTION...]     options are those of `centroid serve`, such as --port 9000
set -eu
cd "$(dirname "$0")"
centroid=build/release/centroid
compressed=${CENTROID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/centroid}/SmolLM2-135M-Instruct-6bit

deploy/install-packages.sh
if [ ! -x $centroid ]; then
    cmake --preset release >&2
    cmake --build --preset release >&2
elif ! said=$(cmake --build --preset release -- --quiet); then
    printf '%s\n' "$said" >&2
    exit 1
fi
if [ ! -d "$compressed" ]; then
    model=$(deploy/fetch-model.sh smollm2)
    $centroid compress "$model" "$compressed" --bits 6
fi

# The server takes this shell's place, so that signals reach it; the greeter waits for it and goes.
(python3 deploy/greet.py $$ "$@" &)
exec $centroid serve --model "smollm2=$compressed" "$@"
