"""What the system refuses: memory, open files, room on the disk, and what hostile files ask of it. An error of its class,
nothing lost, and all works afterwards."""

import os
import subprocess
import sys

import pytest
from conftest import DATA

START = """
import os, resource, signal, sys
import dgnn, numpy as np
path, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(0)
n = 300
coords, types, box = rng.random((n, 3)) * 17, rng.integers(0, 2, n), np.eye(3) * 17

def work():
    return dgnn.Model.load(path, threads=threads).compute(coords, types, box, atomic=True).energy

def limited(what, soft, call):
    old = resource.getrlimit(what)
    resource.setrlimit(what, (soft, old[1]))
    try:
        return call()
    finally:
        resource.setrlimit(what, old)
"""
# A process of its own for each limit: a heap that has grown once does not grow again.
MEMORY = START + """
def child(more):
    size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
    try:
        limited(resource.RLIMIT_AS, size + (more << 19), work)
    except MemoryError as error:
        return 10 if str(error) or error.args == () else 11
    return 12

counts = {}
for more in range(1000):
    pid = os.fork()
    if pid == 0:
        os._exit(child(more))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    counts[code] = counts.get(code, 0) + 1
    if code not in (10, 12) or counts.get(12, 0) == 3:
        break
print(*sorted(counts), counts[10] > 15, work() == work())
"""
FILES = START + """
model = dgnn.Model.load(path)
names = [os.path.join(folder, 'model.' + kind) for kind in ('dgnn', 'dp', 'yaml')]
digest = lambda name: dgnn.Model.load(name).info()['archive']['digest']
for name in names:
    model.save(name)
old = [open(name, 'rb').read() for name in names]
digests = [digest(name) for name in names]
refused = 0
for what, limits in ((resource.RLIMIT_NOFILE, [3]), (resource.RLIMIT_FSIZE, range(0, 6000, 500))):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for name, bytes in zip(names, old):
        for limit in limits:
            for call in (lambda: model.save(name), lambda: dgnn.Model.load(name)):
                try:
                    limited(what, limit, call)
                except OSError as error:
                    assert error.errno in (24, 27), error
                    refused += 1
        assert open(name, 'rb').read() == bytes
assert sorted(os.listdir(folder)) == sorted(map(os.path.basename, names)), os.listdir(folder)
print(refused, digests == [digest(name) for name in names], work() == work())
"""


def run(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name,threads", [("dpa3_base", 1), ("dpa3_base", 2), ("dpa1_attn2", 1)])
def test_address_space(name, threads, tmp_path):
    """From next to nothing to enough, in steps of 512 KiB: MemoryError, then results."""
    assert run(MEMORY, DATA / "cases" / name / "model.pt2", tmp_path, threads) == "10 12 True True"


def test_files_and_their_sizes(base_path, tmp_path):
    """No descriptor left: not read, not written. A limit of the size: not written; the old file stands."""
    assert run(FILES, base_path, tmp_path, 1) == f"{2 * 3 + 12 * 3} True True"
