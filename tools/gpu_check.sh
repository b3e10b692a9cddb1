#!/bin/sh
# Ten minutes on a machine with an NVIDIA GPU: do the kernels compute there what the CPU does, and how fast?
#
#     sh tools/gpu_check.sh [FOLDER [--small]]     writes FOLDER/gpu_check.json and FOLDER/gpu_check.log (default: build/gpu)
#
# Needs the tree, a driver, Python and a C compiler; `make build` and `make cubins` are run where they were not. Where
# compute-sanitizer is on the path, one small case runs under it. Ends with 0 where all is right. --small: two cases and one
# size, which is what the tests run on their fake driver. Nothing of it has been run on a GPU yet.
set -eu
cd "$(dirname "$0")/.."
out=${1:-build/gpu}
small=${2:-}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$out"
"$python" -c "import dgnn" 2> /dev/null || make build
[ -n "${DGNN_CUDA_KERNELS:-}" ] || [ -e dgnn/dgnn_kernels.bin ] || make cubins
nvidia-smi > "$out/gpu_check.log" 2>&1 || echo "nvidia-smi did not run" >> "$out/gpu_check.log"
rm -f "$out/failed"
{ "$python" tools/gpu_check.py "$out/gpu_check.json" $small 2>&1 || touch "$out/failed"; } | tee -a "$out/gpu_check.log"
if command -v compute-sanitizer > /dev/null; then
    for check in memcheck racecheck initcheck; do
        echo "-- $check" >> "$out/gpu_check.log"
        if timeout 120 compute-sanitizer --tool "$check" --error-exitcode 9 "$python" tools/gpu_check.py --one \
            >> "$out/gpu_check.log" 2>&1; then
            echo "$check: clean"
        else
            echo "$check: see $out/gpu_check.log"
            touch "$out/failed"
        fi
    done
fi
[ ! -e "$out/failed" ]
