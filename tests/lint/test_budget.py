"""The minutes of tests/budget.txt: every suite has a row, and a run with --budget fails beyond one by more than a quarter."""

import subprocess
import sys

import pytest
from conftest import ROOT, TESTS, Budget


def lines(seconds, workers=1):
    class Terminal:
        def write_line(self, line):
            printed.append(line)

    printed = []
    return Budget().write(Terminal(), seconds, workers), printed


def test_every_suite_has_a_row():
    suites = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    assert suites <= set(Budget().row_of)
    over, printed = lines(dict.fromkeys(suites, 0.5))
    assert not over and len(printed) == len(Budget().rows)


def test_a_quarter_more_is_too_long():
    minutes = Budget().rows["engine"]
    assert not lines({"unit": 74.9 * minutes})[0] and not lines({"unit": 149.9 * minutes}, workers=2)[0]
    assert lines({"unit": 40 * minutes, "trust": 36 * minutes})[0] == [
        f"engine: {76 * minutes / 60:.1f} minutes, its budget in tests/budget.txt is {minutes:g}"]
    assert lines({"new": 1})[0] == ["new: this suite has no row in tests/budget.txt"]


@pytest.mark.parametrize("minutes,options,status", [(0.0001, ["--budget"], 1), (0.0001, [], 0), (1, ["--budget"], 0)])
def test_a_run(tmp_path, minutes, options, status):
    """A whole run, of a suite that takes a tenth of a second."""
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "tests" / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "tests" / "allowed_skips.txt").write_text("")
    (tmp_path / "tests" / "budget.txt").write_text(f"# row, minutes, suites\nengine {minutes} unit\n")
    (tmp_path / "tests" / "unit" / "test_x.py").write_text("import time\n\n\ndef test_x():\n    time.sleep(0.1)\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert f"of {minutes:g} minutes" in done.stdout
    assert ("over its budget by more than a quarter: engine" in done.stdout) == bool(status)
