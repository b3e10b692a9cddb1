"""The benchmark runs, and says what its readme says. Speed itself is no test."""

import json
import subprocess
import sys

from conftest import ROOT


def test_one_row(tmp_path):
    out = tmp_path / "rows.json"
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "bench_model.py", "--row", "molecule_24", "--row",
                           "fast_192", "--json", out], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["name"] for row in rows] == ["fast_192", "molecule_24"]
    assert rows[0]["atoms"] == 192 and rows[1]["atoms"] == 24
    assert 0 < rows[0]["mb_per_atom"] < 20 and 0 < rows[0]["split_share"] < 3 and rows[0]["runs"] >= 3
    assert rows[1]["split_share"] is None
    assert "fast_192" in done.stdout and "import" in done.stdout


def test_memory_of_families(tmp_path):
    """At most 1 MB an atom for the sizes of deepmd-kit's examples/water."""
    out = tmp_path / "rows.json"
    names = ["dpa2_small", "dpa2_medium", "se_atten", "se_e2_a"]
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "bench_model.py", "--json", out,
                           *(word for name in names for word in ("--row", name))],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["name"] for row in rows] == names
    for row in rows:
        assert 0.1 < row["mb_per_atom"] <= 1, row
