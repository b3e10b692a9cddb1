"""What exact atoms' virials cost: time and memory of compute(atomic=True) over those of a bare call.

    python benchmarks/bench_atomic.py MODEL [MODEL ...] [--natoms 768] [--threads 1]

On an idle machine; times are the best of their calls. Each configuration has processes of its own, bare and atomic ones by turns,
whose peak over what the loaded model took is its memory (the least of the turns). Systems are water at its density, of the first two types of each model's map. Goals: with
message passing 2.8 times the time and 1.8 times the memory, for memory="fast" and "small" each; without it 1.05."""

import argparse
import json
import subprocess
import sys

WORK = """
import json, sys, time
import numpy as np
import dgnn

def peak():
    lines = open('/proc/self/status').read().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith('VmHWM'))

path, memory, atomic, natoms, threads = json.loads(sys.argv[1])
model = dgnn.Model.load(path, memory=memory, threads=threads)
edge = (natoms / 0.1002) ** (1 / 3)
side = int(np.ceil((natoms / 3) ** (1 / 3)))
rng = np.random.default_rng(0)
sites = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing='ij'), -1).reshape(-1, 3)[: natoms // 3] * (edge / side)
angle = rng.uniform(0, 2 * np.pi, len(sites))
arm = np.stack((np.cos(angle), np.sin(angle), 0 * angle), -1)
other = np.stack((np.cos(angle + 1.82), np.sin(angle + 1.82), 0 * angle), -1)
coords = np.concatenate((sites, sites + 0.96 * arm, sites + 0.96 * other))
types = np.repeat([0, 1, 1], len(sites)).astype(np.int32)
before, times = peak(), []
for call in range(8):  # the first ones find out what is faster to keep
    begin = time.perf_counter()
    model.compute(coords, types, np.eye(3) * edge, atomic=atomic)
    times.append(time.perf_counter() - begin)
print(json.dumps([min(times[1:]), peak() - before, model.has_message_passing]))
"""


def measured(*configuration):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", WORK, json.dumps(configuration)], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--natoms", type=int, default=768)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--memory", choices=["fast", "small"], action="append", help="default: both")
    arguments = parser.parse_args()
    print(f"{'model':32} {'memory':7} {'s':>8} {'times':>6} {'goal':>5} {'MiB':>8} {'times':>6} {'goal':>5}")
    for path in arguments.models:
        for memory in arguments.memory or ("fast", "small"):
            turns = [[measured(path, memory, which, arguments.natoms, arguments.threads) for which in (False, True)]
                     for _ in range(arguments.turns)]
            bare, atomic = (list(map(min, *(turn[which] for turn in turns), turns[0][which])) for which in (0, 1))
            goals = (2.8, 1.8) if bare[2] else (1.05, 1.05)
            print(f"{path[-32:]:32} {memory:7} {atomic[0]:8.3f} {atomic[0] / bare[0]:6.2f} {goals[0]:5.2f} "
                  f"{atomic[1]:8.1f} {atomic[1] / bare[1]:6.2f} {goals[1]:5.2f}", flush=True)


if __name__ == "__main__":
    main()
