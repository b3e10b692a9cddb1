#!/bin/sh
# Sees to the system packages: installs what is missing where this is root on a system with apt, else says in one line
# what to install. With "tests": also what only tests need, where this may install it; they skip what needs more. With "release":
# what wheels need.
set -eu
python=${PYTHON:-python3}
missing=""
need() { missing="$missing $*"; }

command -v gcc >/dev/null || need gcc libc6-dev
command -v g++ >/dev/null || need g++ # the test that dgnn.h is C++ too
command -v pkg-config >/dev/null || need pkg-config
{ command -v pkg-config >/dev/null && pkg-config --exists libzip; } || need libzip-dev
{ command -v pkg-config >/dev/null && pkg-config --exists libcjson; } || need libcjson-dev
if ! command -v "$python" >/dev/null; then
    need python3 python3-dev python3-venv
else
    "$python" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' \
        || need python3-dev
    "$python" -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
fi
# The second MPI of the tests; the first comes from PyPI.
command -v mpirun.openmpi >/dev/null || need openmpi-bin
{ command -v pkg-config >/dev/null && pkg-config --exists ompi-c; } || need libopenmpi-dev

if [ "${1:-}" = tests ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    command -v strace >/dev/null || need strace
    echo 'int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }' \
        | clang -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null || need clang libclang-rt-dev
    command -v aarch64-linux-gnu-gcc >/dev/null || need gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    command -v qemu-aarch64 >/dev/null || need qemu-user
fi

# What wheels are built of and tried in.
if [ "${1:-}" = release ]; then
    command -v dpkg-source >/dev/null || need dpkg-dev
    command -v aarch64-linux-gnu-gcc >/dev/null || need gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    command -v qemu-aarch64 >/dev/null || need qemu-user
    command -v debootstrap >/dev/null || need debootstrap
    # A CPython without its global lock is built of Debian's sources.
    { command -v pkg-config >/dev/null && pkg-config --exists zlib libffi openssl; } || need zlib1g-dev libffi-dev libssl-dev
fi

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 \
        || { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null; }
    exit 0
fi
echo "dgnn needs system packages that are not here; on Debian: apt-get install$missing" >&2
exit 1
