"""Small labelled data sets in deepmd-kit's formats, and what its dp test and calc_model_devi say of them: datasets/.

Labels are deepmd-kit's answers with noise. expected.json has the numbers of dp test by run, in its own names and with all
digits, of each system and their weighted average; details/ the files of dp test -d of one run; devi.npz the tables of
calc_model_devi. HDF5 is written by dpdata in tools of its own (make_dpdata.py), from the folders.

usage: make_datasets.py, in the environment of make_cases.py
"""
import json
import pathlib
import shutil
import tempfile

import numpy as np
import saved_files

DATA = pathlib.Path(__file__).resolve().parent
OUT = DATA / "datasets"
RUNS = {"plain": ("pth_dpa3", ["water", "cluster", "mixed"], False), "atomic": ("pth_dpa3", ["atomic"], True),
        "parameters": ("pth_fparam_aparam", ["parameters"], False), "spins": ("pth_spin_dpa3", ["spins"], False)}


def atoms(rng, n, length):
    """Random places, no two nearer than 1.3 Å."""
    places = []
    while len(places) < n:
        place = rng.random(3) * length
        if all(np.linalg.norm((place - other + length / 2) % length - length / 2) > 1.3 for other in places):
            places.append(place)
    return np.array(places)


def model_file(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    return saved_files.format_file(name, "frozen_model.pth", folder)


class Writer:
    def __init__(self, model, rng):
        from deepmd.infer import DeepPot

        self.dp, self.rng = DeepPot(str(model)), rng

    def answers(self, coord, box, types, mixed=False, **parameters):
        return self.dp.eval(coord, box, types, atomic=True, mixed_type=mixed, **parameters)

    def noisy(self, values, width):
        return np.asarray(values) + width * self.rng.normal(size=np.shape(values))


def write_set(folder, **arrays):
    folder.mkdir(parents=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(values))


def write_system(path, types, type_map, periodic=True):
    path.mkdir(parents=True)
    np.savetxt(path / "type.raw", types, fmt="%d")
    (path / "type_map.raw").write_text("\n".join(type_map) + "\n")
    if not periodic:
        (path / "nopbc").touch()


def frames(rng, nframes, n, length):
    coord = np.stack([atoms(rng, n, length) for _ in range(nframes)])
    box = np.stack([np.diag([length, length + 0.5, length + 1]) + 0.3 * np.tril(rng.random((3, 3)), -1) for _ in range(nframes)])
    return coord.reshape(nframes, -1), box.reshape(nframes, 9)


def plain(w, rng):
    """Names in another order than the model's O, H; two sets; one set is a single row."""
    types = np.array([1, 0, 0, 1, 0, 0, 1, 0])
    write_system(OUT / "water", 1 - types, ["H", "O"])
    for k, nframes in enumerate((3, 1)):
        coord, box = frames(rng, nframes, len(types), 7.0)
        e, f, v, *_ = w.answers(coord, box, types)
        squeeze = (lambda a: a[0]) if nframes == 1 else (lambda a: a)
        write_set(OUT / "water" / f"set.{k:03d}", coord=squeeze(coord), box=squeeze(box),
                  energy=w.noisy(e, 0.1).reshape(-1), force=squeeze(w.noisy(f, 0.05).reshape(nframes, -1)),
                  virial=squeeze(w.noisy(v, 0.2)))
    coord, _ = frames(rng, 2, 5, 6.0)
    types = np.array([0, 1, 1, 0, 1])
    write_system(OUT / "cluster", types, ["O", "H"], periodic=False)
    e, f, v, *_ = w.answers(coord, None, types)
    write_set(OUT / "cluster" / "set.000", coord=coord, energy=w.noisy(e, 0.1), force=w.noisy(f, 0.05).reshape(2, -1),
              atom_pref=rng.random((2, 5)), virial=w.noisy(v, 0.2))
    mixed(w, rng)


def mixed(w, rng):
    """Different types in each frame, and NULL atoms."""
    coord, box = frames(rng, 3, 6, 7.0)
    types = np.array([[0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 1, -1], [1, 1, 0, 1, -1, -1]])
    write_system(OUT / "mixed", np.zeros(6, int), ["H", "O"])
    e, f, v, *_ = w.answers(coord, box, types, mixed=True)
    f = w.noisy(f, 0.05) * (types >= 0)[..., None]
    write_set(OUT / "mixed" / "set.000", coord=coord, box=box, energy=w.noisy(e, 0.1), force=f.reshape(3, -1),
              virial=w.noisy(v, 0.2), real_atom_types=np.where(types < 0, -1, 1 - types))


def atomic(w, rng):
    coord, box = frames(rng, 2, 6, 7.0)
    types = np.array([0, 1, 1, 0, 1, 1])
    write_system(OUT / "atomic", types, ["O", "H"])
    e, f, _, ae, _ = w.answers(coord, box, types)
    write_set(OUT / "atomic" / "set.000", coord=coord, box=box, energy=w.noisy(e, 0.1), force=w.noisy(f, 0.05).reshape(2, -1),
              atom_ener=w.noisy(ae, 0.1).reshape(2, -1))


def parameters(w, rng):
    coord, box = frames(rng, 2, 6, 7.0)
    types = np.array([0, 1, 1, 0, 1, 1])
    write_system(OUT / "parameters", types, ["O", "H"])
    fparam = rng.random((2, w.dp.get_dim_fparam()))
    aparam = rng.random((2, 6 * w.dp.get_dim_aparam()))
    e, f, v, *_ = w.answers(coord, box, types, fparam=fparam, aparam=aparam)
    write_set(OUT / "parameters" / "set.000", coord=coord, box=box, energy=w.noisy(e, 0.1),
              force=w.noisy(f, 0.05).reshape(2, -1), virial=w.noisy(v, 0.2), fparam=fparam, aparam=aparam)


def spins(w, rng):
    coord, box = frames(rng, 2, 6, 9.0)
    types = np.array([0, 1, 1, 0, 1, 1])
    write_system(OUT / "spins", types, w.dp.get_type_map())
    spin = rng.normal(size=(2, 6, 3)) * (types == 0)[:, None]
    e, f, v, _, _, fm, _ = w.answers(coord, box, types, spin=spin.reshape(2, -1))
    write_set(OUT / "spins" / "set.000", coord=coord, box=box, energy=w.noisy(e, 0.1), force=w.noisy(f, 0.05).reshape(2, -1),
              force_mag=w.noisy(fm, 0.05).reshape(2, -1), virial=w.noisy(v, 0.2), spin=spin.reshape(2, -1))


def dp_test(model, systems, is_atomic, detail):
    """What dp test logs, with all digits."""
    from deepmd.entrypoints import test as entry
    from deepmd.infer.model_test import base

    logged = []
    base.ModelTester.log_errors = classmethod(lambda cls, errors: logged.append({k: float(v[0]) for k, v in errors.items()}))
    with tempfile.TemporaryDirectory() as folder:
        listing = pathlib.Path(folder) / "systems"
        listing.write_text("\n".join(str(OUT / name) for name in systems))
        entry.test(model=str(model), system=None, datafile=str(listing), numb_test=0, rand_seed=None, shuffle_test=False,
                   detail_file=detail, atomic=is_atomic)
    return {"systems": dict(zip(systems, logged)), "average": logged[-1]}


def devi(folder):
    """calc_model_devi of two models on the frames of water's first set."""
    from deepmd.infer import DeepPot, calc_model_devi

    models = [DeepPot(str(model_file(name, folder / name))) for name in ("pth_dpa3", "pth_dpa2")]
    types = 1 - np.loadtxt(OUT / "water" / "type.raw", dtype=int)
    part = OUT / "water" / "set.000"
    coord, box = np.load(part / "coord.npy"), np.load(part / "box.npy")
    real = {"energy": np.load(part / "energy.npy").reshape(-1, 1) / 8, "force": np.load(part / "force.npy").reshape(-1, 8, 3),
            "virial": np.load(part / "virial.npy") / 8}
    tables = {"plain": calc_model_devi(coord, box, types, models, frequency=10),
              "atomic": calc_model_devi(coord, box, types, models, atomic=True),
              "real": calc_model_devi(coord, box, types, models, real_data=real),
              "relative": calc_model_devi(coord[:1], box[:1], types, models, relative=0.5, relative_v=0.25)}
    np.savez(OUT / "devi.npz", **tables)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    rng, expected = np.random.default_rng(21), {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        files = {run: model_file(name, folder / run) for run, (name, _, _) in RUNS.items()}
        for run, make in (("plain", plain), ("atomic", atomic), ("parameters", parameters), ("spins", spins)):
            make(Writer(files[run], rng), rng)
        for run, (_, systems, is_atomic) in RUNS.items():
            detail = folder / f"detail_{run}"
            detail.mkdir()
            expected[run] = dp_test(files[run], systems, is_atomic, str(detail / "d"))
            if run in ("plain", "spins"):
                (OUT / "details" / run).mkdir(parents=True)
                for path in sorted(detail.iterdir()):
                    text = path.read_text().replace(f"{OUT}/", "")  # names of systems without this machine's folders
                    (OUT / "details" / run / path.name).write_text(text)
        devi(folder)
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
