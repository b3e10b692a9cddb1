"""A rank of LAMMPS is killed in the middle of a step: mpirun ends the job, or the others say for whom they waited, by `deadline`."""

import os
import re
import subprocess
import time

import pytest
from lammps_runs import LAMMPS, case, run
from test_scenarios import NVE, data_folder

DEADLINE, SLACK = 2, 25  # seconds; SLACK: to start, to end, and for a machine that is busy
# LAMMPS never starts a persistent message, so the process dies before one of dgnn's.
KILL = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_victim(void)
{
    const char *rank = getenv("PMI_RANK") ? getenv("PMI_RANK") : getenv("OMPI_COMM_WORLD_RANK");
    return rank && strcmp(rank, getenv("DGNN_TEST_VICTIM")) == 0;
}

int MPI_Start(void *request)
{
    static int (*start)(void *);
    static int count;
    if (!start) {
        *(void **)&start = dlsym(RTLD_NEXT, "MPI_Start");
    }
    if (++count == atoi(getenv("DGNN_TEST_MESSAGE")) && is_victim()) {
        fputs("the victim dies\n", stderr);
        raise(SIGKILL);
    }
    return start(request);
}
"""
LEAVES = {"mpich": "-disable-auto-cleanup", "openmpi": "--enable-recovery"}  # mpirun does not end the others


@pytest.fixture(scope="session")
def killer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killer")
    (folder / "kill.c").write_text(KILL)
    subprocess.run(["gcc", "-O1", "-fPIC", "-shared", "kill.c", "-o", "kill.so", "-ldl"], cwd=folder, check=True, timeout=60)
    return folder / "kill.so"


def lose(killer, folder, victim, ranks, message, words=()):
    """What was said; the job is over, and none of its processes is left."""
    text = f"units metal\natom_style atomic\nread_data {data_folder() / 'bulk'}\nneighbor 1.0 bin\ntimestep 0.0005\n"
    text += f"pair_style dgnn {case('dpa3_base')} deadline {DEADLINE}\npair_coeff * * O H\n" + NVE.format(300)
    begin = time.monotonic()
    done = run(text + "thermo 1\nthermo_modify flush yes\nrun 100000\n", folder, ranks, check=False, timeout=120, launch_words=words, LD_PRELOAD=str(killer),
               DGNN_TEST_VICTIM=str(victim), DGNN_TEST_MESSAGE=str(message))
    said = done.stdout + done.stderr
    assert done.returncode and "the victim dies" in said and time.monotonic() - begin < DEADLINE + SLACK, said[-2000:]
    assert len(re.findall(r"^ +\d+ [^\n]*\d *$", said, re.M)) > 1, said[-2000:]  # steps were made
    for _ in range(50):
        left = processes_in(folder)
        if not left:
            break
        time.sleep(0.1)
    assert not left, said[-2000:]
    return said


def processes_in(folder):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += [name] * os.path.samefile(f"/proc/{name}/cwd", folder)
        except OSError:
            pass
    return found


@pytest.mark.parametrize("victim, message", [(1, 150), pytest.param(0, 151, marks=pytest.mark.long),
                                             pytest.param(2, 163, marks=pytest.mark.long)])
def test_killed(victim, message, killer, tmp_path):
    """mpirun ends the job, long before the deadline or by it."""
    lose(killer, tmp_path, victim, 3, message)


@pytest.mark.long  # in one of two runs mpirun ended the survivor before it could say anything
@pytest.mark.parametrize("message", [150, 155, 171])
def test_left_alone(message, killer, tmp_path):
    """Where mpirun does not: the message of dgnn.CommError, with whom the rank waited for. One is left, whose words are LAMMPS's."""
    said = lose(killer, tmp_path, 1, 2, message, [LEAVES[LAMMPS.mpi]])
    assert re.search(rf"ERROR.*pair_style dgnn: .*rank 0 waited {DEADLINE} s", said), said[-2000:]
