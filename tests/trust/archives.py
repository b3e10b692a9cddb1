"""Archives as deepmd-kit leaves them, whole or not, made from the one in tests/data/real."""

import io
import json
import zipfile

from conftest import DATA

REAL = DATA / "real" / "dpa3_small.pt2"
NESTED = "model/extra/forward_lower_with_comm.pt2"
METADATA = "model/extra/metadata.json"
MODEL = "model/extra/model.json"


def members():
    with zipfile.ZipFile(REAL) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts):
    """The bytes of an archive of these members, stored as deepmd-kit does."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def with_metadata(parts, **changes):
    """None: without the member."""
    metadata = {**json.loads(parts[METADATA]), **changes}
    return {**parts, METADATA: json.dumps({k: v for k, v in metadata.items() if v is not None}).encode()}


def runnable():
    """name -> (bytes, what info says of flag and nested artifact): all of these carry a whole model.json."""
    whole = members()
    without = {name: data for name, data in whole.items() if name != NESTED}
    garbage = b"this is not a ZIP archive" * 32
    data_part = {MODEL: whole[MODEL]}
    old = {name.removeprefix("model/"): data for name, data in without.items() if name.startswith("model/extra/")}
    archives = {
        "whole": (whole, True, True),
        "nested missing": (without, True, False),
        "nested corrupt": ({**whole, NESTED: garbage}, True, True),
        "nested truncated": ({**whole, NESTED: whole[NESTED][:100_000]}, True, True),
        "nested empty": ({**whole, NESTED: b""}, True, True),
        "flag absent": (with_metadata(without, has_comm_artifact=None), False, False),
        "flag absent, nested there": (with_metadata(whole, has_comm_artifact=None), False, True),
        "flag false, nested there": (with_metadata(whole, has_comm_artifact=False), False, True),
        "older than message passing's flag": (
            with_metadata(without, has_comm_artifact=None, has_message_passing=None), False, False),
        "no metadata": (data_part, False, False),
        "extra at the root": (old, True, False),
        "code damaged": ({name: data[:10] if name.endswith(".so") else data for name, data in whole.items()}, True, True),
        "code missing": ({name: data for name, data in whole.items() if name.startswith("model/")}, True, True),
    }
    return {name: (packed(parts), flag, nested) for name, (parts, flag, nested) in archives.items()}
