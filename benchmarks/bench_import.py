"""What `import dgnn` takes beyond numpy's own import, in processes of their own, in turn. Goal: 2 ms. Of the
processor's time, which a busy machine lengthens less than the clock's.

    python benchmarks/bench_import.py [RUNS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

GOAL_MS = 2.0
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def seconds(code):
    """In the process itself, of the import alone: starting Python is not counted."""
    program = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=ENVIRONMENT).stdout)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    differences, own, asked = [], [], []
    cache = tempfile.TemporaryDirectory()  # compiled files, as pip makes them of a wheel
    ENVIRONMENT["PYTHONPYCACHEPREFIX"] = cache.name
    seconds("import numpy, dgnn; dgnn.Model")
    for _ in range(runs):
        alone = seconds("import numpy")
        differences.append(1e3 * (seconds("import numpy, dgnn") - alone))
        own.append(1e3 * seconds("import numpy; start = time.process_time(); import dgnn"))
        asked.append(1e3 * seconds("import numpy, dgnn; start = time.process_time(); dgnn.Model"))
        time.sleep(0.01)
    median = statistics.median
    print(f"import numpy, dgnn over import numpy: {median(differences):.2f} ms (median of {runs} pairs in turn); import dgnn in a process "
          f"that has numpy: {median(own):.2f} ms, {min(own):.2f} at best; dgnn.Model, asked for after that: {median(asked):.2f} ms; "
          f"goal {GOAL_MS:g} ms")
    return median(own) > GOAL_MS


if __name__ == "__main__":
    sys.exit(main())
