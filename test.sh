#!/bin/sh
# Installs what is needed, builds with sanitizers and runs every test.
# usage: ./test.sh [--real] [--tsan]
#   --real   fetches real models (680 MB), and runs the tests on their weights, without sanitizers too
#   --tsan   builds with the thread sanitizer instead of address and undefined behaviour
set -eu
cd "$(dirname "$0")"
preset=asan
is_real=
for option; do
    case $option in
    --real) is_real=1 ;;
    --tsan) preset=tsan ;;
    *)
        sed -n '2,/^set/{/^set/d;s/^# //p}' "$0" >&2
        exit 2
        ;;
    esac
done

deploy/install-packages.sh
venv=$PWD/build/venv
if ! cmp -s tests/e2e/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --requirement tests/e2e/requirements.txt
    cp tests/e2e/requirements.txt "$venv/requirements.txt"
fi
if [ -n "$is_real" ]; then
    deploy/fetch-model.sh smollm2
    deploy/fetch-model.sh qwen2.5-coder
    deploy/fetch-model.sh minilm
fi
cmake --preset $preset -DPython3_EXECUTABLE="$venv/bin/python"
cmake --build --preset $preset
ctest --preset $preset
if [ -n "$is_real" ]; then
    cmake --preset dev -DPython3_EXECUTABLE="$venv/bin/python"
    cmake --build --preset dev
    ctest --preset dev -R "real_models|bpe_(smollm2|qwen2)"
fi
