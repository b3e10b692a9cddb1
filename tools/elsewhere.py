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

DARWIN = "arm64-apple-macos13"
NOT_YET = {  # what Darwin lacks, and this code still asks for
    "csrc/comm/thread_transport.c": "pthread_condattr_setclock",
    "csrc/io/decimal.c": "strtod_l",  # in a header of its own
    "csrc/io/writer.c": "getrandom",
}


def syntax(command, source, flags):
    """What a compiler says of one file."""
    done = subprocess.run([*command, "-fsyntax-only", "-Werror", *flags, str(source)], cwd=builder.ROOT, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def look(name, command, files, flags, known=()):
    """Prints a line, and returns 1 where a file has something to say that is not known."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda source: syntax(command, source, flags(source)), files))
    names = [source.relative_to(builder.ROOT).as_posix() for source in files]
    wrong = [(source, text) for source, name_, text in zip(files, names, said, strict=True) if text and name_ not in known]
    kept = [f"{name_} ({known[name_]})" for name_, text in zip(names, said, strict=True) if text and name_ in known]
    print(f"{name}: {len(files) - len(wrong) - len(kept)} of {len(files)} files without a word" + ("; not yet: " + ", ".join(kept)
          if kept else ""), flush=True)
    for source, text in wrong[:8]:
        print(f"{source.relative_to(builder.ROOT)}:\n{text[:1500]}")
    return bool(wrong)


def here(source):
    own = builder.python_flags() if "bind" in source.parts else []
    return [flag for flag in builder.source_flags(source, "release") if not flag.startswith("-mprefer")] + builder.library_flags()[0] + own


def darwin(source):
    """The headers of libzip and cJSON are those of the wheel; Apple's Python is not here, so bind/ is left out."""
    own = [flag for flag in builder.source_flags(source, "release") if flag != "-D_GNU_SOURCE"]
    headers = wheels.FOLDER / "tools" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "ziglang" / "lib" / "libc" / "include"
    system = [word for name in ("any-macos-any", "any-darwin-any") for word in ("-isystem", str(headers / name)) if (headers / name).is_dir()]
    return [*own, "-target", DARWIN, "-nostdlibinc", "-Wno-nullability-completeness", *system, "-DDGNN_LIBZIP_INSIDE",
            f"-I{wheels.FOLDER / 'x86_64' / 'third_party' / 'include'}"]


def main():
    if not shutil.which("clang"):
        sys.exit("elsewhere.py: clang was not found; on Debian: apt-get install clang")
    core = builder.core_sources()
    failed = look("clang, this machine", ["clang"], [*core, *builder.bind_sources()], here)
    python = wheels.tools()
    wheels.third_party(python, "x86_64")
    others = [path for path in core if builder.instruction_set(path)[0] is None]
    others += sorted(builder.CSRC.rglob("*_neon.c"))
    failed |= look(f"clang, {DARWIN}", ["clang"], others, darwin, NOT_YET)
    sys.exit(failed)


if __name__ == "__main__":
    main()
