"""Loading and saving by rank 0, and archives of two programs on several ranks: trust_mpi.py."""

import pathlib
import pickle
import subprocess
import sys

import pytest
from test_transport import MPIS, launcher

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.append(str(FOLDER.parent / "trust"))
import archives  # noqa: E402


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("mpi", MPIS)
def test_rank_0_for_all(mpi, ranks, tmp_path):
    command, environment = launcher(mpi, ranks)
    if not command:
        pytest.skip(f"no launcher of {mpi} was found")
    names = []
    for name, (data, _, _) in archives.runnable().items():
        names.append(name.replace(" ", "_").replace("'", "") + ".pt2")
        (tmp_path / names[-1]).write_bytes(data)
    (tmp_path / "names").write_bytes(pickle.dumps(names))
    done = subprocess.run([*command, sys.executable, str(FOLDER / "trust_mpi.py"), str(tmp_path)], env=environment,
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and f"ok: {ranks} ranks" in done.stdout, (done.stdout + done.stderr)[-4000:]
