"""Checkpoints are hostile: whatever is done to a .pt, .pth or .pte gives its own numbers, or an error that says what is
wrong. Nothing is executed, and no short file becomes a large tree."""

import io
import json
import os
import struct
import zipfile

import dgnn
import numpy as np
import pytest
import saved_files
from dgnn import _core

FILES = {"pt": ("pt_old_layout", "model.pt"), "pth": ("pth_se_e2_a", "frozen_model.pth"),
         "pte": ("pte_se_e2_a", "frozen_model.pte"), "expt": ("ptexpt_dpa1", "model.pt")}
SAVED = {"zbl": ("zbl_dpa1", "pt"), "zbl.pth": ("zbl_dpa1", "pth"), "zbl.pte": ("zbl_dpa1", "pte"),
         "pairtab": ("linear_dpa1_pairtab", "expt.pt"), "pairtab.pth": ("linear_dpa1_pairtab", "pth"),
         "compressed": ("compressed_se_e2_a", "pt"), "compressed.pth": ("compressed_dpa1", "pth"),
         "compressed.pte": ("compressed_se_e2_a", "pte"), "compressed types": ("compressed_dpa1_attn2", "expt.pt")}


def content(kind, folder):
    if kind in SAVED:
        return saved_files.saved_file(*SAVED[kind])
    with open(saved_files.format_file(*FILES[kind], folder), "rb") as file:
        return file.read()


def digest_of(data):
    return json.loads(_core.load_bytes("mutant", data, {}).describe())["archive"]["digest"]


# ------------------------------------------------------------------ mutants


def mutant(data, random):
    """Bits and bytes changed, pieces cut out, doubled or exchanged; one time in four inside the last 20 KiB, the directory."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 4)):
        first = max(0, len(changed) - 20480) if random.integers(4) == 0 else 0
        at, other = random.integers(first, len(changed), 2)
        length = int(random.integers(1, 64))
        match random.integers(5):
            case 0:
                changed[at] ^= 1 << random.integers(8)
            case 1:
                changed[at] = random.integers(256)
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[other : other + length]
            case 4:
                piece = changed[other : other + length]
                changed[at : at + len(piece)] = piece
    return bytes(changed)


def check_mutants(kind, folder, count, figures):
    data = content(kind, folder)
    expected, random, read = digest_of(data), np.random.default_rng([18, len(data)]), 0
    for number in range(count):
        try:
            assert digest_of(mutant(data, random)) == expected, f"mutant {number} gives other numbers"
            read += 1
        except (dgnn.ModelFormatError, dgnn.UnsupportedModelError, dgnn.InputError) as error:
            assert str(error)
    assert read < count
    figures.record("mutants", kind, "read as before", read)


@pytest.mark.parametrize("kind", [*FILES, *SAVED])
def test_mutants(kind, tmp_path, figures):
    check_mutants(kind, tmp_path, 100, figures)


@pytest.mark.long
@pytest.mark.parametrize("kind", [*FILES, *SAVED])
def test_3000_mutants(kind, tmp_path, figures):
    check_mutants(kind, tmp_path, 3000, figures)


# ------------------------------------------------------------------ pickles made to do harm


def text(string):
    return b"X" + struct.pack("<I", len(string)) + string.encode()


def with_pickle(pickle):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + pickle + b".")
    return buffer.getvalue()


HARM = {
    "os.system": (b"cos\nsystem\n" + text("touch /tmp/dgnn_was_here") + b"\x85R", "it needs 'os system'"),
    "eval": (b"cbuiltins\neval\n" + text("1") + b"\x85R", "it needs 'builtins eval'"),
    "reduce of a class": (b"c__torch__.a\nB\n)R", "a call of a class"),
    "object of another class": (b"ccollections\nOrderedDict\n)\x81", "an object that is none of TorchScript's"),
    "inst": (b"(ios\nsystem\n", "operation 0x69 is none that torch writes"),
    "extension": (b"\x82\x01", "operation 0x82 is none that torch writes"),
    "protocol 4": (b"\x80\x04", "a protocol other than 2"),
    "itself": (b"]q\x00h\x00a", "a value that contains itself"),
    "deep": (b"]" * 100 + b"a" * 99, "nested deeper than 64"),
    "bomb": (b"(]q\x00" + b"".join(b"](" + b"h%c" % k * 10 + b"eq%c" % (k + 1) for k in range(10)) + b"t",
             "all sharing undone"),
    "many values": (b"(" + b"]" * 600_000 + b"t", "more values at once than dgnn reads"),
    "far memo": (b"]r\xff\xff\xff\x7f", "a number of the memo beyond"),
    "no memo": (b"h\x07", "a number that the memo does not have"),
    "cut": (text("abc")[:-1], "ends inside of an operation"),
    "wide integer": (b"\x8a\x09" + b"\1" * 9, "more than 64 bits"),
    "empty stack": (b"R", "an operation without its value"),
    "no mark": (b"Nt", "an operation without its mark"),
    "two values": (b"NN", "goes on behind its value"),
    "zero in a string": (text("a\0b"), "a string with a zero byte"),
    "no model": (b"}", "no model of deepmd-kit's"),
    "a list": (b"]", "no model of deepmd-kit's"),
}


@pytest.mark.parametrize("name", HARM)
def test_a_pickle_made_to_do_harm(name):
    pickle, words = HARM[name]
    with pytest.raises((dgnn.ModelFormatError, dgnn.UnsupportedModelError), match=words):
        _core.load_bytes("harm.pt", with_pickle(pickle), {})
    assert not os.path.exists("/tmp/dgnn_was_here")


# ------------------------------------------------------------------ a sound checkpoint, changed with its checksums


def rewritten(data, change):
    """change(name, content): the member's new content, or None to leave it out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(buffer, "w") as new:
        for name in archive.namelist():
            member = change(name, archive.read(name))
            if member is not None:
                new.writestr(name, member)
    return buffer.getvalue()


def in_pickle(old, new):
    def change(name, member):
        if not name.endswith("/data.pkl"):
            return member
        assert old in member
        return member.replace(old, new)

    return change


def in_storage(change):
    """Of the second storage, which is out_std's."""
    return lambda name, member: change(member) if name.endswith("/data/2") else member


CHANGES = {
    "float16": (in_pickle(b"ctorch\nDoubleStorage\n", b"ctorch\nHalfStorage\n"), "torch's HalfStorage"),
    "bfloat16": (in_pickle(b"ctorch\nDoubleStorage\n", b"ctorch\nBFloat16Storage\n"), "torch's BFloat16Storage"),
    "an unknown storage": (in_pickle(b"ctorch\nDoubleStorage\n", b"ctorch\nQuantizedStorage\n"), "torch QuantizedStorage"),
    "a storage that is missing": (lambda name, member: None if name.endswith("/data/2") else member, "data/2 is missing"),
    "a storage that is short": (in_storage(lambda member: member[:-1]), "its storage has"),
    "a number that is none": (in_storage(lambda member: np.full(len(member) // 8, np.nan).tobytes()), "is not finite"),
    "another byte order": (lambda name, member: b"big" if name.endswith("/byteorder") else member, "little-endian"),
    "an unknown tensor": (in_pickle(b"node_self_mlp.bias", b"node_self_mlp.bios"), "a tensor that dgnn does not know"),
    "a tensor that is missing": (in_pickle(b"node_self_mlp.matrix", b"node_self_mlp.matrux"), "node_self_mlp.w: missing"),
    "an unknown descriptor": (in_pickle(text("dpa3"), text("dpa9")), "'dpa9' is not supported"),
    "an unknown fitting": (in_pickle(text("ener"), text("dipo")), "'dipo' is not supported"),
    "an unknown model": (in_pickle(text("standard"), text("frozen_x")), "'frozen_x' is not supported"),
    "no settings": (in_pickle(text("model_params"), text("model_porams")), "model_params is missing"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_with_a_change(name, tmp_path):
    change, words = CHANGES[name]
    with pytest.raises((dgnn.ModelFormatError, dgnn.UnsupportedModelError), match=words):
        _core.load_bytes("model.pt", rewritten(content("pt", tmp_path), change), {})


@pytest.mark.parametrize("name,file,old,new,words", [
    ("pt_spin_dpa3", "model.pt", "standard", "linear_ener", "'linear_ener' is not supported in a model with spins"),
    ("pt_spin_dpa3", "model.pt", "standard", "dpa4", "'dpa4' is not supported in a model with spins"),
    ("ptexpt_dpa4c_heads", "model.pt", "native", "novel!", "a tensor that dgnn does not know|missing"),
])
def test_spins_of_another_kind(name, file, old, new, words, tmp_path):
    path = saved_files.format_file(name, file, tmp_path)
    changed = rewritten(path.read_bytes(), in_pickle(text(old), text(new)))
    head = {"head": "magnet"} if "heads" in name else {}
    with pytest.raises((dgnn.ModelFormatError, dgnn.UnsupportedModelError), match=words):
        _core.load_bytes("model.pt", changed, head)


@pytest.mark.parametrize("kind", [*FILES, *SAVED])
def test_written_again_it_is_the_same(kind, tmp_path):
    data = content(kind, tmp_path)
    assert digest_of(rewritten(data, lambda name, member: member)) == digest_of(data)


def test_what_is_not_needed_is_not_read(tmp_path):
    """Beside the chosen model, an optimizer of 100 MB, whose checksum would be wrong."""
    data = content("pt", tmp_path)
    buffer = io.BytesIO(rewritten(data, lambda name, member: member))
    with zipfile.ZipFile(buffer, "a") as archive:
        prefix = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{prefix}/data/9999", bytes(100_000_000))
    large = bytearray(buffer.getvalue())
    large[large.index(b"data/9999") + 50_000_000] ^= 1
    path = tmp_path / "large.pt"
    path.write_bytes(large)
    before = resident()
    model = _core.load(path, {})
    assert resident() - before < 30_000_000
    assert json.loads(model.describe())["archive"]["digest"] == digest_of(data)


def resident():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
    """Each length that it may have: the last byte of a ZIP archive is its end."""
    data = content("pt", tmp_path)
    path = tmp_path / "cut.pt"
    for length in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:length])
        with pytest.raises((dgnn.ModelFormatError, OSError)):
            _core.load(path, {})
