#!/bin/sh
# Files outside tests, data and generated docs that use a hyper-parameter: those where a table has it, a struct's member of
# this name is read, or the name is a string of its own. Comments, messages and other words of that name don't count.
# usage: trace_param.sh NAME
cd "$(dirname "$0")/.." || exit 2
[ -n "$1" ] || { echo "usage: trace_param.sh NAME" >&2; exit 2; }
git grep -lE -e "^DGNN_[A-Z]+\($1," -e "(params|own|repflow|settings|args|r|p|q)(->|\.)$1\>" -e "[^\\]\"$1\"" -- csrc dgnn kernels tools |
    grep -v -e '^tools/check_arguments.py$' -e '^tools/gen_params.py$' -e '^csrc/convert/' -e '^dgnn/cases/'
