"""Archives with a member renamed, added, deleted or changed: refused by name, or the numbers of the original because the
table of members says that nothing depends on it. The program and its choice: mutants.py."""

import mutants
import pytest

SHORT, LONG = 1200, 20_000


def check(count, variant, seed, figures):
    counts, problems = mutants.run(count, seed, variant)
    assert not problems, "\n".join(problems[:40])
    assert counts["tried"] == count < counts["all"] and counts["refused"] > 0.5 * count < counts["tried"]
    assert counts["same"] > 0.05 * count
    for kind, number in counts.items():
        figures.record(f"mutants ({variant})", "all families", kind, number)


def test_mutants(figures):
    check(SHORT, "release", 1, figures)


@pytest.mark.long
def test_mutants_under_sanitizers(figures):
    check(LONG, "asan", 2, figures)


def test_the_judge_can_fail():
    right = {"energy 1 forces 2"}
    for expected, line, default in [(mutants.REFUSED, "energy 1 forces 2", None), (mutants.SAME, "refused FORMAT x", None),
                                    (mutants.EITHER, "energy 3 forces 2", None), (mutants.EITHER, "energy 3 f", "energy 4")]:
        assert mutants.judge(mutants.Mutant("m", None, expected), line, default, right)
    assert not mutants.judge(mutants.Mutant("m", None, mutants.EITHER), "energy 3", "energy 3", right)
