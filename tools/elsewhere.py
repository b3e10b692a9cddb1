"""Other compilers and systems, as far as this machine can look: clang takes all sources without a warning, and so does clang for
macOS on arm64, whose headers of the C library come with Zig (PyPI's ziglang).

    python tools/elsewhere.py
"""

import concurrent.futures
import shutil
import subprocess
import sys

import compile as builder
import wheels

DARWIN = "aarch64-macos"


def syntax(command, source, flags):
    """What a compiler says of one file."""
    done = subprocess.run([*command, "-fsyntax-only", "-Werror", *flags, str(source)], cwd=builder.ROOT, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def look(name, command, files, flags):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda source: syntax(command, source, flags(source)), files))
    wrong = [(source, text) for source, text in zip(files, said, strict=True) if text]
    print(f"{name}: {len(files) - len(wrong)} of {len(files)} files without a word", flush=True)
    for source, text in wrong:
        print(f"{source.relative_to(builder.ROOT)}:\n{text[:1500]}")
    return bool(wrong)


def here(source):
    own = builder.python_flags() if "bind" in source.parts else []
    return [flag for flag in builder.source_flags(source, "release") if not flag.startswith("-mprefer")] + builder.library_flags()[0] + own


def darwin(source):
    """The headers of libzip and cJSON are those of the wheel; Apple's Python is not here, so bind/ is left out."""
    own = [flag for flag in builder.source_flags(source, "release") if flag != "-D_GNU_SOURCE"]
    return [*own, f"-I{wheels.FOLDER / 'x86_64' / 'third_party' / 'include'}", "-DDGNN_LIBZIP_INSIDE"]


def main():
    if not shutil.which("clang"):
        sys.exit("elsewhere.py: clang was not found; on Debian: apt-get install clang")
    core = builder.core_sources()
    failed = look("clang, this machine", ["clang"], [*core, *builder.bind_sources()], here)
    python = wheels.tools()
    wheels.third_party(python, "x86_64")
    others = [path for path in core if builder.instruction_set(path)[0] is None]
    others += sorted(builder.CSRC.rglob("*_neon.c"))
    failed |= look(f"clang, {DARWIN}", [str(python), "-m", "ziglang", "cc", "-target", DARWIN], others, darwin)
    sys.exit(failed)


if __name__ == "__main__":
    main()
