"""Ranks as threads: what one rank does wrong before a call is its own message on all, and many layers need no new messages."""

import functools
import gc
import itertools
import json
import sys
import threading
import time

import dgnn
import numpy as np
import pytest
from conftest import DATA
from dgnn import _core, bench, testing

sys.path.append(str(DATA.parent / "mpi"))
import brick  # noqa: E402

RANKS = 3


class Ranks:
    """RANKS models on communicators of threads, and one for comparison."""

    def __init__(self, path, n=30):
        rng = np.random.default_rng(0)
        self.renew(path)
        self.coords, self.types, self.box = rng.random((n, 3)) * 9, rng.integers(0, 2, n), np.eye(3) * 9
        self.energy = dgnn.Model.load(path, threads=1).compute(self.coords, self.types, self.box).energy

    def renew(self, path):
        self.comms = _core._comm_threads(RANKS, 20.0)
        self.models = [dgnn.Model.load(path, threads=1) for _ in range(RANKS)]

    def compute(self, rank, **changes):
        """This rank's share of the atoms, some arguments changed."""
        inputs = dict(coords=self.coords[rank::RANKS], types=self.types[rank::RANKS], box=self.box) | changes
        return self.models[rank].compute(**inputs, comm=self.comms[rank])

    def run(self, call):
        """What call(rank) gave or raised, for each rank, and the seconds it took."""
        outcomes = [None] * RANKS

        def work(rank):
            begin = time.monotonic()
            try:
                found = call(rank)
            except BaseException as error:
                found = error
            outcomes[rank] = found, time.monotonic() - begin

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(RANKS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    def check_right(self):
        for result, _ in self.run(self.compute):
            np.testing.assert_allclose(result.energy, self.energy, rtol=1e-13)

    def check_fault(self, kind, message, call, among=range(RANKS)):
        """The same error on all ranks (of these) within a second; then a right answer."""
        outcomes = self.run(call)
        for rank in among:
            found, seconds = outcomes[rank]
            assert type(found) is kind and message in str(found), found
            assert seconds < 1
        assert len({str(outcomes[rank][0]) for rank in among}) == 1
        self.check_right()
        return [found for found, _ in outcomes]


@pytest.fixture(scope="module")
def ranks():
    return Ranks(DATA / "cases" / "dpa3_base" / "model.pt2")


class NoArray:
    """Fails when NumPy asks for numbers."""

    def __init__(self, error):
        self.error = error

    def __array__(self, *args, **options):
        raise self.error


BAD = {
    "coords: expected numbers, found dtype complex128": lambda: dict(coords=np.zeros((10, 3), complex)),
    "coords: expected shape (natoms, 3), found (10, 2)": lambda: dict(coords=np.zeros((10, 2))),
    "coords: atom 4 has y = nan": lambda: dict(coords=np.where(np.arange(30).reshape(10, 3) == 13, np.nan, 1.0)),
    "coords: expected an array, found None": lambda: dict(coords=None),
    "types: expected integers, found dtype float64": lambda: dict(types=np.zeros(10)),
    "types: expected shape (10,)": lambda: dict(types=np.zeros(9, int)),
    "types: the model knows O, H; found Xx": lambda: dict(types=["Xx"] * 10),
    "types: atom 0 has type 9": lambda: dict(types=np.full(10, 9)),
    "types: element 2 is 1099511627776": lambda: dict(types=np.array([0, 0, 2**40] + [0] * 7)),
    "box: expected shape (3, 3)": lambda: dict(box=np.eye(2)),
    "pbc: expected True, False or three": lambda: dict(pbc=(1, 2, 3)),
    "pbc: periodic directions need a box": lambda: dict(box=None, pbc=True),
    "grid: expected three numbers of ranks": lambda: dict(grid=(1, 1)),
    "replicated: expected True or False": lambda: dict(replicated="yes"),
    "ids: expected shape (10,)": lambda: dict(ids=np.arange(3)),
    "ids: expected an array of numbers": lambda: dict(ids=NoArray(RuntimeError("not today"))),
    "spins: given, but this is no spin model": lambda: dict(spins=np.ones((10, 3))),
    "fparam: found 2 numbers; this model takes 0": lambda: dict(fparam=[1.0, 2.0]),
    "aparam: found 1 numbers per atom; this model takes 0": lambda: dict(aparam=np.ones((10, 1))),
    "charge_spin: this model takes none": lambda: dict(charge_spin=[0.0, 1.0]),
}


@pytest.mark.parametrize("bad", range(RANKS))
@pytest.mark.parametrize("message", BAD)
def test_arguments(ranks, message, bad):
    """A rank whose arguments do not convert has its own message on all ranks."""
    found = ranks.check_fault(dgnn.InputError, f"rank {bad}: {message}",
                              lambda rank: ranks.compute(rank, **(BAD[message]() if rank == bad else {})))
    assert all(error.__cause__ is None for rank, error in enumerate(found) if rank != bad)


def test_lowest_rank_speaks(ranks):
    ranks.check_fault(dgnn.InputError, "rank 1: grid: ", lambda rank: ranks.compute(rank, grid=(rank, 0, 0) if rank else None))


def test_foreign_exceptions(ranks):
    """What user code raises is an InputError on all ranks; Ctrl-C and lack of memory stay what they are on theirs."""
    found = ranks.check_fault(dgnn.InputError, "rank 1: coords: not an array (not today)",
                              lambda rank: ranks.compute(rank, coords=NoArray(RuntimeError("not today"))) if rank == 1
                              else ranks.compute(rank))
    assert isinstance(found[1].__cause__, dgnn.InputError)
    found = ranks.check_fault(dgnn.InputError, "rank 2: KeyboardInterrupt",
                              lambda rank: ranks.compute(rank, box=NoArray(KeyboardInterrupt())) if rank == 2
                              else ranks.compute(rank), among=(0, 1))
    assert isinstance(found[2], KeyboardInterrupt)
    ranks.check_fault(MemoryError, "rank 0: no room",
                              lambda rank: ranks.compute(rank, box=NoArray(MemoryError("no room"))) if rank == 0
                              else ranks.compute(rank))


@pytest.mark.parametrize("counts", [(2, 3, 2), (2, 2, 1), (3, None, 3), (0, 1, 1), (2, 2, 0)])
def test_frames(ranks, counts):
    """Different numbers of frames are no wait."""
    def call(rank):
        coords = ranks.coords[rank::RANKS]
        return ranks.compute(rank, coords=coords if counts[rank] is None else np.stack([coords] * 5)[:counts[rank]])

    words = [f"compute of {count} frames" if count not in (1, None) else "compute" for count in counts]
    odd = next(rank for rank in range(RANKS) if words[rank] != words[0])
    ranks.check_fault(dgnn.InputError, f"rank {odd} is in {words[odd]} while rank 0 is in {words[0]}: all ranks", call)


def test_error_in_a_later_frame(ranks):
    """The frames before it were computed together, and all ranks stop at the same one."""
    def call(rank):
        coords = np.stack([ranks.coords[rank::RANKS]] * 3)
        coords[2, 0, 0] = np.inf if rank == 2 else coords[2, 0, 0]
        return ranks.compute(rank, coords=coords)

    ranks.check_fault(dgnn.InputError, "rank 2: coords: atom 0 has x = inf", call)


def test_other_calls(ranks):
    def call(rank):
        if rank == 2:
            return ranks.models[2].compute_ghosted(ranks.coords[2::RANKS], ranks.types[2::RANKS], 10, comm=ranks.comms[2])
        return ranks.compute(rank)

    ranks.check_fault(dgnn.InputError, "rank 2 is in compute_ghosted while rank 0 is in compute: all ranks", call)


def swaps_without_number():
    border = dgnn.Border([], [], [], [], [])
    border.sendlists = range(1 << 31)
    return border


GHOSTED = {
    "nlocal: expected 0 to 10": dict(nlocal=11),
    "nlocal: expected an integer": dict(nlocal="ten"),
    "ghost_forces: found 'keep'": dict(ghost_forces="keep"),
    "border: expected a dgnn.Border or a dgnn.Direct": dict(border=[1]),
    "border: found 2147483648 swaps": dict(border=swaps_without_number()),
    "border.sendproc: expected shape (1,)": dict(border=dgnn.Border([[0]], [0, 0], [0], [1], [1])),
    "border.sendnum[0]: expected 0 or more, found -1": dict(border=dgnn.Border([[0]], [0], [0], [-1], [1])),
    "direct.send_first[1]: expected ascending": dict(border=dgnn.Direct([0], [0, -1], [], [0, 0], [])),
    "neighbours: expected (first, rows)": dict(neighbours=(1, 2, 3)),
    "neighbours.first[0]: expected ascending": dict(neighbours=([1] * 11, [0])),
    "mapping: expected shape (10,)": dict(mapping=[0]),
}


@pytest.mark.parametrize("message", GHOSTED)
def test_arguments_of_ghosted(ranks, message):
    def call(rank):
        inputs = dict(coords=ranks.coords[rank::RANKS], types=ranks.types[rank::RANKS], nlocal=10)
        return ranks.models[rank].compute_ghosted(**inputs | (GHOSTED[message] if rank == 1 else {}), comm=ranks.comms[rank])

    ranks.check_fault(dgnn.InputError, f"rank 1: {message}", call)


@pytest.mark.parametrize("bad", [0, 2])
def test_model_in_two_threads(ranks, bad):
    """Another thread of one rank computes with the model: the ranks' call is right, and does not wait for it."""
    rng = np.random.default_rng(1)
    coords, types = rng.random((1500, 3)) * 32, rng.integers(0, 2, 1500)
    began, over, energies = threading.Event(), threading.Event(), []

    def alone():
        while not over.is_set():
            began.set()
            energies.append(ranks.models[bad].compute(coords, types, np.eye(3) * 32).energy)

    thread = threading.Thread(target=alone)
    thread.start()
    began.wait()
    outcomes = [ranks.run(ranks.compute) for _ in range(3)]
    over.set()
    thread.join()
    for found, _ in itertools.chain(*outcomes):
        np.testing.assert_allclose(found.energy, ranks.energy, rtol=1e-13)
    assert len(set(energies)) == 1
    ranks.check_right()


def test_one_model_on_all_ranks(ranks):
    """Ranks as threads share one model: each has a session of its own."""
    model = ranks.models[0]
    shared = lambda rank: model.compute(ranks.coords[rank::RANKS], ranks.types[rank::RANKS], ranks.box,  # noqa: E731
                                        comm=ranks.comms[rank])
    for found, _ in itertools.chain(ranks.run(shared), ranks.run(shared)):
        np.testing.assert_allclose(found.energy, ranks.energy, rtol=1e-13)


def test_busy_communicator(ranks):
    """Two threads of one rank on one communicator: the second is refused at once, and the first goes on."""
    waiting = threading.Thread(target=ranks.comms[0].agree, args=("compute",))
    waiting.start()
    time.sleep(0.5)
    with pytest.raises(dgnn.BusyError, match="the communicator is in use by another thread of rank 0"):
        ranks.compute(0)
    assert [found for found, _ in ranks.run(lambda rank: rank and ranks.comms[rank].agree("compute"))] == [0, 0, 0]
    waiting.join()
    ranks.check_right()


# ---------------------------------------------------------------- relabelled


@pytest.mark.parametrize("name", ["dpa3_base", "dpa2_base", "spin_dpa3"])
def test_relabelled_ranks(name):
    """The same shares, and a host's same bricks, on permuted ranks: the same results."""
    ranks = Ranks(DATA / "cases" / "dpa3_base" / "model.pt2")
    ranks.renew(DATA / "cases" / name / "model.pt2")
    rng = np.random.default_rng(4)
    grid, width = (3, 1, 1), 3.2
    places = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    coords, types, box = (places + rng.uniform(0.2, 0.8, (27, 3))) * width, rng.integers(0, 2, 27), np.eye(3) * 3 * width
    spins = dict(spins=rng.uniform(0.3, 0.6, (27, 3))) if name.startswith("spin") else {}
    bricks = brick.build(coords, np.diag(box), grid, ranks.models[0].cutoff + 1.2)
    want = dgnn.Model.load(DATA / "cases" / name / "model.pt2", threads=1).compute(coords, types, box, **spins)

    def some(ids):
        return dict(types=types[ids], **{key: value[ids] for key, value in spins.items()})

    for order in itertools.permutations(range(RANKS)):  # rank r has share, or brick, order[r]
        def share(rank):
            mine = np.arange(27)[order[rank]::RANKS]
            return mine, ranks.models[rank].compute(coords[mine], box=box, **some(mine), comm=ranks.comms[rank])

        def host(rank):
            b = bricks[order[rank]]
            border = dgnn.Border(b.sendlists, [order.index(r) for r in b.sendproc], [order.index(r) for r in b.recvproc],
                                 b.sendnum, b.recvnum)
            result = ranks.models[rank].compute_ghosted(b.coords, nlocal=b.nlocal, **some(b.ids), border=border,
                                                        ghost_forces="add", comm=ranks.comms[rank])
            return b.ids[:b.nlocal], result

        for call in (share, host):
            forces, energies, virials = np.full((27, 3), np.nan), [], []
            for found, _ in ranks.run(call):
                assert not isinstance(found, BaseException), found
                ids, result = found
                forces[ids] = result.forces[:len(ids)]
                energies.append(result.energy)
                virials.append(result.virial)
            total = np.sum if call is host else np.mean  # a host's ranks have shares
            for found, expected in ((forces, want.forces), (total(energies), want.energy), (total(virials, 0), want.virial)):
                assert np.abs(found - expected).max() < 1e-11 * max(1, np.abs(expected).max())


def test_closed_model():
    ranks = Ranks(DATA / "cases" / "dpa3_base" / "model.pt2")
    ranks.check_right()
    ranks.models[1].close()
    for found, seconds in ranks.run(ranks.compute):
        assert type(found) is dgnn.InputError and str(found) == "rank 1: this model was closed" and seconds < 1


@pytest.mark.parametrize("name", ["dpa2_base", "hybrid_two_messages", "linear_dpa3_twice", "spin_dpa3"])
def test_memory(name):
    """Each allocation of a first call, later ones in steps, fails on whichever rank comes to it: MemoryError on all, and
    nobody waits, as nothing is allocated once ranks exchange."""
    path = DATA / "cases" / name / "model.pt2"
    rng = np.random.default_rng(3)
    inputs = dict(coords=rng.random((16, 3)) * 7, types=np.arange(16) % 2, box=np.eye(3) * 7)
    if name == "spin_dpa3":
        inputs["spins"] = np.full((16, 3), 0.4)
    ranks, nth, outcomes = Ranks(DATA / "cases" / "dpa3_base" / "model.pt2"), 1, None

    def call(rank):
        try:
            ranks.models[rank].compute(**inputs, comm=ranks.comms[rank], replicated=True)
        except MemoryError as error:
            return str(error)
        return "right"

    while outcomes != ["right"] * RANKS:
        ranks.renew(path)
        _core._alloc_fail_at(nth)
        outcomes = [found for found, _ in ranks.run(call)]
        _core._alloc_fail_at(0)
        assert len(set(outcomes)) == 1 and (outcomes[0] == "right" or "rank " in outcomes[0]), (nth, outcomes)
        assert [found for found, _ in ranks.run(call)] == ["right"] * RANKS
        nth += 1 + nth // 20
    assert nth > 150


def test_refusals_leak_nothing(ranks):
    def failures():
        for bad in (dict(coords=NoArray(KeyboardInterrupt())), dict(box=NoArray(ValueError())), dict(types=["Xx"] * 10),
                    dict(coords=np.zeros((10, 3), complex))):
            with pytest.raises((dgnn.InputError, KeyboardInterrupt)):
                model.compute(**dict(coords=ranks.coords[:10], types=ranks.types[:10], box=ranks.box) | bad, comm=comm)

    def objects():
        gc.collect()
        return len(gc.get_objects()), _core._alloc_live()

    model, (comm,) = ranks.models[0], _core._comm_threads(1, 20.0)
    failures()
    before = objects()
    for _ in range(100):
        failures()
    after = objects()
    assert after[0] - before[0] < 50 and after[1] == before[1]


# ---------------------------------------------------------------- many layers


def deep(nlayers):
    """(json, arrays) of dpa3_base with its layers repeated."""
    tree, arrays = dgnn.Model.load(DATA / "cases" / "dpa3_base" / "model.pt2")._core.tree()
    tree = json.loads(tree)
    descriptor = tree["model"]["descriptor"]
    layers = descriptor["repflow_variable"]["repflow_layers"]

    def copied(value):
        if isinstance(value, dict) and "@index" in value:
            arrays.append(arrays[value["@index"]])
            return {**value, "@index": len(arrays) - 1}
        if isinstance(value, dict):
            return {name: copied(item) for name, item in value.items()}
        return [copied(item) for item in value] if isinstance(value, list) else value

    for k in range(len(layers), nlayers):
        layers.append(copied(layers[k % 3]))
    descriptor["repflow_args"]["nlayers"] = nlayers
    return json.dumps(tree), arrays


def test_ranks_have_equal_work():
    """A drop and its vapour: equally many atoms would be two thirds more than its share for one rank."""
    ranks, rng = Ranks(DATA / "cases" / "dpa3_base" / "model.pt2"), np.random.default_rng(1)
    sites = np.stack(np.meshgrid(*3 * [np.arange(6)], indexing="ij"), -1).reshape(-1, 3) * 1.7
    far = np.stack(np.meshgrid(np.arange(12), *2 * [np.arange(4)], indexing="ij"), -1).reshape(-1, 3) * 3.0 + [12, 0, 0]
    coords = np.concatenate([sites, far]) + rng.random((len(sites) + len(far), 3)) * 0.3
    inputs = dict(coords=coords, types=rng.integers(0, 2, len(coords)), box=np.diag([50.0, 12, 12]))

    def work(rank):
        caller = bench.Caller(ranks.models[rank], bench.slab(inputs, rank, RANKS), comm=ranks.comms[rank])
        caller.call()
        return sum(caller.results[0]["profile"]["flop"].values())

    found = np.array([told for told, _ in ranks.run(work)])
    assert found.max() / found.mean() < 1.03, found


def test_seventy_layers():
    """More exchanges than requests are kept for in any case: right, and the second call allocates nothing."""
    text, arrays = deep(70)
    options = (0, 0, 0, 1, -1.0, "cpu")
    serial, *models = (_core.load_tree("deep", text, arrays, options) for _ in range(3))
    assert json.loads(serial.describe())["descriptor"]["repflow"]["nlayers"] == 70
    comms = _core._comm_threads(2, 20.0)
    rng = np.random.default_rng(2)
    coords, types = rng.random((16, 3)) * 7, rng.integers(0, 2, 16).astype(np.int32)
    fixed = dict(types=types, box=np.eye(3) * 7, pbc=(1, 1, 1), spins=None, fparam=None, aparam=None, charge_spin=None,
                 ids=None, grid=(0, 0, 0), replicated=True, atomic=False)
    want = serial.compute(coords=coords, comm=None, **fixed)
    results = [None, None]

    def work(rank):
        results[rank] = models[rank].compute(coords=coords, comm=comms[rank], **fixed)

    for turn in range(3):
        before = _core._alloc_count()
        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert turn == 0 or _core._alloc_count() == before
        for rank in range(2):
            scale = max(1.0, np.abs(want["forces"]).max())
            assert np.abs(results[rank]["forces"] - want["forces"]).max() < 1e-11 * scale
            counts = comms[rank].counts(True)
            assert turn == 0 or counts["forward_messages"] == counts["reverse_messages"] == 69 * counts["position_messages"]
            assert counts["position_messages"] == 1


traffic = functools.cache(bench.traffic)


@pytest.mark.parametrize("with_ids", [False, True], ids=["", "ids"])
@pytest.mark.parametrize("side", [4, *(pytest.param(side, marks=pytest.mark.long) for side in (6, 8))])
def test_traffic_grows_little(side, with_ids, base_path, figures):
    """From 8 ranks on, what a rank sends in a step and in a rebuild: rows, and what grows with the logarithm of the ranks."""
    few, many = traffic(base_path, 2, with_ids), traffic(base_path, side, with_ids)
    step, rebuild = (many[what] / few[what] for what in ("step", "rebuild"))
    beside = (many["step"] - many["features"]) / (few["step"] - few["features"])
    case = f"{side**3} ranks" + ", ids" * with_ids
    for row, told in ((f"8 ranks{', ids' * with_ids}", few), (case, many)):
        for what, count in told.items():
            figures.record("bytes of a rank", row, what, count)
    figures.record("bytes of a rank, against 8 ranks", case, "step", step, 1.3)
    figures.record("bytes of a rank, against 8 ranks", case, "rebuild", rebuild, 2)
    assert step <= 1.3 and beside <= 1.4
    assert rebuild <= 2
