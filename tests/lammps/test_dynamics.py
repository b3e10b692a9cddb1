"""NVE for 100 steps on grids of ranks, with atoms that take no part and ranks without any: at the last step beside Model.compute,
and beside one rank."""

import functools
import itertools
import pathlib
import tempfile

import numpy as np
import pytest
from lammps_runs import BOX, Frame, case, load, spins_of, system, write_data
from test_scenarios import NVE, Scenario, check, file_of, start

GRIDS = {"1 1 1": 1, "4 1 1": 4, "2 2 1": 4, "2 2 2": 8, "4 1 2": 8}
KINDS = {"DPA3": "dpa3_base", "DPA2": "dpa2_base", "spin": "spin_dpa3"}
WIDE = 20.0  # Angstrom. Half of the ranks of each grid, and two of four in a row, have none of the atoms of "cluster".
CORNER = np.array([5.6, 0.0, 6.7])
ALONE = [[1, 5, 2], [19, 5, 18], [7.5, 14.5, 2], [12.5, 14.5, 18]]  # beyond the cutoff, and not on ranks of their own
OTHERS = [[x, 15, z] for x in (2.5, 7.5, 12.5, 17.5) for z in (5, 15)] + [[x, 5, z] for x in (2.5, 17.5) for z in (5, 15)]
SITUATIONS = {  # name: (data, elements, temperature, skin)
    "bulk": ("bulk", "O H", 300, 1.0),
    "NULL isolated": ("alone", "O H NULL", 300, 1.0),
    "NULL straddling, rebuilds": ("straddling", "O H NULL", 6000, 0.2),
    "ranks of NULL": ("others", "O H NULL", 300, 1.0),
    "empty ranks": ("cluster", "O H", 300, 1.0),
}
LIMIT = 1e-9  # from one rank, of the largest component
CASES = [(kind, situation, virials) for kind in KINDS for situation in SITUATIONS for virials in (True, False)]
QUICK = {"2 2 1": [("DPA3", "bulk", False), ("DPA3", "NULL straddling, rebuilds", True), ("DPA2", "ranks of NULL", True),
                   ("spin", "NULL isolated", True)],
         "4 1 1": [("DPA3", "empty ranks", False), ("DPA2", "NULL straddling, rebuilds", False), ("spin", "ranks of NULL", True)]}
QUICK["1 1 1"] = QUICK["2 2 1"] + QUICK["4 1 1"]


@functools.cache
def systems():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dgnn-lammps-"))
    positions, types = system()
    for name, box, places in (("bulk", BOX, []), ("straddling", BOX, []), ("cluster", np.eye(3) * WIDE, []),
                              ("alone", np.eye(3) * WIDE, ALONE), ("others", np.eye(3) * WIDE, OTHERS)):
        coords = np.vstack([positions + CORNER * (box is not BOX), *places])
        kinds = np.append(types, np.full(len(places), 2))
        if name == "straddling":
            kinds = np.where(np.arange(len(kinds)) % 5 == 0, 2, kinds)
        spins = np.random.default_rng(5).normal(size=(len(kinds), 3))
        for style in ("atomic", "spin"):
            write_data(folder / f"{name}.{style}", coords, kinds, box=box, ntypes=2 + (2 in kinds), style=style,
                       spins=spins if style == "spin" else None)
    return folder


def scenario(grid, kind, situation, virials):
    data, elements, heat, skin = SITUATIONS[situation]
    style = "spin" if kind == "spin" else "atomic"
    return Scenario(NVE.format(heat) + "run 100\n", data=systems() / f"{data}.{style}", style=style, elements=elements, skin=skin,
                    first=f"processors {grid}\n", model=case(KINDS[kind]), atoms=virials, counts="nbuild" * ("rebuilds" in situation),
                    given=dict(spins=spins_of) if style == "spin" else {})


def name_of(grid, kind, situation, virials):
    return f"NVE {grid}, {kind}, {situation}, {'with' if virials else 'without'} virials of atoms"


@functools.cache
def finished(grid, kind):
    """One start of LAMMPS for all situations of a kind of model; "": for all that are quick."""
    cases = [one for one in CASES if one[0] == kind] if kind else QUICK[grid]
    scenarios = {name_of(grid, *one): scenario(grid, *one) for one in cases}
    return start(scenarios, GRIDS[grid], timeout=3000 if kind else 300)


def rank_of(frame, grid):
    """Of each atom, on a grid that cuts the box evenly."""
    shape = [int(word) for word in grid.split()]
    fractions = (frame.get("x", "y", "z") - frame.low) @ np.linalg.inv(frame.box) % 1.0
    return np.ravel_multi_index(tuple(np.floor(fractions * shape).astype(int).T), shape, mode="clip")


def check_situation(frame, grid, kind, situation):
    """Is it what it is called, at the last step?"""
    ranks, is_null = rank_of(frame, grid), frame.columns["type"] == 3
    has_real, has_null = (np.bincount(ranks[of], minlength=GRIDS[grid]) > 0 for of in (~is_null, is_null))
    assert has_null.any() == ("NULL" in situation) and has_real.sum() > 1
    if situation in ("ranks of NULL", "empty ranks"):
        assert (has_null if "NULL" in situation else ~has_null)[~has_real].any() and (~has_real).any()
    elif "NULL" in situation:
        assert (has_real & has_null).any()
    if situation == "NULL isolated":
        away = (frame.get("x", "y", "z")[~is_null, None] - frame.get("x", "y", "z")[None, is_null]) / WIDE
        assert np.linalg.norm(away - np.round(away), axis=-1).min() * WIDE > load(case(KINDS[kind])).cutoff


def beside_one_rank(frame, one):
    """{what: difference over the largest component}"""
    away = (frame.get("x", "y", "z") - one.get("x", "y", "z")) @ np.linalg.inv(frame.box)
    found = {"positions": np.abs((away - np.round(away)) @ frame.box).max() / np.diag(frame.box).max()}
    for what in ("v", "f"):
        ours, theirs = (each.get(*(what + axis for axis in "xyz")) for each in (frame, one))
        found[{"v": "velocities", "f": "forces"}[what]] = np.abs(ours - theirs).max() / np.abs(theirs).max()
    return found


def marked(grid, which):
    """A quick one is run among all, too: another start of LAMMPS, with other neighbours in its script."""
    for quick in (True, False):
        if not quick or which in QUICK.get(grid, ()):
            marks = [pytest.mark.xdist_group("ranks of LAMMPS"), *([] if quick else [pytest.mark.long])]
            yield pytest.param(grid, *which, quick, marks=marks, id=name_of(grid, *which) + (", quick" if quick else ""))


ALL = [one for grid, which in itertools.product(GRIDS, CASES) if grid != "4 1 2" or which[1] == "bulk" for one in marked(grid, which)]


@pytest.mark.parametrize("grid, kind, situation, virials, quick", ALL)
def test_nve(grid, kind, situation, virials, quick, figures):
    folder, wrong = finished(grid, "" if quick else kind)
    name = name_of(grid, kind, situation, virials)
    assert (folder / f"{file_of(name)}.row").exists(), wrong
    check(name, scenario(grid, kind, situation, virials), folder, figures, "pair_style dgnn after 100 steps beside compute")
    if grid == "1 1 1":
        return
    frame = Frame(folder / f"{file_of(name)}.dump")
    check_situation(frame, grid, kind, situation)
    alone, wrong = finished("1 1 1", "" if quick else kind)
    one = file_of(name_of("1 1 1", kind, situation, virials))
    assert (alone / f"{one}.row").exists(), wrong
    for what, value in beside_one_rank(frame, Frame(alone / f"{one}.dump")).items():
        figures.record("pair_style dgnn after 100 steps beside one rank", name, what, value, LIMIT)
        assert value <= LIMIT, (what, value)
