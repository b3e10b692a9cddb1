"""Files that deepmd-kit wrote: those of formats/, unpacked, and those of saved.tar.xz, put together again byte by byte.

A file that deepmd-kit saved holds the numbers of its case's model.pt2 once more. saved.tar.xz has what is left of it
(CASE.KIND), and where which array of the .pt2's tree was cut out (CASE.KIND.json: sha256 of the whole file, the case whose
tree it is, and a list of [place in the file, number of the array in the order of the tree, its form]).
"""

import functools
import hashlib
import io
import json
import lzma
import pathlib
import tarfile
import zipfile

import numpy as np

DATA = pathlib.Path(__file__).resolve().parent
FORMATS = DATA / "formats"
STORE = DATA / "saved.tar.xz"
NOT_SAVED = DATA / "not_saved.txt"
SHORTEST = 64  # bytes of an array that is worth a reference


def tree_of(case):
    """The tree of a case's model."""
    with zipfile.ZipFile(DATA / "cases" / case / "model.pt2") as archive:
        return json.loads(archive.read("model/extra/model.json"))["model"]


def arrays_of(value):
    """All arrays of a tree, in its order."""
    if isinstance(value, dict) and value.get("@class") == "np.ndarray":
        return [np.array(value["value"], value["dtype"])]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [array for child in children for array in arrays_of(child)]


def forms_of(arrays):
    """(number, form, bytes) of each array: as it is, transposed, as JSON text."""
    for number, array in enumerate(arrays):
        yield number, "plain", array.tobytes()
        if array.ndim == 2 and 1 not in array.shape:
            yield number, "transposed", np.ascontiguousarray(array.T).tobytes()
        yield number, "text", json.dumps(array.tolist(), separators=(",", ":")).encode()


def cut(data, arrays):
    """(what is left of a ZIP archive without its arrays, where they were)."""
    known, texts, places = {}, [], []
    for number, form, content in forms_of(arrays):
        if len(content) >= SHORTEST and form == "text":
            texts.append((number, content))
        elif len(content) >= SHORTEST:
            known.setdefault(content, (number, form))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                continue
            content, head = archive.read(member), data[member.header_offset:member.header_offset + 30]
            start = member.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:], "little")
            assert data[start:start + len(content)] == content
            if content in known:
                places.append([start, *known[content], len(content)])
            elif content.startswith(b"{"):
                places += [[start + place, *rest] for place, *rest in texts_in(content, texts)]
    left, end = [], 0
    for start, _, _, length in sorted(places):
        left.append(data[end:start])
        end = start + length
    return b"".join([*left, data[end:]]), [place[:3] for place in sorted(places)]


def texts_in(content, texts):
    """A tree's arrays come in its order."""
    end = 0
    for number, text in texts:
        start = content.find(text, end)
        if start >= 0:
            end = start + len(text)
            yield start, number, "text", len(text)


def joined(left, places, arrays):
    """The file again."""
    forms = {(number, form): content for number, form, content in forms_of(arrays)}
    parts, used, length = [], 0, 0
    for start, number, form in places:
        for part in (left[used:used + start - length], forms[number, form]):
            parts.append(part)
            length += len(part)
        used += len(parts[-2])
    return b"".join([*parts, left[used:]])


@functools.cache
def members():
    with tarfile.open(STORE) as store:
        return {member.name: store.extractfile(member).read() for member in store}


def names():
    """(case, kind) of all saved files."""
    return {tuple(name.removesuffix(".json").split(".", 1)) for name in members() if name.endswith(".json")}


def not_saved(kind):
    """Cases that deepmd-kit could not save so: case -> why."""
    rows = [line.split(": ", 1) for line in NOT_SAVED.read_text().splitlines()]
    return {name.split(".", 1)[0]: why for name, why in rows if name.split(".", 1)[1] == kind}


def saved_file(case, kind):
    """The bytes of one file."""
    recipe = json.loads(members()[f"{case}.{kind}.json"])
    data = joined(members()[f"{case}.{kind}"], recipe["places"], arrays_of(tree_of(recipe["weights"])))
    assert hashlib.sha256(data).hexdigest() == recipe["sha256"], (case, kind)
    return data


def saved(kind):
    """(case, bytes of the file) of all of a kind."""
    for case in sorted(case for case, other in names() if other == kind):
        yield case, saved_file(case, kind)


def format_files(name):
    """Names of the files of formats/NAME."""
    return sorted(path.name.removesuffix(".xz") for path in (FORMATS / name).iterdir() if path.suffix != ".npz")


def format_file(name, file, folder):
    """The path of a file of formats/NAME, unpacked into a folder."""
    path, packed = folder / f"{name}.{file}", FORMATS / name / f"{file}.xz"
    path.write_bytes(lzma.decompress(packed.read_bytes()) if packed.exists() else (FORMATS / name / file).read_bytes())
    return path
