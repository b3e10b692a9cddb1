"""Mistakes that are planted in kernels are found: by the shim that runs them, and by sanitizers inside kernels."""

import os
import subprocess

import compile as builder
import pytest

# name: (variant of the build, what is said; None: the number that is printed is not one)
PLANTED = {"barriers": ("release", "threads of a block wait"), "lanes": ("release", "threads wait for one another for ever"),
           "mask": ("release", "reads a lane that is not in its mask"), "unset": ("release", None),
           "plain": ("release", "a barrier in a kernel that was said to have none"),
           "overrun": ("asan", "AddressSanitizer: heap-buffer-overflow"), "race": ("tsan", "data race"),
           "blocks": ("tsan", "data race")}


def run(variant, name):
    program = builder.build_misuse(variant)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "TSAN_OPTIONS": "exitcode=66"}
    command = ["setarch", "-R", program, name] if variant == "tsan" else [program, name]  # TSan's memory has fixed places
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.mark.parametrize("variant", ["release", "asan", "tsan"])
def test_nothing_planted(variant):
    done = run(variant, "none")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "122\n"


@pytest.mark.parametrize("name", PLANTED)
def test_planted(name):
    variant, words = PLANTED[name]
    done = run(variant, name)
    if words is None:
        assert done.returncode == 0 and "nan" in done.stdout
    else:
        assert done.returncode != 0 and words in done.stderr, done.stderr
