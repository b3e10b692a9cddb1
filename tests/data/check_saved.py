"""Does deepmd-kit read what dgnn saves, and does it get the same numbers? Of cases, and of each head of a checkpoint.

In two steps, as dgnn and deepmd-kit need not live in one environment:

    python tests/data/check_saved.py write FOLDER      with dgnn
    python tests/data/check_saved.py read FOLDER       with deepmd-kit 3.2.0
"""

import pathlib
import sys
import tempfile

import numpy as np
import saved_files

CASES = pathlib.Path(__file__).resolve().parent / "cases"
NAMES = ["dpa3_base", "dpa3_fparam_aparam", "dpa2_base", "dpa2_strip", "dpa1_attn2", "se_e2_a", "se_e2_r", "se_e3",
         "se_e3_tebd", "dpa3_f32", "se_atten_v2"]
HEADS = {"pt_heads": ["Domains_Alloy", "Omat24", "H2O_H2O-SCAN0"], "pt_heads_maps": ["oxide", "water", "reversed"]}
MODELS = [(name, CASES / name / "cases.npz") for name in NAMES] + [
    (f"{name}.{head}", saved_files.FORMATS / name / f"cases.{head}.npz") for name, heads in HEADS.items() for head in heads]


def write(folder):
    import dgnn

    for name in NAMES:
        for kind in ("dp", "yaml"):
            dgnn.Model.load(CASES / name / "model.pt2").save(folder / f"{name}.{kind}")
    for name, heads in HEADS.items():
        with tempfile.TemporaryDirectory() as unpacked:
            path = saved_files.format_file(name, "model.pt", pathlib.Path(unpacked))
            for head in heads:
                for kind in ("dp", "yaml"):
                    dgnn.Model.load(path, head=head).save(folder / f"{name}.{head}.{kind}")


def read(folder):
    from deepmd.infer import DeepPot

    for name, answers in MODELS:
        with np.load(answers) as file:
            data = {key.split("/", 1)[1]: file[key] for key in file.files if key.startswith("triclinic/")}
        given = {key: data[f"in/{key}"] for key in ("fparam", "aparam") if f"in/{key}" in data}
        for kind in ("dp", "yaml"):
            model = DeepPot(str(folder / f"{name}.{kind}"))
            coord, box, types = data["in/coord"], data["in/box"], data["in/type"]
            # deepmd-kit's NumPy backend, which reads these files, gives energies only
            energy = model.eval(coord.reshape(1, -1), box.reshape(1, 9), types.tolist(), atomic=True, **given)[3]
            largest = np.abs(energy.ravel() - data["out/atom_energy"].ravel()).max()
            print(f"{name:24} {kind:5} largest difference of an atom's energy {largest:.1e} eV")
            assert largest < (1e-5 if "f32" in name else 1e-10)


{"write": write, "read": read}[sys.argv[1]](pathlib.Path(sys.argv[2]))
