"""Model deviation of several models in LAMMPS: deepmd-kit's numbers, and its file beside numpy."""

import numpy as np
import pytest
from lammps_runs import case, load, run, write_data, Frame
from test_scenarios import data_folder

from conftest import DATA

COMMITTEES = {"dpa1": ["dpa1_small_sel", "dpa1_small_sel_graph"],
              "dpa2": ["dpa2_graph_small_sel", "dpa2_graph_small_sel_graph", "dpa2_graph_small_sel"]}
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
HEAD = "units {units}\natom_style {style}\n{first}read_data {data}\nneighbor 0.5 bin\npair_style dgnn {models} {words}\n" \
       "pair_coeff * * {elements}\ntimestep {step}\nthermo_modify norm no\n"


def script(models, words, data, body, units="metal", style="atomic", first="", elements="O H"):
    return HEAD.format(units=units, style=style, first=first, data=data, words=words, elements=elements,
                       step=0.5 if units == "real" else 0.0005, models=" ".join(str(case(name)) for name in models)) + body


def rows_of(path):
    lines = path.read_text().splitlines()
    return lines[0], [np.array(line.split(), float) for line in lines[1:]]


@pytest.mark.parametrize("ranks", [1, 3])
def test_deepmd_numbers(ranks, tmp_path):
    """deepmd-kit's own functions over its own forces, made once (make_model_devi.py)."""
    expected, text = np.load(DATA / "model_devi.npz"), ""
    for kind, names in COMMITTEES.items():
        with np.load(case(names[0]).parent / "cases.npz") as file:
            coords, types, box = (file[f"slab/in/{name}"] for name in ("coord", "type", "box"))
        fractions = coords @ np.linalg.inv(box)
        write_data(tmp_path / kind, (fractions - np.floor(fractions)) @ box, types, box=box, low=np.zeros(3))
        for label, words in (("plain", ""), ("relative", "relative 0.25")):
            text += "clear\n" + script(names, f"out_file {kind}.{label} out_freq 1 atomic {words}", kind, "run 0\n")
    run(text, tmp_path, ranks)
    for key in expected.files:
        head, (row,) = rows_of(tmp_path / key.replace("/", "."))
        assert head.split() == ["#", "step", "max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f", "min_devi_f", "avg_devi_f",
                                "atm_devi_f(N)"]
        np.testing.assert_allclose(row[1:], expected[key], rtol=2e-6, atol=2e-12)  # the file has seven digits


def deviation(answers, natoms, factor=1.0, level=None, level_v=None, name="forces"):
    """As deepmd-kit's pair style has it."""
    vectors = np.array([getattr(answer, name) for answer in answers])
    of_atoms = np.linalg.norm(vectors.std(axis=0), axis=-1)
    if level is not None:
        of_atoms = of_atoms / (np.linalg.norm(vectors.mean(axis=0), axis=-1) + level)
    virials = np.array([answer.virial.ravel() for answer in answers]) / natoms
    of_virials = virials.std(axis=0)
    if level_v is not None:
        of_virials = of_virials / (np.abs(virials.mean(axis=0)) + level_v)
    summary = [of_virials.max(), of_virials.min(), np.sqrt((of_virials**2).mean()), of_atoms.max(), of_atoms.min(), of_atoms.mean()]
    return factor * np.array(summary), factor * of_atoms


MEMBERS = ["dpa3_base", "se_e2_a", "dpa1_attn2"]
DUMP = "dump out all custom 2 {0}.dump id type x y z{1}\ndump_modify out sort id format float %.17g\n"
MOVE = "velocity all create 300 1 loop geom\nfix move all nve\n"
DEPOSIT = "region there block 1 8 0 7 18 24\nfix deposit all deposit 4 1 3 12345 region there near 0.8 vz -50 -60\n"
RUNS = {  # name: (units, words, data, first, body, levels)
    "plain": ("metal", "", "bulk", "", MOVE + DUMP.format("plain", "") + "run 6\n", {}),
    "relative": ("metal", "atomic relative 0.3", "bulk", "", MOVE + DUMP.format("relative", "") + "run 6\n", {"level": 0.3}),
    "relative_v": ("metal", "relative_v 0.2", "bulk", "", MOVE + DUMP.format("relative_v", "") + "run 6\n", {"level_v": 0.2}),
    "real": ("real", "atomic relative 6.91816", "bulk", "", MOVE + DUMP.format("real", "") + "run 6\n",
             {"level": 6.91816 / (0.0019872067 / 8.617343e-5)}),
    "deposit": ("metal", "atomic", "slab", "processors 1 1 *\n", MOVE + DEPOSIT + DUMP.format("deposit", "") + "run 12\n", {}),
}


@pytest.mark.parametrize("ranks", [1, 3])
def test_file(ranks, tmp_path):
    """out_freq 2, and between the deviations the first model alone."""
    text = ""
    for name, (units, words, data, first, body, _) in RUNS.items():
        text += "clear\n" + script(MEMBERS, f"out_freq 2 out_file {name}.out {words}", data_folder() / data, body, units, first=first)
    run(text, tmp_path, ranks)
    for name, (units, words, _, _, _, levels) in RUNS.items():
        _, rows = rows_of(tmp_path / f"{name}.out")
        frames = (tmp_path / f"{name}.dump").read_text().split("ITEM: TIMESTEP\n")[1:]
        assert [row[0] for row in rows] == list(range(0, 13 if name == "deposit" else 7, 2)) and len(frames) == len(rows)
        for row, text in zip(rows, frames):
            (tmp_path / "frame").write_text("ITEM: TIMESTEP\n" + text)
            frame = Frame(tmp_path / "frame")
            answers = [load(case(member)).compute(frame.get("x", "y", "z") - frame.low, frame.columns["type"].astype(int) - 1,
                                                  frame.box, pbc=True) for member in MEMBERS]
            factor = 0.0019872067 / 8.617343e-5 if units == "real" else 1.0
            summary, atoms = deviation(answers, len(frame.columns["id"]), factor, **levels)
            np.testing.assert_allclose(row[1:7], summary, rtol=2e-6, atol=1e-12)
            assert len(row) == 7 + len(atoms) * ("atomic" in words)
            if "atomic" in words:
                np.testing.assert_allclose(row[7:], atoms, rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("ranks", [1, 2])
def test_spins(ranks, tmp_path):
    members, spins = ["spin_dpa3", "spin_dpa2"], "compute mag all property/atom spx spy spz sp\n"
    body = spins + DUMP.format("spins", " c_mag[*]") + "run 0\n"
    run(script(members, "out_freq 1 out_file out atomic", data_folder() / "spins", body, style="spin"), tmp_path, ranks)
    head, (row,) = rows_of(tmp_path / "out")
    assert head.split()[5:] == [f"{what}_devi_{of}" for of in ("fr", "fm") for what in ("max", "min", "avg")] + ["atm_devi_fr(N)"]
    frame = Frame(tmp_path / "spins.dump")
    directions = frame.get("c_mag[1]", "c_mag[2]", "c_mag[3]") * frame.columns["c_mag[4]"][:, None]
    answers = [load(case(member)).compute(frame.get("x", "y", "z") - frame.low, frame.columns["type"].astype(int) - 1, frame.box,
                                          pbc=True, spins=directions) for member in members]
    summary, atoms = deviation(answers, 36)
    magnetic, _ = deviation(answers, 36, name="forces_mag")
    np.testing.assert_allclose(row[1:], np.concatenate([summary, magnetic[3:], atoms]), rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("hybrid", [False, True])
def test_restart_goes_on(hybrid, tmp_path):
    """A restarted run appends, without a second head; another pair_style begins anew, and so does one within a hybrid."""
    words = " ".join(str(case(name)) for name in MEMBERS[:2]) + " out_freq 2 out_file out"
    pair = f"pair_style {'hybrid/overlay' * hybrid} dgnn {words} {'zero 3.0' * hybrid}\npair_coeff * * {'dgnn' * hybrid} O H\n"
    pair += "pair_coeff * * zero\n" * hybrid
    text = f"units metal\natom_style atomic\nread_data {data_folder() / 'bulk'}\nneighbor 0.5 bin\ntimestep 0.0005\n{pair}{MOVE}"
    text += f"run 2\nwrite_restart state\nclear\nread_restart state\n{pair}fix move all nve\nrun 2\n"
    run(text, tmp_path, 2)
    lines = (tmp_path / "out").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["#", *([] if hybrid else ["0", "2"]), "2", "4"]


def test_file_that_cannot_be_written(tmp_path):
    done = run(script(MEMBERS[:2], "out_file nowhere/out", data_folder() / "bulk", "run 0\n"), tmp_path, 2, check=False)
    assert done.returncode and "out_file: cannot write nowhere/out: No such file" in done.stdout + done.stderr


def test_no_file(tmp_path):
    run(script(MEMBERS[:2], "out_freq 0 out_file out", data_folder() / "bulk", "run 2\n"), tmp_path)
    assert not (tmp_path / "out").exists()
    done = run(script(MEMBERS[:1], "out_freq 5 out_file out", data_folder() / "bulk", "run 2\n"), tmp_path)
    assert not (tmp_path / "out").exists() and "no effect with one model" in done.stdout
