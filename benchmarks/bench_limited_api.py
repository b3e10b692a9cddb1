"""What CPython's limited API, which lets one wheel serve every version, costs a call: instructions of the small call whose arguments
weigh most (three atoms), by a module of the limited API and by one of the whole. Counts repeat; needs Debian's valgrind.

    python benchmarks/bench_limited_api.py [CALLS]
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import compile as builder  # noqa: E402

PROGRAM = """
import sys
import numpy as np
import dgnn
model = dgnn.Model.load("dgnn/cases/se_e2_a.pt2", threads=1)
coords, types, box = np.array([[0.0, 0, 0], [1.1, 0, 0], [0, 1, 0.2]]), np.array([0, 1, 1]), np.eye(3) * 9
for _ in range(int(sys.argv[1]) + 3):
    model.compute(coords, types, box)
"""


def package(folder, whole):
    """dgnn as it is in the checkout, its module built with the API that is asked for."""
    shutil.copytree(ROOT / "dgnn", folder / "dgnn", ignore=shutil.ignore_patterns("_core*.so", "__pycache__"))
    flags = [*builder.python_flags(), *(["-DDGNN_WHOLE_API"] if whole else [])]
    objects = builder.compile_objects(builder.bind_sources(), "release", flags, folder=folder / "objects")
    builder.link(objects, folder / "dgnn" / "_core.abi3.so",
                 ["-shared", "-pthread", "-Wl,-rpath,$ORIGIN", str(folder / "dgnn" / builder.soname()), "-lm"])
    return folder


def instructions(folder, calls):
    environment = os.environ | {"DGNN_DISABLE_CPU": "avx512", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-c", PROGRAM, str(calls)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=environment)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("limited", "whole"):
            place = package(pathlib.Path(folder) / name, name == "whole")
            counts[name] = (instructions(place, calls) - instructions(place, 0)) / calls
    limited, whole = counts["limited"], counts["whole"]
    print(f"a call of three atoms: {limited:.0f} instructions by the limited API, {whole:.0f} by the whole: "
          f"{limited - whole:.0f} more ({100 * (limited / whole - 1):.2f} %)")


if __name__ == "__main__":
    main()
