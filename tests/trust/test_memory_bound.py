"""What hostile members may cost: at most 64 MiB plus six times their uncompressed bytes, and seconds."""

import os
import subprocess
import sys
import zipfile

import pytest

MIB = 1 << 20
SIZE = 16 * MIB
MODEL = "model/extra/model.json"

LOAD = """
import os, sys, time
import dgnn

def status(name):
    lines = open('/proc/self/status').read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

open('/proc/self/clear_refs', 'w').write('5')  # the peak so far is forgotten
before, start = status('VmRSS'), time.process_time()
try:
    dgnn.Model.load(sys.argv[1])
    said = 'loaded'
except dgnn.Error as error:
    said = type(error).__name__
print(said, status('VmHWM') - before, time.process_time() - start)
"""


def filled(start, item, end, size=SIZE):
    return start + item * ((size - len(start) - len(end)) // len(item)) + end


def array(item, dtype="float64", last="0"):
    return filled(b'{"model": {"x": {"@class": "np.ndarray", "dtype": "%s", "value": [' % dtype.encode(), item,
                  last.encode() + b"]}}}")


TEXTS = {
    "zeros": lambda: array(b"0,"),
    "zeros of one byte": lambda: array(b"0,", "bool"),
    "integers": lambda: array(b"7,", "int64"),
    "rows of one": lambda: array(b"[0],", last="[0]"),
    "rows of none": lambda: array(b"[],", last="[]"),
    "long numbers": lambda: array(b"0." + b"1" * 1000 + b","),
    "numbers that are none": lambda: array(b"-,"),
    "truths": lambda: array(b"true,", "bool", "true"),
    "a string": lambda: filled(b'{"model": {"x": "', b"a", b'"}}'),
    "escapes": lambda: filled(b'{"model": {"x": "', b"\\u00e9", b'"}}'),
    "strings": lambda: filled(b'{"model": {"x": [', b'"",', b'""]}}'),
    "nulls": lambda: filled(b'{"model": {"x": [', b"null,", b"null]}}"),
    "lists": lambda: filled(b'{"model": {"x": [', b"[],", b"[]]}}"),
    "objects": lambda: filled(b'{"model": {"x": [', b"{},", b"{}]}}"),
    "one name": lambda: filled(b'{"model": {', b'"x":0,', b'"x":0}}'),
    "names": lambda: b'{"model": {' + b",".join(b'"%d":0' % k for k in range(SIZE // 12)) + b"}}",
    "depth": lambda: filled(b'{"model": ', b"[", b"0"),
    "blanks": lambda: filled(b'{"model": {}', b" ", b"}"),
    "most of what is allowed": lambda: b'{"model": {"x": [' + b"{}," * 200_000 + b"{}]" + b", \"y\": " + array(b"0,")[16:],
}


def check(path, size, figures, name):
    done = subprocess.run([sys.executable, "-c", LOAD, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    said, peak, seconds = done.stdout.split()
    assert said in ("ModelFormatError", "UnsupportedModelError")
    figures.record("hostile members", name, "peak / bound", int(peak) / (64 * MIB + 6 * size))
    figures.record("hostile members", name, "s", float(seconds))
    assert int(peak) <= 64 * MIB + 6 * size
    assert float(seconds) < 10  # 2 on an idle machine


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name, tmp_path, figures):
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MODEL, TEXTS[name]())
        size = archive.getinfo(MODEL).file_size
    check(path, size, figures, name)


def test_a_bomb(tmp_path, figures):
    """Deflate's best, near 1,000 to 1."""
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MODEL, b'{"model": {}' + b" " * (200 * MIB) + b"}")
    assert path.stat().st_size < MIB
    check(path, 200 * MIB, figures, "a bomb")


@pytest.mark.parametrize("claimed", [100 * MIB, 3 << 30, 0xFFFFFFFE])
def test_sizes_that_are_only_claimed(claimed, tmp_path, figures):
    """Both headers say so; a few bytes are there."""
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MODEL, os.urandom(150_000))
        info = archive.getinfo(MODEL)
        real = info.file_size
    data = path.read_bytes()
    old, new = real.to_bytes(4, "little"), claimed.to_bytes(4, "little")
    assert data.count(old) >= 2
    path.write_bytes(data.replace(old, new))
    check(path, 150_000, figures, f"{claimed} bytes claimed")
