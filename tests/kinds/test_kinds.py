"""What is not energy (dipoles, polarisabilities, densities of states, properties), pair tables and compressed models: on ranks, with a host's
ghosts, with frames, NULL atoms and sessions, by differences, and what is refused. deepmd-kit's numbers: parity/test_cases.py."""

import json
import sys
import threading
import zipfile

import dgnn
import numpy as np
import pytest
from conftest import DATA, ROOT
from dgnn import cli, kinds, testing
from test_cases import CASES, OTHERS, Case, load_arrays

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
OUTPUTS = [name for name in CASES if name.split("_")[0] in OTHERS and "f32" not in name]
TABLES = [name for name in CASES if name.startswith("zbl_") or "pairtab" in name]
COMPRESSED = [name for name in CASES if name.startswith("compressed_")]
FEW = ["dipole_dpa3", "dipole_dpa2", "dipole_hybrid", "dipole_exclude", "polar_dpa3", "dos_fparam_aparam", "property_dpa3",
       "property_atom_exclude", "zbl_dpa3", "zbl_dpa1", "linear_dpa2_pairtab", "compressed_dpa2", "compressed_dpa1",
       "compressed_se_e2_a", "compressed_se_e3_tebd", "compressed_dipole"]


def load(name, **options):
    return dgnn.Model.load(DATA / "cases" / name / "model.pt2", threads=1, **options)


def inputs_of(name, system="slab"):
    return Case(load_arrays(DATA / "cases" / name), system).inputs()


def arrays_of(result):
    """What belongs to the model's answer; the counts depend on how a call was made."""
    counts = ("nedges", "ntruncated", "nghosts", "nangle_truncated", "list_reused")
    return {name: np.asarray(value) for name, value in vars(result).items() if value is not None and name not in counts}


def assert_close(found, wanted, limit, where):
    assert found.keys() == wanted.keys(), where
    for name, value in wanted.items():
        assert found[name].shape == value.shape, (where, name)
        scale = np.abs(value).max(initial=0)
        assert np.abs(found[name] - value).max(initial=0) <= limit * max(scale, 1e-300), (where, name)


def test_there_are_cases_of_each():
    assert {name.split("_")[0] for name in OUTPUTS} == set(OTHERS) and len(OUTPUTS) >= 24
    assert len(TABLES) >= 8 and set(FEW) <= {*OUTPUTS, *TABLES, *COMPRESSED}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_a_result_has(name):
    model = load(name)
    info, output = model.info(), name.split("_")[0]
    result = model.compute(**inputs_of(name))
    assert model.output == info["output"] == output
    assert result.energy is None and result.forces is None and result.virial is None and result.atom_energy is None
    others = {whole for whole in OTHERS if whole != output}
    assert all(getattr(result, field) is None for other in others for field in (other, f"atom_{other}"))
    whole, atoms = getattr(result, output), getattr(result, f"atom_{output}")
    assert whole.size == info["output_width"] and atoms.shape == (len(atoms), *whole.shape)
    assert info["output_name"] == {"property": Case(load_arrays(DATA / "cases" / name), "slab").output()[1]}.get(output, output)


def on_ranks(name, ranks, **inputs):
    """Of all ranks, in the order of atoms."""
    n, found = len(inputs["coords"]), [None] * ranks
    comms = testing.thread_ranks(ranks)
    mine = [np.arange(rank, n, ranks) for rank in range(ranks)]

    def work(rank):
        own = dict(inputs)
        for key in ("coords", "types", "spins", "aparam"):
            own[key] = None if own.get(key) is None else own[key][mine[rank]]
        try:
            found[rank] = load(name).compute(**own, comm=comms[rank])
        except BaseException as error:
            found[rank] = error

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(ranks)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for result in found:
        if isinstance(result, BaseException):
            raise result
    joined = {}
    for field, value in arrays_of(found[0]).items():
        per_atom = value.ndim and len(value) == len(mine[0]) and field not in ("dipole", "polar", "virial", "dipole_virial")
        if field.startswith("atom_") or field in ("forces", "dipole_force"):
            assert per_atom, field
            joined[field] = np.zeros((n, *value.shape[1:]))
            for rank in range(ranks):
                joined[field][mine[rank]] = getattr(found[rank], field)
        else:
            assert all(np.array_equal(getattr(result, field), value) for result in found), f"{field}: the same bits on all"
            joined[field] = value
    return joined


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("ranks", [2, pytest.param(5, marks=pytest.mark.long)])
def test_ranks(name, ranks):
    inputs = inputs_of(name)
    inputs["types"] = np.array(inputs["types"], np.int32)
    inputs["types"][3] = -1
    wanted = arrays_of(load(name).compute(**inputs))
    assert_close(on_ranks(name, ranks, **inputs), wanted, 1e-11, name)


def ghosts(inputs, cutoff):
    """Rows with all images within the cutoff of the box, and the row that each is an image of."""
    coords, types, box = inputs["coords"], inputs["types"], inputs["box"]
    fractions = coords @ np.linalg.inv(box)
    coords = (fractions - np.floor(fractions)) @ box
    heights = 1 / np.linalg.norm(np.linalg.inv(box), axis=0)
    reach = [int(np.ceil(cutoff / height)) for height in heights]
    rows, mapping = [coords], [np.arange(len(coords))]
    for shift in np.ndindex(*(2 * n + 1 for n in reach)):
        moved = np.array(shift) - reach
        if moved.any():
            rows.append(coords + moved @ box)
            mapping.append(np.arange(len(coords)))
    mapping = np.concatenate(mapping)
    return np.concatenate(rows), np.asarray(types)[mapping], mapping


@pytest.mark.parametrize("name", FEW)
def test_a_hosts_ghosts(name):
    """A mapping, ghosts' rows added up: the numbers of compute."""
    model, inputs = load(name), inputs_of(name, "triclinic")
    rows, types, mapping = ghosts(inputs, model.cutoff)
    own = {key: inputs[key] for key in ("fparam", "aparam", "derivatives") if inputs.get(key) is not None}
    wanted = model.compute(**inputs)
    found = model.compute_ghosted(rows, types, len(inputs["coords"]), mapping=mapping, ghost_forces="add", **own)
    n = len(inputs["coords"])
    found = {field: value[:n] if field in ("forces", "dipole_force") else value for field, value in arrays_of(found).items()}
    assert_close(found, arrays_of(wanted), 1e-11, name)
    returned = model.compute_ghosted(rows, types, n, mapping=mapping, **own)
    for field in ("forces", "dipole_force"):
        value = getattr(returned, field)
        if value is not None:
            summed = np.zeros((n, *value.shape[1:]))
            np.add.at(summed, mapping, value)
            assert_close({field: summed}, {field: np.asarray(getattr(wanted, field))}, 1e-11, name)


@pytest.mark.parametrize("name", FEW)
def test_frames_and_null_atoms(name):
    """A frame gives the bits that it gives alone; a NULL atom has zeros, and the others are as without it."""
    model, inputs = load(name), inputs_of(name)
    moved = inputs["coords"] + 0.01 * np.random.default_rng(1).standard_normal(inputs["coords"].shape)
    frames = {**inputs, "coords": np.stack([inputs["coords"], moved])}
    together, alone = model.compute(**frames), [model.compute(**{**inputs, "coords": c}) for c in frames["coords"]]
    for field, value in arrays_of(together).items():
        for k in range(2):
            np.testing.assert_array_equal(value[k], getattr(alone[k], field), err_msg=field)
    none = model.compute(**{**inputs, "coords": np.zeros((0, *inputs["coords"].shape))})
    assert {field: value.shape[1:] for field, value in arrays_of(none).items()} == \
           {field: value.shape for field, value in arrays_of(alone[0]).items()}
    types = np.array(inputs["types"], np.int32)
    types[2] = -1
    without = {**inputs, "types": types}
    left = np.flatnonzero(types >= 0)
    fewer = {key: value[left] if key in ("coords", "types", "aparam") and value is not None else value
             for key, value in without.items()}
    found, wanted = model.compute(**without), model.compute(**fewer)
    for field, value in arrays_of(found).items():
        if field.startswith("atom_") or field in ("forces", "dipole_force"):
            assert not value[2].any()
            value = value[left]
        largest = np.abs(getattr(wanted, field)).max()
        assert np.abs(value - getattr(wanted, field)).max() <= 1e-12 * largest, field


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name.startswith("dipole")])
def test_derivatives_of_dipoles(name, figures):
    """Differences of the dipole, by an atom's place and by the cell; whatever r_differentiable says."""
    model, inputs = load(name, skin=0), inputs_of(name)
    result = model.compute(**{**inputs, "derivatives": True})
    inputs.pop("derivatives", None)

    def slope(move, step=1e-3):
        d = [model.compute(**move(k * step)).dipole for k in (-2, -1, 1, 2)]
        return (d[0] - 8 * d[1] + 8 * d[2] - d[3]) / (12 * step)

    rng, worst = np.random.default_rng(0), 0.0
    for atom in rng.integers(0, len(inputs["coords"]), 3):
        direction = np.zeros_like(inputs["coords"])
        direction[atom] = rng.standard_normal(3)
        found = slope(lambda h: {**inputs, "coords": inputs["coords"] + h * direction})
        worst = max(worst, np.abs(found + result.dipole_force[atom] @ direction[atom]).max())
    strain = rng.standard_normal((3, 3)) * 0.3
    found = slope(lambda h: {**inputs, "coords": inputs["coords"] @ (np.eye(3) + h * strain),
                             "box": inputs["box"] @ (np.eye(3) + h * strain)})
    virial = -np.einsum("kab,ba->k", result.dipole_virial, strain)
    worst = max(worst, np.abs(found - virial).max())
    figures.record("dipoles: differences against derivatives (limit 1e-7)", name, "worst", worst, 1e-7)
    assert worst < 1e-7 * max(1, np.abs(result.dipole_force).max(), np.abs(result.dipole_virial).max())


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("zbl")])
def test_forces_of_zbl_at_contact_and_between(name, figures):
    """Differences, with two atoms at 0.3 Å, and at places of the switching range, where forces go through the weight."""
    model, worst = load(name, skin=0), 0.0
    for distance in (0.3, 1.25, 1.8, 2.35):
        coords = np.array([[0, 0, 0], [distance, 0.02, -0.01], [0.4, 2.9, 0.3], [-2.1, -1.7, 1.3]], float)
        types = np.array([0, 0, 1, 1])
        result = model.compute(coords, types)
        for atom in range(4):
            for axis in range(3):
                step, energies = 1e-3 if distance > 1 else 1e-4, []
                for k in (-2, -1, 1, 2):
                    moved = coords.copy()
                    moved[atom, axis] += k * step
                    energies.append(model.compute(moved, types).energy)
                slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)
                worst = max(worst, abs(slope + result.forces[atom, axis]) / max(1, np.abs(result.forces).max()))
    figures.record("zbl: differences against forces (limit 1e-7)", name, "worst", worst, 1e-7)
    assert worst < 1e-7


def spline(tree):
    table = tree["model"]["models"][1]["tab"]
    data = np.array(table["@variables"]["tab_data"]["value"]).reshape(2, 2, table["nspline"], 4)

    def energy(a, b, r):
        u = (r - table["rmin"]) / table["hh"]
        if r >= table["rcut"] or r >= table["rmin"] + table["nspline"] * table["hh"]:
            return 0.0
        k = int(u)
        return np.polyval(data[a, b, min(max(k, 0), table["nspline"] - 1)], u - k)
    return energy


def tree_of(name):
    with zipfile.ZipFile(DATA / "cases" / name / "model.pt2") as file:
        return json.loads(file.read("model/extra/model.json"))


def test_a_table_alone():
    """Two atoms of a zbl so near that the table alone counts: below the first spline, at its ends, at 0.1 Å."""
    tree, model = tree_of("zbl_dpa1"), load("zbl_dpa1", skin=0)
    energy = spline(tree)
    bias = np.array(tree["model"]["@variables"]["out_bias"]["value"])[0, :, 0]
    for r in (0.005, 0.015, 0.02, 0.1, 0.12, 0.5, 1.1):
        found = model.compute([[0, 0, 0], [r, 0, 0]], [0, 1]).energy
        wanted = 0.5 * (energy(0, 1, r) + energy(1, 0, r)) + bias.sum()
        assert abs(found - wanted) <= 1e-11 * abs(wanted), r


def test_a_table_is_not_smoothed():
    notes = " ".join(load("linear_dpa1_pairtab").info()["notes"])
    assert "not smoothed" in notes
    assert "not smoothed" not in " ".join(load("linear_dpa1").info()["notes"])
    described = load("zbl_dpa3").info()["descriptor"]
    assert described["type"] == "zbl" and described["models"][1]["pair_table"]["smoothed_at_cutoff"] is False


# ---------------------------------------------------------------- what is refused


def write(tree, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(tree))
    return path


def table_of(tree):
    return tree["model"]["models"][1]["tab"]


def set_data(tree, index, value):
    table_of(tree)["@variables"]["tab_data"]["value"][index] = value


BAD_TABLES = {
    "hh": lambda t: table_of(t).update(hh=0.0), "nspline": lambda t: table_of(t).update(nspline=2**40),
    "tab_info": lambda t: table_of(t)["@variables"]["tab_info"]["value"].__setitem__(2, 7.0),
    "tab_data": lambda t: set_data(t, 5, float("nan")), "shape": lambda t: table_of(t)["@variables"]["tab_data"]["value"].pop(),
    "rcut": lambda t: table_of(t).update(rcut=4.0), "sw_rmax": lambda t: t["model"].update(sw_rmax=1.0),
    "smin_alpha": lambda t: t["model"].update(smin_alpha=0.0), "two models": lambda t: t["model"]["models"].pop(),
    "ntypes": lambda t: table_of(t).update(ntypes=3),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables(name, tmp_path):
    tree = tree_of("zbl_dpa1")
    BAD_TABLES[name](tree)
    with pytest.raises(dgnn.ModelFormatError):
        dgnn.Model.load(write(tree, tmp_path))


@pytest.mark.parametrize("name, part", [("property_dpa1", None), ("zbl_dpa1", 1), ("linear_dpa1_pairtab", 1)])
@pytest.mark.parametrize("change", ["no out_std", "a longer out_std", "a number for out_bias"])
def test_statistics(name, part, change, tmp_path):
    """A property is scaled by out_std; a table's are not used, and have their shape all the same."""
    tree = tree_of(name)
    variables = (tree["model"] if part is None else tree["model"]["models"][part])["@variables"]
    if change == "no out_std":
        del variables["out_std"]
    elif change == "a longer out_std":
        variables["out_std"]["value"] = 2 * variables["out_std"]["value"]
    else:
        variables["out_bias"] = 7
    if part is not None and change == "no out_std":
        assert dgnn.Model.load(write(tree, tmp_path)).compute(**inputs_of(name)).energy == load(name).compute(**inputs_of(name)).energy
        return
    with pytest.raises(dgnn.ModelFormatError, match="out_std|out_bias"):
        dgnn.Model.load(write(tree, tmp_path))


def test_what_does_not_go_together(tmp_path):
    tree = tree_of("dipole_se_e2_a")
    tree["model"]["fitting"]["embedding_width"] = 7
    with pytest.raises(dgnn.ModelFormatError):
        dgnn.Model.load(write(tree, tmp_path))
    tree = tree_of("se_e2_r")
    tree["model"]["fitting"] = tree_of("dipole_se_e2_a")["model"]["fitting"]
    with pytest.raises(dgnn.UnsupportedModelError, match="no rotation matrix"):
        dgnn.Model.load(write(tree, tmp_path))
    tree = tree_of("linear_dpa1_pairtab")
    tree["model"]["models"][0] = tree_of("dos_dpa1")["model"]
    with pytest.raises(dgnn.UnsupportedModelError, match="dos.*sum"):
        dgnn.Model.load(write(tree, tmp_path))
    tree = tree_of("linear_dpa1_pairtab")
    tree["model"]["models"][1] = tree_of("zbl_dpa1")["model"]
    with pytest.raises(dgnn.UnsupportedModelError, match="zbl.*alone"):
        dgnn.Model.load(write(tree, tmp_path))
    tree = tree_of("spin_dpa3")
    tree["model"]["backbone_model"]["fitting"]["type"] = "population"
    with pytest.raises(dgnn.UnsupportedModelError, match="population.*ener, .*dipole"):
        dgnn.Model.load(write(tree, tmp_path))


def test_wishes_that_a_kind_does_not_have():
    with pytest.raises(dgnn.InputError, match="derivatives.*'polar'"):
        load("polar_dpa1").compute(**inputs_of("polar_dpa1"), derivatives=True)
    with pytest.raises(dgnn.InputError, match="derivatives.*forces and virial"):
        load("zbl_dpa1").compute(**inputs_of("zbl_dpa1"), derivatives=True)
    with pytest.raises(dgnn.InputError, match="atomic.*'dos'"):
        load("dos_dpa1").compute(**inputs_of("dos_dpa1"), atomic=True)


# ---------------------------------------------------------------- ASE and the command line


def atoms_of(name, system="slab"):
    ase = pytest.importorskip("ase")
    inputs = inputs_of(name, system)
    symbols = [("O", "H")[t] for t in inputs["types"]]
    return ase.Atoms(symbols, inputs["coords"], cell=inputs["box"], pbc=True)


def test_a_calculator_of_dipoles_beside_energies():
    from dgnn.calculator import DGNNCalculator

    energies, dipoles = (DATA / "cases" / name / "model.pt2" for name in ("linear_dpa1_pairtab", "dipole_dpa3"))
    atoms = atoms_of("dipole_dpa3")
    atoms.calc = DGNNCalculator(energies, dipole=dipoles)
    alone = load("dipole_dpa3").compute(**{**inputs_of("dipole_dpa3"), "derivatives": False})
    np.testing.assert_allclose(atoms.get_dipole_moment(), alone.dipole, rtol=1e-12)
    assert atoms.calc.results["atom_dipole"].shape == (len(atoms), 3)
    assert np.isfinite(atoms.get_potential_energy()) and atoms.get_forces().any()
    assert atoms.calc.todict()["dipole"] == str(dipoles)
    atoms.calc = DGNNCalculator(dipoles)
    np.testing.assert_allclose(atoms.get_dipole_moment(), alone.dipole, rtol=1e-12)
    with pytest.raises(NotImplementedError):
        atoms.get_potential_energy()
    with pytest.raises(dgnn.InputError, match="dipole: expected"):
        DGNNCalculator(dipoles, dipole=dipoles)


@pytest.mark.parametrize("name", ["dipole_dpa3", "polar_dpa1", "dos_dpa1", "property_dpa1"])
def test_eval_and_info(name, tmp_path, capsys):
    pytest.importorskip("ase")
    import ase.io

    path, structure = DATA / "cases" / name / "model.pt2", tmp_path / "a.xyz"
    ase.io.write(structure, atoms_of(name), format="extxyz")

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        sys.stderr.flush()
        said = capsys.readouterr()
        return code, said.out, said.err

    output = name.split("_")[0]
    code, out, error = run("eval", path, structure, "--json")
    assert not code, error
    found = json.loads(out)
    wanted = getattr(load(name).compute(**{**inputs_of(name), "derivatives": False} if output == "dipole" else inputs_of(name)),
                     output)
    np.testing.assert_allclose(found[output], wanted, rtol=1e-6)
    assert f"atom_{output}" in found and "energy" not in found
    code, out, error = run("eval", path, structure)
    assert not code and output in out.splitlines()[0], error
    code, out, error = run("eval", path, structure, "-o", tmp_path / "out.extxyz")
    assert not code, error
    read = ase.io.read(tmp_path / "out.extxyz")
    stored = read.info.get(output, read.get_dipole_moment() if output == "dipole" else None)  # ASE knows dipoles
    np.testing.assert_allclose(np.ravel(stored), np.ravel(wanted), rtol=1e-6)
    code, out, error = run("info", path)
    assert not code and f"{output}" in out and "output_width" in out
    code, out, error = run("bench", path, structure)
    assert code == 2
    with pytest.raises(dgnn.InputError, match=f"dgnn bench needs a model of energies.*'{output}'"):
        kinds.needs_energy(load(name), "dgnn bench")


# ---------------------------------------------------------------- the example


def script(name):
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "infrared" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_examples_dipoles():
    """Those of point charges, where all molecules are whole; and the file is what its script makes."""
    folder = ROOT / "examples" / "infrared"
    made, error = script("make_dipole").tree()
    assert error < 0.01
    stored = json.loads((folder / "dipole.json").read_text())
    assert stored["model"]["descriptor"]["sel"] == made["model"]["descriptor"]["sel"]
    model, rng = dgnn.Model.load(folder / "dipole.json", threads=1), np.random.default_rng(0)
    arms = np.array([[0.96, 0, 0], [-0.24, 0.93, 0]]) @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    result = model.compute(np.vstack([np.zeros(3), arms]), ["O", "H", "H"])
    assert np.abs(result.dipole - 0.4 * arms.sum(axis=0)).max() < 0.02 * np.linalg.norm(result.dipole)


def test_the_examples_spectrum():
    """Two oscillating dipoles come out at their wavenumbers, the faster one as much stronger as its square says."""
    module = script("spectrum")
    time = np.arange(4000) * module.STEP
    slow, fast = (np.cos(2 * np.pi * place / module.CM * time) for place in (1600.0, 3400.0))
    wavenumber, absorption = module.spectrum(np.stack([slow, 0 * time, fast], axis=1))
    low, high = wavenumber < 2500, wavenumber > 2500
    assert abs(wavenumber[low][absorption[low].argmax()] - 1600) < 15
    assert abs(wavenumber[high][absorption[high].argmax()] - 3400) < 15
    assert abs(absorption[low].max() - (1600 / 3400) ** 2) < 0.05


@pytest.mark.parametrize("name", ["dipole_dpa3", "polar_dpa1", "dos_dpa3", "property_dpa3"])
@pytest.mark.parametrize("atomic", [False, True])
def test_labels(name, atomic, tmp_path, capsys):
    """dgnn test: the mean error of labels that are off by known numbers, in files that are named as deepmd-kit's are."""
    model, system = load(name), inputs_of(name)
    result, output, n = model.compute(**system), model.output, len(system["coords"])
    label = {"polar": "polarizability", "property": model.info()["output_name"]}.get(output, output)
    folder = tmp_path / "system"
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("\n".join(map(str, system["types"])))
    columns = {"coord": system["coords"], "box": system["box"]}
    columns |= {key: system[key] for key in ("fparam", "aparam") if key in system}
    off = np.linspace(-1, 2, getattr(result, output).size)
    columns[label] = np.ravel(getattr(result, output)) + off
    if atomic:
        columns[f"atom_{label}"] = np.reshape(getattr(result, f"atom_{output}"), (n, -1)) - 3 * off
    for key, value in columns.items():
        np.save(folder / "set.000" / f"{key}.npy", np.reshape(value, (1, -1)))
    path = str(DATA / "cases" / name / "model.pt2")
    assert cli.main(["test", path, str(folder), "--json", "-d", str(tmp_path / "d")]) == 0
    errors = json.loads(capsys.readouterr().out)["systems"][0]["errors"]
    of_atoms = {"dipole": "adipole", "polar": "apolar", "dos": "ados", "property": "aproperty"}[output]
    per_atom = {"dipole": "dipole_n", "polar": "polar_n", "dos": "dosa"}.get(output)
    wanted = {output: off, **({per_atom: off / n} if per_atom else {}), **({of_atoms: 3 * off} if atomic else {})}
    assert set(errors) == {f"{kind}_{key}" for key in wanted for kind in ("mae", "rmse")}
    for key, error in wanted.items():
        assert abs(errors[f"mae_{key}"] - np.abs(error).mean()) < 1e-10
        assert abs(errors[f"rmse_{key}"] - np.sqrt(np.square(error).mean())) < 1e-10
    written = {file.name for file in tmp_path.glob("d.*")}
    assert written == {f"d.{key}.out" for key in (output, *([of_atoms] if atomic else []))}
    table = np.loadtxt(tmp_path / f"d.{output}.out", ndmin=2)
    np.testing.assert_allclose((table[:, : table.shape[1] // 2] - table[:, table.shape[1] // 2 :]).ravel(), off, atol=1e-10)
