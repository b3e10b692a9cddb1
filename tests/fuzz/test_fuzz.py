"""Half a minute of fuzzing for each target, two at a time, and each input that ended one in the past. make fuzz has the
long form."""

import concurrent.futures
import os
import pathlib
import subprocess

import fuzz
import make_seeds
import pytest

BAD = pathlib.Path(__file__).resolve().parent.parent / "bad"
SECONDS = 30
EXECUTIONS = {"archive": 5_000_000, "checkpoint": 10_000_000, "model": 1_000_000, "plan": 5_000_000, "tree": 10_000_000}  # of the long form
# How far a run must at least have come, so that one that does nothing fails: edges of the program's graph.
EDGES = {"archive": 1000, "checkpoint": 1000, "model": 4000, "plan": 500, "tree": 500}

pytestmark = pytest.mark.skipif(not fuzz.is_possible(), reason="clang with libFuzzer is not installed")


@pytest.fixture(scope="module")
def programs():
    return fuzz.build()


@pytest.fixture(scope="module")
def dictionary(programs):
    """When it was written, before any run."""
    return fuzz.DICTIONARY.stat().st_mtime_ns


@pytest.fixture(scope="module")
def runs(programs, dictionary):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(fuzz.run, name, program, SECONDS) for name, program in programs.items()}


def test_all_targets_are_here(programs):
    assert set(programs) == set(EDGES) == set(fuzz.TARGETS)


@pytest.mark.parametrize("name", EDGES)
def test_fuzz(name, runs, figures):
    done = runs[name].result()
    assert not done.failed, done.output[-8000:]
    assert done.executions > 1000 and done.edges > EDGES[name]
    figures.record("fuzzing", name, "executions", done.executions)
    figures.record("fuzzing", name, "edges", done.edges)


def test_no_run_writes_what_another_reads(runs, dictionary):
    """One that wrote the dictionary again left it empty for a moment, and another could not start."""
    for run in runs.values():
        run.result()
    assert fuzz.DICTIONARY.stat().st_mtime_ns == dictionary


@pytest.mark.parametrize("name,word,seeds", [
    ("model", "computed", make_seeds.MODELS),
    ("checkpoint", "read", [f"{kind.removesuffix('.pt')}_{case}" for case, kind in make_seeds.CHECKPOINTS])])
def test_seeds_are_no_refusals(name, word, seeds, programs):
    """One that its own numbers stop at once leads no mutant anywhere."""
    paths = [fuzz.FOLDER / name / "corpus" / seed for seed in seeds]
    done = subprocess.run([programs[name], "-detect_leaks=0", *paths], env={**os.environ, "DGNN_FUZZ_SAYS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-8000:]
    assert dict(zip(seeds, done.stdout.splitlines(), strict=True)) == dict.fromkeys(seeds, word)


@pytest.fixture(scope="module")
def quick_programs():
    return fuzz.build("millions")


@pytest.mark.long
@pytest.mark.parametrize("name", EXECUTIONS)
def test_millions(name, quick_programs, figures):
    done = fuzz.run(name, quick_programs[name], 7200, EXECUTIONS[name], fuzz.LONGEST)
    assert not done.failed, done.output[-8000:]
    assert done.executions >= EXECUTIONS[name]
    figures.record("fuzzing", f"{name}, long", "executions", done.executions)


@pytest.mark.parametrize("path", sorted(BAD.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_ended_a_target_once(path, programs, tmp_path):
    done = subprocess.run([programs[path.parent.name], f"-artifact_prefix={tmp_path}/", path], capture_output=True,
                          text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stderr[-8000:]
