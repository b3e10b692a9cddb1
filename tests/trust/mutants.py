"""Mutants of archives that know the archive's structure: members renamed, added, deleted, and given other values, in every
object, after the tables of members (csrc/net/params). What must come of each is what its row says.

usage: mutants.py [--count N] [--seed N] [--variant asan]        N of all mutants of all families; 0: all
"""

import argparse
import io
import json
import pathlib
import random
import subprocess
import sys
import threading
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]
import check_arguments  # noqa: E402
import compile as builder  # noqa: E402
import dgnn  # noqa: E402

CASES = ROOT / "tests" / "data" / "cases"
# Each family, and each object that deepmd-kit writes, in small models.
BASES = ["se_e2_a_small_sel", "se_e2_r", "se_e3", "se_e3_tebd", "se_e3_tebd_strip", "dpa1_small_sel", "dpa1_strip_attn",
         "se_atten_v2_exclude", "dpa2_all_updates", "dpa2_like_small", "dpa2_strip_davg", "dpa3_one_layer", "dpa3_res_avg",
         "dpa3_compress_linear", "dpa3_no_angle", "dpa3_fparam_aparam", "dpa3_charge_spin", "hybrid_nested_local",
         "linear_dpa1", "spin_se_e2_a_small_sel", "spin_dpa3", "dipole_se_e2_a", "polar_dpa1", "dos_fparam_aparam",
         "property_dpa1", "zbl_dpa1", "linear_dpa1_pairtab", "compressed_coarse", "compressed_coarse_se_e2_a", "compressed_se_e3_tebd",
         "compressed_dpa2_one_side"]
ROWS = {table: dict(rows) for table, rows in check_arguments.read_all_rows(ROOT / "csrc" / "net" / "params").items()}
REFUSED, SAME, EITHER = "refused", "the same numbers", "refused, or the same numbers"
# Kept settings that count only where another one is on: tree member -> it is off.
UNUSED = {"attn1_nhead": "update_g1_has_attn", "attn2_nhead": "update_g2_has_attn", "three_body_sel": "use_three_body",
          "three_body_rcut": "use_three_body", "three_body_rcut_smth": "use_three_body"}
# (type, member) of counts that no array's shape goes by: a larger one is as good, and counts where there are more neighbours.
LARGER = {("pairtab", "sel")}
DEFAULTS = {"weights": "mean"}  # of parts; null otherwise
HUGE = 2**40


class Mutant:
    def __init__(self, what, change, expected, default=None):
        self.what, self.change, self.expected, self.default = what, change, expected, default


def put(holder, key, value):
    """A change that can be taken back."""
    def change():
        before = dict(holder)
        holder[key] = value
        return lambda: (holder.clear(), holder.update(before))
    return change


def rename(holder, key, name):
    def change():
        before = dict(holder)
        holder.clear()
        holder.update({name if other == key else other: value for other, value in before.items()})
        return lambda: (holder.clear(), holder.update(before))
    return change


def delete(holder, key):
    def change():
        before = dict(holder)
        del holder[key]
        return lambda: (holder.clear(), holder.update(before))
    return change


def misspelt(key, known):
    return next(name for name in (key[:-1], key + "s", key + "_x") if name and name not in known)


def walk(value, rows_of, path):
    """(path, object, rows) of each object with a table, of each "@variables" and of each array; not of what is ignored."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (list, dict)):
                yield from walk(item, rows_of, [*path, index])
    elif value.get("@class") == "np.ndarray":
        yield path, value, None
    else:
        rows = rows_of(value, next((part for part in reversed(path) if isinstance(part, str)), ""))
        if rows:
            yield path, value, rows
        for key, item in value.items():
            ignored = rows and key in rows and rows[key].kind == "IGNORED"
            if isinstance(item, (list, dict)) and not ignored:
                yield from walk(item, rows_of, [*path, key])


def table_of(value, name):
    group = check_arguments.group_of(value, name)
    return ROWS.get(check_arguments.TABLES.get(group))


def other_values(row, value):
    """Values that contradict what stands there."""
    if isinstance(value, bool):
        return [not value, "yes", None if row.kind == "SAME" else 2]
    if isinstance(value, (int, float)):
        return [other for other in (0, -1, HUGE, value + 1, value + 0.5, str(value)) if other != value]
    if isinstance(value, str):
        return ["relu" if value != "relu" else "tanh", "unheard_of", 7]
    if isinstance(value, list):
        numbers = value and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
        first = [[0, *value[1:]], [HUGE, *value[1:]], [value[0] + 1, *value[1:]]] if numbers else []
        return [[*value, 1], {"any": 3}, 5, *first]
    return []


def default_of(row, name):
    if row.kind == "VALUE":
        return DEFAULTS.get(name)
    text = row.rest[:row.rest.rindex(f'"{row.meaning}"')].rstrip().rstrip(",")
    return bool(int(text)) if row.kind == "BOOL" else json.loads(text)


def mutants_of_member(holder, where, key, row):
    """Deleted, and with other values."""
    value = holder[key]
    kind, rest = row.kind, row.rest
    required = "DGNN_REQUIRED" in rest or (kind == "VALUE" and rest.startswith("1"))
    gone = Mutant(f"{where}.{key} deleted", delete(holder, key), EITHER)
    if kind in ("IGNORED", "ONLY"):
        gone.expected = SAME
    elif kind == "TYPE" or required:
        gone.expected = REFUSED
    elif kind in ("INT", "DOUBLE", "BOOL", "STRING", "VALUE"):
        gone.default = Mutant("the same with the default", put(holder, key, default_of(row, key)), None)
    yield gone
    unused = key in UNUSED and not holder.get(UNUSED[key])
    for other in other_values(row, value) if kind in ("SAME", "INT", "ONLY") else ():
        number = isinstance(other, int) and not isinstance(other, bool)
        larger = number and (holder.get("type"), key) in LARGER and other > value
        yield Mutant(f"{where}.{key}: {other}", put(holder, key, other), EITHER if unused and number or larger else REFUSED)
    if kind == "IGNORED":
        yield Mutant(f"{where}.{key}: anything", put(holder, key, {"any": 3}), SAME)
    if kind in ("DOUBLE", "BOOL", "STRING", "VALUE", "TYPE"):
        yield Mutant(f"{where}.{key}: of another kind", put(holder, key, 7 if kind in ("STRING", "TYPE") else "zzz"), REFUSED)
        yield Mutant(f"{where}.{key}: an object", put(holder, key, {"any": 3}), REFUSED)


def mutants_of_variables(holder, where, rows):
    known = {name.removeprefix("@variables.") for name in rows if name.startswith("@variables.")}
    for key, value in list(holder.items()):
        yield Mutant(f"{where}.{key} misspelt", rename(holder, key, misspelt(key, known)), REFUSED)
        zeros = None
        if key == "out_bias":  # deepmd-kit starts from zeros
            zeros = Mutant("zeros", put(holder, key, filled(value, 0.0)), None)
        yield Mutant(f"{where}.{key} deleted", delete(holder, key), EITHER, zeros)
        yield Mutant(f"{where}.{key}: 7", put(holder, key, 7), REFUSED)
        if isinstance(value, dict):
            if not (key == "b" and rows["@class"].meaning == "LayerNorm"):  # deepmd-kit then scales and shifts nothing
                yield Mutant(f"{where}.{key}: null", put(holder, key, None), EITHER)
            longer = {**value, "value": [*value["value"], value["value"][0]]} if value["value"] else value
            yield Mutant(f"{where}.{key}: longer", put(holder, key, longer), REFUSED)
        elif key in ("compress_data", "compress_info"):
            yield Mutant(f"{where}.{key}: longer", put(holder, key, [*value, value[0]]), REFUSED)
            yield Mutant(f"{where}.{key}: shorter", put(holder, key, value[:-1]), REFUSED)
        elif value is None:
            array = {"@class": "np.ndarray", "dtype": "float64", "value": [0.5, 0.25]}
            yield Mutant(f"{where}.{key}: an array", put(holder, key, array), REFUSED)
    yield Mutant(f"{where} with dropout", put(holder, "dropout", 0.1), REFUSED)


def mutants_of_array(holder, where):
    for key in list(holder):
        yield Mutant(f"{where}.{key} misspelt", rename(holder, key, misspelt(key, holder)),
                     REFUSED)
        yield Mutant(f"{where}.{key} deleted", delete(holder, key), SAME if key in ("@is_variable", "@version") else REFUSED)
    yield Mutant(f"{where} with order", put(holder, "order", "F"), REFUSED)
    yield Mutant(f"{where}.@version: 2", put(holder, "@version", 2), REFUSED)
    yield Mutant(f"{where}.dtype: float16", put(holder, "dtype", "float16"), REFUSED)
    yield Mutant(f"{where}.value: text", put(holder, "value", "1, 2"), REFUSED)


def filled(array, number):
    """An array of shape (1, types, outputs) with that number everywhere."""
    shape = [[[number] * len(array["value"][0][0])] * len(array["value"][0])]
    return {**array, "value": shape}


def default_variables(holder):
    """Of a model without them, deepmd-kit's biases are zeros and its scales ones; of other objects, none."""
    variables = holder["@variables"]
    if "out_bias" not in variables:
        return None
    default = {**variables, "out_bias": filled(variables["out_bias"], 0.0), "out_std": filled(variables["out_std"], 1.0)}
    return Mutant("zeros and ones", put(holder, "@variables", default), None)


def mutants_of_object(holder, where, rows):
    for key in list(holder):
        yield Mutant(f"{where}.{key} misspelt", rename(holder, key, misspelt(key, {*rows, *holder})), REFUSED)
    for key, value in (("layer_norm", True), ("dropout", 0.1), ("@unknown", 1)):
        yield Mutant(f"{where} with {key}", put(holder, key, value), REFUSED)
    if "@class" not in rows:
        yield Mutant(f"{where} with @class", put(holder, "@class", "Layer"), REFUSED)
    for key in list(holder):
        if key in ("@class", "@version"):
            yield Mutant(f"{where}.{key} deleted", delete(holder, key), EITHER)
            yield Mutant(f"{where}.{key}: other", put(holder, key, "Other" if key == "@class" else 99), REFUSED)
        elif key == "@variables":
            yield Mutant(f"{where}.{key} deleted", delete(holder, key), EITHER, default_variables(holder))
            yield from mutants_of_variables(holder[key], f"{where}.@variables", rows)
        elif key in rows:
            yield from mutants_of_member(holder, where, key, rows[key])
        else:
            raise AssertionError(f"{where}.{key}: no table knows it")


class Base:
    """A model, its mutants, and their bytes."""

    def __init__(self, name):
        self.name = name
        path = CASES / name / "model.pt2"
        with zipfile.ZipFile(path) as archive:
            self.tree = json.loads(archive.read("model/extra/model.json"))
            has_metadata = "model/extra/metadata.json" in archive.namelist()
            self.metadata = json.loads(archive.read("model/extra/metadata.json")) if has_metadata else {}
        info = dgnn.Model.load(path).info()
        self.arguments = [len(info["type_map"]), int(info["is_spin"]), info["dim_fparam"], info["dim_aparam"],
                          int(info["dim_charge_spin"] > 0)]

    def mutants(self):
        yield from self.mark(mutants_of_object(self.tree, "file", ROWS["file"]), False)
        for path, holder, rows in walk(self.tree["model"], table_of, ["model"]):
            where = ".".join(map(str, path))
            made = mutants_of_object(holder, where, rows) if rows else mutants_of_array(holder, where)
            yield from self.mark(made, False)
        yield from self.mark(mutants_of_object(self.metadata, "metadata", ROWS["metadata"]), True)

    def mark(self, mutants, in_metadata):
        for mutant in mutants:
            mutant.base, mutant.in_metadata = self, in_metadata
            yield mutant

    def bytes_of(self, in_metadata):
        model = json.dumps(self.tree).encode()
        if not in_metadata:
            return model
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("extra/model.json", model)
            archive.writestr("extra/metadata.json", json.dumps(self.metadata))
        return file.getvalue()

    def changed(self, mutant, in_metadata):
        undo = mutant.change() if mutant else lambda: None
        try:
            return self.bytes_of(in_metadata)
        finally:
            undo()

    def run(self, program, mutants):
        """What comes of the model itself, of it with its metadata, and of each mutant; with its default after it."""
        jobs = [(None, False), (None, True)]
        for mutant in mutants:
            jobs.append((mutant, mutant.in_metadata))
            if mutant.default:
                jobs.append((mutant.default, mutant.in_metadata))
        process = subprocess.Popen([program, *map(str, self.arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)

        def feed():
            try:
                for job, in_metadata in jobs:
                    data = self.changed(job, in_metadata)
                    process.stdin.write(b"%d\n" % len(data) + data)
                process.stdin.close()
            except BrokenPipeError:
                pass

        errors = []
        threads = [threading.Thread(target=feed), threading.Thread(target=lambda: errors.append(process.stderr.read()))]
        for thread in threads:
            thread.start()
        lines = process.stdout.read().decode(errors="replace").splitlines()
        for thread in threads:
            thread.join()
        assert process.wait() == 0 and len(lines) == len(jobs), (self.name, lines[-1:], errors[0][-4000:].decode())
        return lines


def judge(mutant, line, default, right):
    """None, or what is wrong."""
    if line.startswith("refused"):
        return "should load" if mutant.expected == SAME else None
    if line in right:
        return "accepted" if mutant.expected == REFUSED else None
    if default is not None and line == default:
        return None
    return f"accepted, with other numbers ({line[:80]})"


def run(count, seed, variant, names=BASES):
    """(numbers of mutants, refused, the same, by a default; problems) of a random choice, or of all where count is 0."""
    (program,) = builder.build_programs([ROOT / "tests" / "c" / "mutants.c"], variant)
    bases = [Base(name) for name in names]
    every = [mutant for base in bases for mutant in base.mutants()]
    chosen = random.Random(seed).sample(every, count) if 0 < count < len(every) else every
    problems, counts = [], {"all": len(every), "tried": 0, "refused": 0, "same": 0, "default": 0}
    for base in bases:
        mutants = [mutant for mutant in chosen if mutant.base is base]
        lines = iter(base.run(program, mutants))
        right = {next(lines), next(lines)}
        assert all(line.startswith("energy") for line in right), (base.name, right)
        for mutant in mutants:
            line, default = next(lines), next(lines) if mutant.default else None
            wrong = judge(mutant, line, default, right)
            kind = "refused" if line.startswith("refused") else "same" if line in right else "default"
            counts[kind] += 1
            counts["tried"] += 1
            if wrong:
                problems.append(f"{base.name}: {mutant.what}: {wrong}; expected: {mutant.expected}")
    return counts, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variant", default="asan")
    parser.add_argument("--base", action="append", choices=BASES)
    arguments = parser.parse_args()
    counts, problems = run(arguments.count, arguments.seed, arguments.variant, arguments.base or BASES)
    print("\n".join(problems))
    print(counts, f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
