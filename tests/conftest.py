"""For all suites: no silent skips, counts for each suite, and the worst figures of comparisons."""

import collections
import os
import pathlib
import re
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent
DATA = TESTS / "data"
sys.path[:0] = [str(ROOT / "tools"), str(DATA)]
os.environ.setdefault("OMP_NUM_THREADS", "2")


class Figures:
    """The worst figure of each comparison: table -> row -> column -> (value, limit)."""

    def __init__(self):
        self.tables = collections.defaultdict(lambda: collections.defaultdict(dict))

    def record(self, table, row, column, value, limit=None):
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


class Suites:
    """Counts for each folder of tests, and the skips that tests/allowed_skips.txt does not know."""

    def __init__(self):
        self.counts = collections.defaultdict(collections.Counter)
        self.refused = []
        self.c_checks = 0
        self.allowed = []
        for number, line in enumerate((TESTS / "allowed_skips.txt").read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                pattern, reason, why = (part.strip() for part in line.split("::", 2))
                assert why, f"tests/allowed_skips.txt:{number}: no word on why"
                self.allowed.append((re.compile(pattern), reason))

    def count(self, nodeid, outcome):
        parts = pathlib.PurePosixPath(nodeid.split("::")[0]).parts
        self.counts[parts[1] if len(parts) > 2 and parts[0] == "tests" else parts[0]][outcome] += 1

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
        for line in self.refused:
            terminal.write_line(f"skipped, but not in tests/allowed_skips.txt: {line}", red=True)


FIGURES = pytest.StashKey[Figures]()
SUITES = pytest.StashKey[Suites]()
CONFIG = None


def pytest_configure(config):
    global CONFIG
    CONFIG = config
    config.stash[FIGURES] = Figures()
    config.stash[SUITES] = Suites()


def reason_of(report):
    longrepr = report.longrepr
    return longrepr[2] if isinstance(longrepr, tuple) else getattr(report, "wasxfail", None) or str(longrepr)


def pytest_runtest_logreport(report):
    suites = CONFIG.stash[SUITES]
    if report.skipped:
        suites.skip(report.nodeid, reason_of(report))
    elif report.failed:
        suites.count(report.nodeid, "failed")
    elif report.when == "call":
        suites.count(report.nodeid, "passed")


def pytest_collectreport(report):
    if report.skipped:
        CONFIG.stash[SUITES].skip(report.nodeid, reason_of(report))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if session.config.stash[SUITES].refused and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    CONFIG.stash[FIGURES].write(terminalreporter)
    CONFIG.stash[SUITES].write(terminalreporter)


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


@pytest.fixture(scope="session")
def base_path():
    """A small DPA3 model with random weights."""
    return DATA / "cases" / "dpa3_base" / "model.pt2"
