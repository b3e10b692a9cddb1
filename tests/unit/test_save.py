"""Models written to .dgnn, .dp and .yaml: the same tree, the same numbers, and old or new whatever happens."""

import errno
import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile

import dgnn
import numpy as np
import pytest
from conftest import DATA

KINDS = ["dgnn", "dp", "yaml"]


def inputs(name="dpa3_base", system="slab"):
    with np.load(DATA / "cases" / name / "cases.npz") as cases:
        return [cases[f"{system}/in/{key}"] for key in ("coord", "type", "box")]


def model_json(path, member="model/extra/model.json"):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(member))


def plain(value, arrays):
    """Arrays as (dtype, shape, bytes), however a file has them."""
    if isinstance(value, dict) and value.get("@class") == "np.ndarray":
        array = arrays[value["@index"]] if "@index" in value else np.array(value["value"], value["dtype"])
        return array.dtype.name, array.shape, array.tobytes()
    if isinstance(value, dict):
        return {key: plain(item, arrays) for key, item in value.items()}
    return [plain(item, arrays) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["dpa3_base", "dpa2_strip", "dpa3_f32", "se_e2_a", "se_e3_tebd", "dpa1_attn2"])
def test_the_tree_comes_back(name, kind, tmp_path):
    source, path = DATA / "cases" / name / "model.pt2", tmp_path / f"model.{kind}"
    model = dgnn.Model.load(source, threads=1)
    model.save(path)
    again = dgnn.Model.load(path, threads=1)
    for loaded in (model, again):
        text, arrays = loaded._core.tree()
        assert len(arrays) > 5
        assert plain(json.loads(text), arrays) == plain(model_json(source), [])
    assert list(plain(json.loads(text), arrays)["model"]) == list(model_json(source)["model"])
    expected, result = model.compute(*inputs(name)), again.compute(*inputs(name))
    np.testing.assert_array_equal(result.forces, expected.forces)
    assert result.energy == expected.energy and np.abs(expected.forces).max() > 1e-4
    assert os.listdir(tmp_path) == [path.name]
    if kind == "dgnn":
        assert again.info()["archive"]["digest"] == model.info()["archive"]["digest"]
        assert again.info()["archive"]["format"] == "dgnn"


def test_dgnn_keeps_the_metadata(tmp_path):
    """Semantics of lists and the flag of the nested artifact; the two other formats have no place for them."""
    graph = DATA / "cases" / "dpa1_attn2_graph" / "model.pt2"
    model = dgnn.Model.load(graph)
    assert model.info()["semantics"] == "graph"
    for kind, semantics in (("dgnn", "graph"), ("dp", "dense")):
        model.save(tmp_path / f"model.{kind}")
        assert dgnn.Model.load(tmp_path / f"model.{kind}").info()["semantics"] == semantics
    assert dgnn.Model.load(tmp_path / "model.dp", semantics="graph").info()["semantics"] == "graph"
    dgnn.Model.load(DATA / "real" / "dpa3_small.pt2").save(tmp_path / "real.dgnn")
    archive = dgnn.Model.load(tmp_path / "real.dgnn").info()["archive"]
    assert archive["has_comm_artifact"] is True and archive["has_compiled_members"] is False
    assert (tmp_path / "real.dgnn").stat().st_size < 100_000


def test_what_is_saved_is_what_was_read(base_path, tmp_path):
    """Options of loading change nothing in the file."""
    dgnn.Model.load(base_path).save(tmp_path / "one.dgnn")
    dgnn.Model.load(base_path, dtype="float32", memory="small", skin=0).save(tmp_path / "two.dgnn")
    dgnn.Model.load(tmp_path / "one.dgnn").save(tmp_path / "one.dgnn")
    assert (tmp_path / "one.dgnn").read_bytes() == (tmp_path / "two.dgnn").read_bytes()


def test_dgnn_loads_fast(tmp_path, figures):
    """The 6-layer model, as text 22 MB, is not parsed: 20 ms of processor time, which a busy machine stretches less."""
    path = tmp_path / "model.dgnn"
    dgnn.Model.load(DATA / "perf" / "dpa3_L6_f32.pt2").save(path)
    times = []
    for _ in range(7):
        start = time.process_time()
        dgnn.Model.load(path).close()
        times.append(time.process_time() - start)
    figures.record("loading, ms", "6 layers, .dgnn", "best of 7", min(times) * 1000, 20)
    assert min(times) < 0.02


def test_numbers_of_yaml():
    """Each is a number for YAML 1.1 too, and the same one."""
    import yaml
    from dgnn import files

    rng = np.random.default_rng(3)
    numbers = np.concatenate([rng.integers(0, 2**64, 3000, dtype=np.uint64).view(float), rng.normal(size=1000),
                              10.0 ** np.arange(-320, 308), -(10.0 ** np.arange(-20, 20)), [0.0, -0.0, 5e-324]])
    numbers = numbers[np.isfinite(numbers)]
    for array in (numbers, numbers[:600].reshape(3, 2, 100), np.array(1e-5), np.zeros((0,)), np.zeros((2, 0)),
                  numbers[abs(numbers) < 1e38].astype(np.float32), np.array([True, False]), np.array([2**62, -3])):
        for loader in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            again = np.array(yaml.load(files._yaml_numbers(array), loader), array.dtype)
            assert again.shape == array.shape and again.tobytes() == array.tobytes()


def test_yaml_is_written_in_seconds(tmp_path, figures):
    """The 6-layer model, 28 MB of it."""
    model = dgnn.Model.load(DATA / "perf" / "dpa3_L6_f32.pt2")
    start = time.process_time()
    model.save(tmp_path / "model.yaml")
    spent = time.process_time() - start
    figures.record("loading, ms", "6 layers, .yaml written", "best of 7", spent * 1000, 10000)
    assert spent < 10


@pytest.mark.parametrize("kind", KINDS)
def test_failures_leave_the_old_file(kind, base_path, tmp_path):
    path = tmp_path / "folder" / f"model.{kind}"
    model = dgnn.Model.load(base_path)
    with pytest.raises(FileNotFoundError):
        model.save(path)
    path.parent.mkdir()
    model.save(path)
    old = path.read_bytes()
    other = dgnn.Model.load(DATA / "cases" / "dpa3_tanh" / "model.pt2")
    code = ("import dgnn, resource, signal, sys\n"
            "model = dgnn.Model.load(sys.argv[1])\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
            "try:\n    model.save(sys.argv[2])\nexcept OSError as error:\n    print(error)\n")
    done = subprocess.run([sys.executable, "-c", code, other.path, path], capture_output=True, text=True, timeout=60)
    assert "File too large" in done.stdout or "errno = 27" in done.stdout, done.stdout + done.stderr
    assert path.read_bytes() == old and os.listdir(path.parent) == [path.name]
    folder = tmp_path / f"taken.{kind}"
    folder.mkdir()
    with pytest.raises(OSError):
        model.save(folder)
    assert sorted(os.listdir(tmp_path)) == sorted(["folder", folder.name])


@pytest.mark.parametrize("kind", ["dp", "yaml"])
def test_killed_writers_leave_old_or_new(kind, base_path, tmp_path):
    """At random moments of the saving; the .dgnn writer has its own test in C, at every byte."""
    path, other = tmp_path / f"model.{kind}", DATA / "cases" / "dpa3_tanh" / "model.pt2"
    dgnn.Model.load(other).save(path)
    digests = {dgnn.Model.load(path).info()["archive"]["digest"]}
    dgnn.Model.load(base_path).save(path)
    digests.add(dgnn.Model.load(path).info()["archive"]["digest"])
    assert len(digests) == 2
    code = ("import dgnn, sys\nmodels = [dgnn.Model.load(name) for name in sys.argv[2:]]\nprint(flush=True)\n"
            "while True:\n    for model in models:\n        model.save(sys.argv[1])\n")
    rng = np.random.default_rng(7)
    for _ in range(10):
        child = subprocess.Popen([sys.executable, "-c", code, path, base_path, other], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(rng.uniform(0.01, 0.2))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert dgnn.Model.load(path).info()["archive"]["digest"] in digests
    left = [name for name in os.listdir(tmp_path) if name != path.name]
    assert all(name.startswith(f"{path.name}.tmp.") for name in left)
    dgnn.Model.load(base_path).save(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_links_and_permissions_stay(kind, depth, base_path, tmp_path):
    """The file that links lead to is written, there or not yet; one that is replaced keeps its permissions."""
    model = dgnn.Model.load(base_path)
    path = tmp_path / "there" / f"model.{kind}"
    path.parent.mkdir()
    name = tmp_path / f"name.{kind}" if depth else path
    for step in range(depth):
        link = tmp_path / f"{'name' if step == 0 else step}.{kind}"
        link.symlink_to(f"{step + 1}.{kind}" if step + 1 < depth else path if depth == 3 else f"there/model.{kind}")
    old = os.umask(0o027)
    try:
        model.save(name)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640 and not path.is_symlink()
    for mode in (0o664, 0o600):
        path.chmod(mode)
        before = path.stat().st_ino
        model.save(name)
        assert path.stat().st_mode & 0o777 == mode and path.stat().st_ino != before
    assert dgnn.Model.load(name).type_map == model.type_map
    assert os.listdir(path.parent) == [path.name] and len(os.listdir(tmp_path)) == 1 + depth
    assert sum(entry.is_symlink() for entry in tmp_path.iterdir()) == depth


@pytest.mark.parametrize("kind", KINDS)
def test_links_that_lead_nowhere(kind, base_path, tmp_path):
    model = dgnn.Model.load(base_path)
    loop, device, fifo = (tmp_path / f"{name}.{kind}" for name in ("loop", "device", "fifo"))
    loop.symlink_to(loop.name)
    device.symlink_to("/dev/null")
    os.mkfifo(fifo)
    for call in (lambda: model.save(loop), lambda: dgnn.Model.load(loop)):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ELOOP and loop.name in str(caught.value)
    for path in (device, fifo):
        with pytest.raises(OSError, match="not a regular file"):
            model.save(path)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_any_bytes(kind, base_path, tmp_path):
    """A name that is no UTF-8 is saved to, loaded from, and named in errors; also where rank 0 reads for all."""
    from dgnn import files

    path = os.fsencode(tmp_path) + b"/q\xff." + kind.encode()
    model = dgnn.Model.load(base_path)
    model.save(path)
    assert os.listdir(os.fsencode(tmp_path)) == [os.path.basename(path)]
    source = pickle.loads(pickle.dumps(files.read(path)))
    digest = dgnn.Model.load(path).digest
    assert kind != "dgnn" or digest == model.digest  # the two others have no place for metadata
    assert json.loads(files.make(source, (0, 0, 0, 1, -1.0, "cpu")).describe())["archive"]["digest"] == digest
    assert pickle.loads(pickle.dumps(dgnn.Model.load(os.fsdecode(path)))).digest == digest
    with open(path, "r+b") as file:
        file.truncate(100)
    with pytest.raises(dgnn.ModelFormatError, match=r"q.\." + kind):
        dgnn.Model.load(path)


@pytest.mark.parametrize("value", [[], [1.5, 2.5], [[], []]])
def test_arrays_of_metadata(value, base_path, tmp_path):
    """They load, and are saved with the others."""
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(base_path) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("metadata.json"):
                array = {"@class": "np.ndarray", "@is_variable": True, "dtype": "float64", "value": value}
                content = json.dumps({**json.loads(content), "output_keys": [array, {"again": array}]})
            new.writestr(name, content)
    model = dgnn.Model.load(path)
    model.save(tmp_path / "model.dgnn")
    again = dgnn.Model.load(tmp_path / "model.dgnn")
    assert again.digest == model.digest != dgnn.Model.load(base_path).digest


def test_names(base_path, tmp_path):
    model = dgnn.Model.load(base_path)
    for name in ("model", "model.pt2", "model.json"):
        with pytest.raises(dgnn.InputError, match="expected a name that ends with .dgnn"):
            model.save(tmp_path / name)
    with pytest.raises(TypeError, match="has no keyword 'pth'; did you mean 'path'|has no keyword"):
        model.save(pth="x.dgnn")
    model.close()
    for kind in KINDS:
        with pytest.raises(dgnn.InputError, match="closed"):
            model.save(tmp_path / f"model.{kind}")
    assert not os.listdir(tmp_path)


def test_pack(base_path, tmp_path):
    """The command, there and back."""
    def pack(*names):
        return subprocess.run([sys.executable, "-m", "dgnn", "pack", *names], capture_output=True, text=True,
                              timeout=60, cwd=tmp_path)

    shutil.copy(base_path, tmp_path / "a.pt2")
    for names in (("a.pt2", "b.dgnn"), ("b.dgnn", "c.yaml"), ("c.yaml", "d.dp"), ("d.dp", "e.dgnn")):
        done = pack(*names)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    trees = [dgnn.Model.load(tmp_path / name)._core.tree() for name in ("a.pt2", "e.dgnn")]
    assert plain(json.loads(trees[0][0]), trees[0][1]) == plain(json.loads(trees[1][0]), trees[1][1])
    for names, message in ((("a.pt2", "b.txt"), "ends with .dgnn"), (("a.pt2", "no/b.dgnn"), "no/b.dgnn"),
                           (("none.pt2", "b.dgnn"), "none.pt2")):
        done = pack(*names)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_from_memory(base_path):
    """The same reader as for files."""
    from dgnn import _core

    data, options = base_path.read_bytes(), (0, 0, 0, 1, -1.0, "cpu")
    assert json.loads(_core.load_bytes("x", data, options).describe())["type_map"] == ["O", "H"]
    for bad in (b"", data[:-1], data[:1000], b"PK\3\4", b"{}", b"\0" * 100):
        with pytest.raises(dgnn.ModelFormatError, match="x"):
            _core.load_bytes("x", bad, options)
