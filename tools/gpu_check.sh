#!/bin/sh
# Ten minutes on a machine with an NVIDIA GPU: do the kernels compute there what the CPU does, and how fast?
#
#     sh tools/gpu_check.sh [FOLDER]     writes FOLDER/gpu_check.json and FOLDER/gpu_check.log (default: build/gpu)
#
# Needs the tree, a driver, Python and a C compiler; `make build` and `make cubins` are run where they were not. Where
# compute-sanitizer is on the path, one small case runs under it. Nothing of it has been run on a GPU yet.
set -eu
cd "$(dirname "$0")/.."
out=${1:-build/gpu}
mkdir -p "$out"
[ -e dgnn/libdgnn.so.0 ] || make build
[ -e dgnn/dgnn_kernels.bin ] || make cubins
nvidia-smi > "$out/gpu_check.log" 2>&1 || true
.venv/bin/python tools/gpu_check.py "$out/gpu_check.json" 2>&1 | tee -a "$out/gpu_check.log"
if command -v compute-sanitizer > /dev/null; then
    for check in memcheck racecheck initcheck; do
        timeout 120 compute-sanitizer --tool "$check" --error-exitcode 9 .venv/bin/python tools/gpu_check.py --one \
            >> "$out/gpu_check.log" 2>&1 && echo "$check: clean" || echo "$check: see $out/gpu_check.log"
    done
fi
