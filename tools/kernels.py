"""Makes the file of device kernels that lies beside the library (csrc/cuda/cuda_kernels.h has its form).

    python tools/kernels.py [FILE]             compile kernels/kernels.cu with NVRTC, for all architectures
    python tools/kernels.py --stand-in FILE    no code, only names: what the tests' fake driver takes

NVRTC 12.9 comes from PyPI (nvidia-cuda-nvrtc-cu12): neither a driver nor a host compiler is needed. Cubins of CUDA 12 run on
drivers from 525; PTX is for chips that are newer than the newest cubin."""

import argparse
import ctypes
import importlib.util
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "kernels" / "kernels.cu"
CUBINS, PTX = ("sm_80", "sm_90", "sm_100", "sm_120"), "compute_120"
KIND_CUBIN, KIND_PTX = 1, 2
OPTIONS = ["-std=c++17", "-default-device", f"--include-path={ROOT / 'csrc'}", f"--include-path={ROOT / 'kernels'}"]
# What the sources include of C's headers, of which NVRTC has none.
HEADERS = {"stddef.h": "typedef unsigned long size_t;\n",
           "stdint.h": "typedef signed char int8_t; typedef unsigned char uint8_t; typedef int int32_t;\n"
                       "typedef unsigned uint32_t; typedef long long int64_t; typedef unsigned long long uint64_t;\n"}


class KernelsError(Exception):
    """One line that says what is missing and how to get it."""


def names():
    """Of all kernels, as they are looked up."""
    text = (ROOT / "csrc" / "cuda" / "kernel_list.h").read_text()
    return [f"{name}_f{bits}" for name in re.findall(r"^K\((\w+)\)$", text, re.M) for bits in (32, 64)]


def version():
    text = (ROOT / "csrc" / "cuda" / "cuda_kernels.h").read_text()
    return int(re.search(r"#define DGNN_KERNELS_VERSION (\d+)", text)[1])


def nvrtc():
    spec = importlib.util.find_spec("nvidia.cuda_nvrtc") if importlib.util.find_spec("nvidia") else None
    if spec is None:
        raise KernelsError("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12==12.9.86")
    return ctypes.CDLL(str(pathlib.Path(spec.submodule_search_locations[0]) / "lib" / "libnvrtc.so.12"))


def compile_kernels(library, architecture):
    """The cubin or PTX, and what the compiler said."""
    program = ctypes.c_void_p()
    sources = (ctypes.c_char_p * len(HEADERS))(*[text.encode() for text in HEADERS.values()])
    called = (ctypes.c_char_p * len(HEADERS))(*[name.encode() for name in HEADERS])
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    code = library.nvrtcCreateProgram(ctypes.byref(program), SOURCE.read_bytes(), SOURCE.name.encode(), len(HEADERS), sources,
                                      called)
    if code:
        raise KernelsError(f"NVRTC: {library.nvrtcGetErrorString(code).decode()}")
    options = [f"--gpu-architecture={architecture}", *OPTIONS]
    given = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    code = library.nvrtcCompileProgram(program, len(options), given)
    log = taken(library, program, "ProgramLog").rstrip(b"\0").decode()
    if code:
        raise KernelsError(f"NVRTC: {architecture}: {log}")
    data = taken(library, program, "CUBIN" if architecture.startswith("sm_") else "PTX")
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return data, log


def taken(library, program, what):
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    data = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, data)
    return data.raw


def stand_in():
    """The image that the fake driver reads: it says its length, and names kernels as a cubin's sections do."""
    body = b"".join(b".text." + name.encode() + b"\0" for name in names())
    return b"\177ELFFAKE" + struct.pack("<Q", 16 + len(body)) + body


def pack(images, number=None):
    """images: (kind, architecture as 90, bytes)."""
    head = b"DGNNCUBI" + struct.pack("<II", version() if number is None else number, len(images))
    offset, rows, body = len(head) + 24 * len(images), b"", b""
    for kind, architecture, data in images:
        rows += struct.pack("<IIQQ", kind, architecture, offset + len(body), len(data))
        body += data + b"\0" * (8 - len(data) % 8)
    return head + rows + body


def build():
    """The whole file's bytes, and the compiler's words."""
    library, images, said = nvrtc(), [], []
    for architecture in (*CUBINS, PTX):
        data, log = compile_kernels(library, architecture)
        kind = KIND_CUBIN if architecture in CUBINS else KIND_PTX
        images.append((kind, int(architecture.split("_")[1]), data))
        said += [log] if log else []
    return pack(images), "\n".join(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", nargs="?", default=ROOT / "dgnn" / "dgnn_kernels.bin", type=pathlib.Path)
    parser.add_argument("--stand-in", action="store_true")
    arguments = parser.parse_args()
    data, said = (pack([(KIND_CUBIN, 80, stand_in()), (KIND_CUBIN, 90, stand_in())]), "") if arguments.stand_in else build()
    if said:
        raise KernelsError(said)  # warnings are errors
    arguments.file.write_bytes(data)
    print(f"{arguments.file}: {len(data)} bytes")


if __name__ == "__main__":
    try:
        main()
    except KernelsError as error:
        sys.exit(f"kernels.py: {error}")
