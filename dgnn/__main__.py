"""python -m dgnn: the command dgnn; and --prefix, --cflags and --libs for hosts in C that are built against the package."""

import sys

BUILD_FLAGS = ("--prefix", "--cflags", "--libs")


def build_flags(wanted):
    """What a compiler needs to build and link a host of the C library that this package holds: one line a flag asked for."""
    import pathlib
    import shlex

    package = pathlib.Path(__file__).resolve().parent
    library = sorted(package.glob("libdgnn.so.*"))[0]
    values = {
        "--prefix": str(package),
        "--cflags": shlex.join([f"-I{package / 'include'}"]),
        "--libs": shlex.join([f"-L{package}", f"-l:{library.name}", f"-Wl,-rpath,{package}"]),
    }
    return [values[flag] for flag in wanted]


if __name__ == "__main__":
    if len(sys.argv) > 1 and all(argument in BUILD_FLAGS for argument in sys.argv[1:]):
        print("\n".join(build_flags(sys.argv[1:])))
        sys.exit()
    from dgnn.cli import main

    sys.exit(main())
