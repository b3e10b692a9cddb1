"""dgnn test beside deepmd-kit's dp test (tests/data/make_datasets.py), and every format that it reads."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import saved_files

import dgnn
from dgnn import cli, datasets

RUNS = {"plain": ("pth_dpa3", ["water", "cluster", "mixed"]), "atomic": ("pth_dpa3", ["atomic"]),
        "parameters": ("pth_fparam_aparam", ["parameters"]), "spins": ("pth_spin_dpa3", ["spins"])}
SETS = pathlib.Path(__file__).parents[1] / "data" / "datasets"
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.UntrainedElementWarning")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: str(saved_files.format_file(name, "frozen_model.pth", folder))
            for name in ("pth_dpa3", "pth_dpa2", "pth_fparam_aparam", "pth_spin_dpa3")}


@pytest.fixture
def in_sets(monkeypatch):
    """Names of systems in detail files are as deepmd-kit was given them."""
    monkeypatch.chdir(SETS)


def ran(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return printed.out


def report(capsys, *arguments):
    return json.loads(ran(capsys, "test", *arguments, "--json"))


def assert_near(got, want, keys=None):
    for key in keys or want:
        assert abs(got[key] - want[key]) <= 1e-10 * max(1, abs(want[key])), key


@pytest.mark.parametrize("run", RUNS)
def test_numbers_are_dp_tests(models, capsys, in_sets, run, figures):
    model, systems = RUNS[run]
    expected = json.loads((SETS / "expected.json").read_text())[run]
    got = report(capsys, models[model], *systems)
    assert [row["system"] for row in got["systems"]] == systems
    for row in got["systems"]:
        want = expected["systems"][row["system"]]
        assert set(row["errors"]) == set(want)
        assert_near(row["errors"], want)
        figures.record("dgnn test beside dp test", run, "worst", max(abs(row["errors"][key] - want[key]) for key in want))
    assert set(got["average"]) == set(expected["average"])
    assert_near(got["average"], expected["average"])
    assert got["frames"] == {"plain": 9}.get(run, 2)


@pytest.mark.parametrize("run", ["plain", "spins"])
def test_detail_files_are_dp_tests(models, capsys, in_sets, tmp_path, run):
    model, systems = RUNS[run]
    ran(capsys, "test", models[model], *systems, "-d", tmp_path / "d")
    wanted = sorted((SETS / "details" / run).iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in wanted]
    for path in wanted:
        got = tmp_path / path.name
        assert got.read_text().splitlines()[0] == path.read_text().splitlines()[0]
        np.testing.assert_allclose(np.loadtxt(got), np.loadtxt(path), rtol=0, atol=1e-10)


@pytest.mark.parametrize("systems, rows", [(["atomic"], 0), (["atomic", "water"], None)])
def test_detail_files_hold_labels_alone(models, capsys, in_sets, tmp_path, systems, rows):
    """Where a system has no virials dp test writes zeros beside the predictions; here it has no rows, and no file by itself."""
    printed = ran(capsys, "test", models["pth_dpa3"], *systems, "-d", tmp_path / "d", "--json")
    suffixes = {path.name.split(".")[1] for path in tmp_path.iterdir()}
    virials = {"v", "v_peratom", "s"}
    assert suffixes == {"e", "e_peratom", "f"} | (virials if rows is None else set())
    if rows is None:
        frames = {row["system"]: row["frames"] for row in json.loads(printed)["systems"]}
        assert len(np.loadtxt(tmp_path / "d.v.out")) == frames["water"]
        assert len(np.loadtxt(tmp_path / "d.e.out")) == sum(frames.values())


def test_formats_say_the_same(models, capsys, in_sets):
    """dpdata's HDF5 and raw, a group of the file by name, and the folder above."""
    model = models["pth_dpa3"]
    want = report(capsys, model, "parameters")["average"]
    for path in ("raw", "dpdata.hdf5", "dpdata.hdf5#/O2H4", "./raw/"):
        assert_near(report(capsys, model, path)["average"], want)
    everything = report(capsys, model, ".")
    assert {pathlib.Path(row["system"]).name for row in everything["systems"]} >= {"water", "mixed", "raw", "cluster"}


def test_extxyz_with_labels(models, capsys, in_sets, tmp_path):
    """Frames of any size in one file; the label of the virial is exact, or comes from the stress."""
    import ase.io
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    model = dgnn.Model.load(models["pth_dpa3"])
    frames = []
    for name in ("water", "cluster", "atomic"):
        for frame in next(datasets.read(name, model)).frames:
            box = frame.arguments.get("box")
            symbols = [model.type_map[k] for k in frame.arguments["types"]]
            atoms = Atoms(symbols, positions=frame.arguments["coords"], cell=box, pbc=box is not None)
            stress = None
            if "virial" in frame.labels and box is not None:
                virial = frame.labels["virial"].reshape(3, 3)
                frame.labels["virial"] = (0.5 * (virial + virial.T)).ravel()  # of which ASE keeps six numbers
                stress = -frame.labels["virial"][[0, 4, 8, 5, 2, 1]] / atoms.get_volume()
            atoms.calc = SinglePointCalculator(atoms, energy=frame.labels["energy"], forces=frame.labels["force"], stress=stress)
            frames.append(atoms)
    path = tmp_path / "labels.extxyz"
    ase.io.write(path, frames)
    got = report(capsys, models["pth_dpa3"], path)
    folders = report(capsys, models["pth_dpa3"], "water", "cluster", "atomic")
    assert got["frames"] == 8 and len(got["systems"]) == 1
    for key in ("mae_e", "rmse_e", "mae_ea", "rmse_ea", "mae_f", "rmse_f"):
        assert abs(got["average"][key] - folders["average"][key]) < 1e-7  # digits of the file
    assert 0 < got["average"]["rmse_v"] < folders["average"]["rmse_v"]  # the antisymmetric part of noise is gone


def test_lines_for_systems_and_all(models, capsys, in_sets, tmp_path):
    printed = ran(capsys, "test", models["pth_dpa3"], "water", "mixed", "-n", "1", "--plot", tmp_path / "parity.png")
    assert printed.count("MAE") == 18 and "water: 1 frames" in printed and "all 2 systems: 2 frames" in printed
    assert (tmp_path / "parity.png").stat().st_size > 20000


def test_eval_takes_folders(models, capsys, in_sets, tmp_path):
    """Results are those of the frames as dgnn test computes them; NULL atoms among them."""
    model = dgnn.Model.load(models["pth_dpa3"])
    lines = ran(capsys, "eval", models["pth_dpa3"], "mixed", "dpdata.hdf5", "--json").splitlines()
    rows = [json.loads(line) for line in lines]
    frames = [*next(datasets.read("mixed", model)).frames, *next(datasets.read("dpdata.hdf5", model)).frames]
    assert len(rows) == len(frames) == 5
    for row, frame in zip(rows, frames, strict=True):
        want = model.compute(**frame.arguments)
        assert abs(row["energy"] - want.energy) < 1e-12 * abs(want.energy)
        np.testing.assert_allclose(row["forces"], want.forces, atol=1e-12)
    out = tmp_path / "out.extxyz"
    ran(capsys, "eval", models["pth_spin_dpa3"], "spins", "-o", out)
    import ase.io

    assert "magforces" in ase.io.read(out).arrays and len(ase.io.read(out, ":")) == 2


def test_eval_of_folders_takes_parameters(models, data, capsys, tmp_path):
    """--fparam and --charge-spin are for all frames of folders and HDF5 too: where there are none, and before those there are."""
    shutil.copytree(SETS / "parameters", tmp_path / "bare")
    for path in (tmp_path / "bare").glob("set.*/fparam.npy"):
        path.unlink()
    model = dgnn.Model.load(models["pth_fparam_aparam"])
    fparam = np.linspace(0.3, 0.7, model.info()["dim_fparam"])
    for folder in (tmp_path / "bare", SETS / "parameters"):
        lines = ran(capsys, "eval", models["pth_fparam_aparam"], folder, "--json", "--fparam", *fparam).splitlines()
        frames = next(datasets.read(str(folder), model, given=["fparam"])).frames
        assert len(lines) == len(frames) > 1
        for line, frame in zip(lines, frames, strict=True):
            assert "fparam" not in frame.arguments
            want = model.compute(**frame.arguments, fparam=fparam).energy
            assert abs(json.loads(line)["energy"] - want) < 1e-12 * abs(want)
    assert cli.main(["eval", models["pth_fparam_aparam"], str(tmp_path / "bare")]) == 2
    assert "no fparam.npy, which this model needs" in capsys.readouterr().err
    charged = data / "cases" / "dpa3_charge_spin" / "model.pt2"
    model = dgnn.Model.load(charged)
    for path in (str(SETS / "water"), f"{SETS / 'dpdata.hdf5'}#/O2H4"):
        frame = next(datasets.read(path, model, 1, given=["charge_spin"])).frames[0]
        line = ran(capsys, "eval", charged, path, "--json", "--charge-spin", 1, 2).splitlines()[0]
        want = model.compute(**frame.arguments, charge_spin=[1, 2]).energy
        assert abs(json.loads(line)["energy"] - want) < 1e-12 * abs(want)


BROKEN = {
    "no such file": lambda folder: folder / "nothing",
    "found no type.raw": lambda folder: folder / "empty",
    "type_map.raw has X": lambda folder: folder / "element",
    "coord.npy": lambda folder: folder / "no_coord",
    "found shape": lambda folder: folder / "short",
    "no box.npy": lambda folder: folder / "no_box",
    "expected numbers of types": lambda folder: folder / "words",
    "has no labels": lambda folder: folder / "bare",
    "needs|no aparam": lambda folder: SETS / "water",
    "not an array of numbers as NumPy writes it": lambda folder: folder / "pickle",
}


def make_broken(folder):
    def system(name, types="0 1", names="O H", **arrays):
        path = folder / name
        (path / "set.000").mkdir(parents=True)
        (path / "type.raw").write_text(types)
        (path / "type_map.raw").write_text(names)
        for key, value in arrays.items():
            np.save(path / "set.000" / f"{key}.npy", value, allow_pickle=True)

    coord, box = np.zeros((1, 6)), np.eye(3).reshape(1, 9) * 9
    (folder / "empty").mkdir()
    system("element", names="O X", coord=coord, box=box)
    system("no_coord", box=box)
    system("short", coord=np.zeros((2, 6)), box=box)
    system("no_box", coord=coord)
    system("words", types="O H", coord=coord, box=box)
    system("bare", coord=np.array([[0, 0, 0, 1.0, 0, 0]]), box=box)
    system("pickle", coord=np.array([{"a": 1}], object), box=box)


@pytest.mark.parametrize("words", BROKEN)
def test_what_is_wrong_is_said_in_one_line(models, capsys, tmp_path, words):
    import re

    make_broken(tmp_path)
    model = models["pth_fparam_aparam" if "aparam" in words else "pth_dpa3"]
    assert cli.main(["test", model, str(BROKEN[words](tmp_path))]) == 2
    error = capsys.readouterr().err
    assert re.search(words, error) and error.count("\n") == 1 and "Traceback" not in error


def test_types_outside_the_map_are_refused(models, tmp_path):
    make_broken(tmp_path)
    (tmp_path / "bare" / "type.raw").write_text("0 2")
    model = dgnn.Model.load(models["pth_dpa3"])
    with pytest.raises(dgnn.InputError, match="types from 0 to 2"):
        list(datasets.read(str(tmp_path / "bare"), model))


def test_embed_writes_what_the_model_gives(models, capsys, in_sets, tmp_path):
    import h5py

    model = dgnn.Model.load(models["pth_dpa3"])
    ran(capsys, "embed", models["pth_dpa3"], "water", "mixed", "-o", tmp_path / "out.npz")
    ran(capsys, "embed", models["pth_dpa3"], "water", "mixed", "-o", tmp_path / "out.hdf5")
    frames = [frame for name in ("water", "mixed") for frame in next(datasets.read(name, model)).frames]
    with np.load(tmp_path / "out.npz") as got, h5py.File(tmp_path / "out.hdf5") as file:
        assert list(got["type_map"]) == model.type_map and list(got["frames_of"]) == [4, 3]
        for k, frame in enumerate(frames):
            rows = slice(got["first"][k], got["first"][k + 1])
            assert (got["types"][rows] == frame.arguments["types"]).all()
            assert (got["descriptor"][rows] == model.descriptor(**frame.arguments)).all()
            assert (got["last_layer"][rows] == model.last_layer(**frame.arguments)).all()
        assert (file["mixed"]["descriptor"][()].reshape(-1, got["descriptor"].shape[1]) == got["descriptor"][32:]).all()
        np.testing.assert_allclose(file["water/structural_feature"][1], got["last_layer"][8:16].sum(axis=0), atol=1e-12)
    ran(capsys, "embed", models["pth_dpa3"], "water", "--only", "descriptor", "--precision", "float32", "-o", tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as got:
        assert got["descriptor"].dtype == np.float32 and "last_layer" not in got.files


def test_devi_writes_deepmd_kits_table(models, capsys, in_sets, tmp_path):
    """Columns beside those of calc_model_devi, in the file that dp model-devi writes."""
    pair = [models["pth_dpa3"], models["pth_dpa2"]]
    with np.load(SETS / "devi.npz") as want:
        for name, more in (("plain", ["-f", "10"]), ("atomic", ["--atomic"]), ("real", ["--real-error"])):
            out = tmp_path / f"{name}.out"
            ran(capsys, "devi", *pair, "water", "-o", out, *more)
            np.testing.assert_allclose(np.loadtxt(out)[:3], want[name], rtol=1e-6)  # seven digits are written
    lines = (tmp_path / "plain.out").read_text().splitlines()
    assert lines[0] == "# water" and lines[1].split() == ["#", "step", "max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f",
                                                          "min_devi_f", "avg_devi_f", "devi_e"]
    assert cli.main(["devi", models["pth_dpa3"], "water"]) == 2
    assert "two models or more" in capsys.readouterr().err


def test_what_devi_and_embed_cannot_write(models, capsys, tmp_path):
    from ase import Atoms
    from ase.io import write

    frames = [Atoms("OHH" * n, positions=2.0 * np.arange(9 * n).reshape(-1, 3) % 7, cell=[8, 8, 8], pbc=True) for n in (1, 2)]
    write(tmp_path / "two.extxyz", frames)
    pair = [models["pth_dpa3"], models["pth_dpa2"]]
    assert cli.main(["devi", *map(str, pair), str(tmp_path / "two.extxyz"), "--atomic", "-o", str(tmp_path / "o.out")]) == 2
    assert "frames of different sizes" in capsys.readouterr().err
    for output in ("o.npz", "o.hdf5"):
        assert cli.main(["embed", str(pair[0]), str(tmp_path / "two.extxyz"), "-n", "0", "-o", str(tmp_path / output)]) == 2
        assert "-n: expected 1 or more, found 0" in capsys.readouterr().err


def test_the_command_runs_as_one(models, tmp_path):
    """From a shell, as users do; --help has examples."""
    done = subprocess.run([sys.executable, "-m", "dgnn", "test", models["pth_dpa3"], str(SETS / "cluster")],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "RMSE" in done.stdout and not done.stderr.strip().startswith("Traceback")
    for command in ("test", "embed", "devi"):
        told = subprocess.run([sys.executable, "-m", "dgnn", command, "--help"], capture_output=True, text=True, timeout=60)
        assert "examples:" in told.stdout
