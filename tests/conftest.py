"""For all suites: no silent skips, counts and minutes of each suite, its budget, and the worst figures of comparisons.

`make test` runs two workers side by side (pytest-xdist). Tests that share a fixture of their file stay together on one
worker. A test marked "alone" has the machine for itself: all tests hold a lock together, it holds it by itself. What a
worker's tests record travels to the process that prints it with their reports."""

import collections
import contextlib
import fcntl
import gc
import os
import pathlib
import re
import shutil
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent
DATA = TESTS / "data"
sys.path[:0] = [str(ROOT / "tools"), str(DATA), str(TESTS / "parity")]
os.environ.setdefault("OMP_NUM_THREADS", "2")


@contextlib.contextmanager
def no_collection():
    """What earlier tests left in cycles is freed before or after, not meanwhile, where blocks are counted."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture(name="no_collection")
def _no_collection():
    with no_collection():
        yield


class Figures:
    """The worst figure of each comparison: table -> row -> column -> (value, limit)."""

    def __init__(self):
        self.tables = collections.defaultdict(lambda: collections.defaultdict(dict))
        self.recorded = []  # by the test that runs now, for its report

    def record(self, table, row, column, value, limit=None):
        self.recorded.append((table, row, column, float(value), limit))

    def keep(self, table, row, column, value, limit):
        cell = self.tables[table][row]
        if column not in cell or value > cell[column][0]:
            cell[column] = (float(value), limit)

    def write(self, terminal):
        for title, rows in self.tables.items():
            terminal.section(title)
            columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
            width = max(map(len, rows))
            terminal.write_line(f"{'':{width}} " + " ".join(f"{column:>15}" for column in columns))
            for row, cells in sorted(rows.items()):
                values = [f"{cells[column][0]:15.2e}" if column in cells else f"{'-':>15}" for column in columns]
                terminal.write_line(f"{row:{width}} " + " ".join(values))


class Budget:
    """Minutes that the suites may take: rows of tests/budget.txt."""

    def __init__(self):
        self.rows, self.row_of = {}, {}
        for line in (TESTS / "budget.txt").read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                row, minutes, *suites = line.split()
                self.rows[row] = float(minutes)
                self.row_of |= dict.fromkeys(suites, row)

    def write(self, terminal, seconds, workers):
        """Prints minutes by the clock, and returns a line for each row that is over by more than a quarter."""
        used, over = collections.Counter(), []
        for suite, total in seconds.items():
            used[self.row_of.get(suite, "other")] += total / 60 / workers
        for row, minutes in self.rows.items():
            terminal.write_line(f"{row:10} {used[row]:6.1f} of {minutes:g} minutes")
            if used[row] > 1.25 * minutes:
                over.append(f"{row}: {used[row]:.1f} minutes, its budget in tests/budget.txt is {minutes:g}")
        over += [f"{suite}: this suite has no row in tests/budget.txt" for suite in seconds if suite not in self.row_of]
        return over


class Suites:
    """Counts and seconds for each folder of tests, and the skips that tests/allowed_skips.txt does not know."""

    def __init__(self):
        self.counts = collections.defaultdict(collections.Counter)
        self.seconds = collections.Counter()
        self.refused = []
        self.c_checks = 0
        self.said = set()  # what tests want said once, with record_property("said", line)
        self.allowed = []
        for number, line in enumerate((TESTS / "allowed_skips.txt").read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                pattern, reason, why = (part.strip() for part in line.split("::", 2))
                assert why, f"tests/allowed_skips.txt:{number}: no word on why"
                self.allowed.append((re.compile(pattern), reason))

    @staticmethod
    def of(nodeid):
        parts = pathlib.PurePosixPath(nodeid.split("::")[0]).parts
        return parts[1] if len(parts) > 2 and parts[0] == "tests" else parts[0]

    def count(self, nodeid, outcome):
        self.counts[self.of(nodeid)][outcome] += 1

    def skip(self, nodeid, reason):
        self.count(nodeid, "skipped")
        name = nodeid.replace("::", "/")
        if not any(pattern.search(name) and text in reason for pattern, text in self.allowed):
            self.refused.append(f"{nodeid}: {reason}")

    def write(self, terminal):
        terminal.section("suites")
        for suite, counts in sorted(self.counts.items()):
            extra = f" ({self.c_checks} checks in C)" if suite == "c" else ""
            terminal.write_line(f"{suite:10} " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())) + extra)
        for line in sorted(self.said):
            terminal.write_line(line)
        for line in self.refused:
            terminal.write_line(f"skipped, but not in tests/allowed_skips.txt: {line}", red=True)


FIGURES = pytest.StashKey[Figures]()
SUITES = pytest.StashKey[Suites]()
CONFIG = None


def pytest_addoption(parser):
    parser.addoption("--budget", action="store_true", help="fail where a suite takes longer than tests/budget.txt says")


def pytest_configure(config):
    global CONFIG
    CONFIG = config
    config.stash[FIGURES] = Figures()
    config.stash[SUITES] = Suites()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """A fixture of a file is made once: on one worker. First, since pytest-xdist's own hook reads the marks."""
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        if any(definitions and definitions[-1].scope == "module" for definitions in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))


def pytest_collection_finish(session):
    """A group that pytest-xdist did not see runs on both workers, and they build the same file at the same time."""
    if hasattr(session.config, "workerinput"):
        unseen = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        assert not unseen, f"pytest-xdist did not see the group of {unseen[0]}"


class Turnstile:
    """A shared lock that a waiter for the exclusive one is not kept from by those who come later."""

    def __init__(self, folder, alone):
        folder.mkdir(parents=True, exist_ok=True)
        self.paths, self.alone = (folder / "gate", folder / "tests"), alone

    def __enter__(self):
        gate, self.lock = (open(path, "w") for path in self.paths)
        with gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(self.lock, fcntl.LOCK_EX if self.alone else fcntl.LOCK_SH)

    def __exit__(self, *error):
        self.lock.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with Turnstile(ROOT / "build" / "locks", item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    figures = item.config.stash[FIGURES]
    if figures.recorded:
        report.user_properties.append(("figures", figures.recorded))
        figures.recorded = []
    return report


def reason_of(report):
    longrepr = report.longrepr
    return longrepr[2] if isinstance(longrepr, tuple) else getattr(report, "wasxfail", None) or str(longrepr)


def pytest_runtest_logreport(report):
    if hasattr(CONFIG, "workerinput"):
        return  # the controller gets it, too
    suites, figures = CONFIG.stash[SUITES], CONFIG.stash[FIGURES]
    suites.seconds[suites.of(report.nodeid)] += report.duration
    for name, value in report.user_properties if report.when == "call" else ():
        if name == "figures":
            for figure in value:
                figures.keep(*figure)
        elif name == "checks in C":
            suites.c_checks += value
        elif name == "said":
            suites.said.add(value)
    if report.skipped:
        suites.skip(report.nodeid, reason_of(report))
    elif report.failed:
        suites.count(report.nodeid, "failed")
    elif report.when == "call":
        suites.count(report.nodeid, "passed")


def pytest_collectreport(report):
    if report.skipped and not hasattr(CONFIG, "workerinput"):
        CONFIG.stash[SUITES].skip(report.nodeid, reason_of(report))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if session.config.stash[SUITES].refused and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    config, suites = terminalreporter.config, CONFIG.stash[SUITES]
    CONFIG.stash[FIGURES].write(terminalreporter)
    suites.write(terminalreporter)
    over = Budget().write(terminalreporter, suites.seconds, config.getoption("numprocesses", None) or 1)
    if over and config.getoption("--budget"):
        for line in over:
            terminalreporter.write_line(f"over its budget by more than a quarter: {line}", red=True)
        session = terminalreporter._session
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def figures(pytestconfig):
    """figures.record(table, row, column, value): the worst are printed at the end of the run."""
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="session")
def data():
    """The folder of reference data."""
    return DATA


@pytest.fixture(scope="session")
def water_path():
    """The trained water model."""
    return ROOT / "examples" / "water" / "model.pt2"


@pytest.fixture
def check_cases(tmp_path, monkeypatch):
    """Two of dgnn check's cases, one of which runs on a device, in a folder of their own; and nothing of MPI, which takes a
    process of its own."""
    import numpy as np

    from dgnn import check

    monkeypatch.setattr(check._Checks, "mpi", lambda self: {"found": False, "why": "not asked", "modules": []})
    folder = tmp_path / "cases"
    folder.mkdir()
    with np.load(check.CASES / "answers.npz") as file:
        np.savez(folder / "answers.npz", **{key: file[key] for key in file if key.startswith(("se_e2_a/", "dpa3_base/"))})
    for name in ("weights.json", "se_e2_a.pt2", "dpa3_base.pt2"):
        shutil.copy(check.CASES / name, folder)
    return folder


@pytest.fixture(scope="session")
def base_path():
    """A small DPA3 model with random weights."""
    return DATA / "cases" / "dpa3_base" / "model.pt2"
