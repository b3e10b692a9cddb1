"""Borders as a six-way brick code builds them, in NumPy and for all ranks at once."""

import itertools

import numpy as np


class Rank:
    def __init__(self, place, low, high, ids, coords):
        self.place, self.low, self.high = place, low, high
        self.nlocal = len(ids)
        self.ids, self.coords = ids, coords
        self.sendlists, self.sendproc, self.recvproc, self.sendnum, self.recvnum, self.firstrecv = ([] for _ in range(6))


def build(coords, box, grid, cutoff):
    """coords: in the periodic rectangular box of these three lengths. One Rank for each brick, with rows (owned, then
    ghosts at their images' places), ids of rows, and the swaps that bring them."""
    box, grid = np.asarray(box, float), np.asarray(grid)
    width = box / grid
    brick = np.minimum((coords / width).astype(int), grid - 1)
    places = list(itertools.product(*map(range, grid)))
    number = {place: rank for rank, place in enumerate(places)}
    ranks = []
    for place in places:
        ids = np.flatnonzero((brick == place).all(axis=1))
        ranks.append(Rank(place, np.array(place) * width, (np.array(place) + 1) * width, ids, coords[ids]))
    for axis in range(3):
        first = [0] * len(ranks)
        for turn in range(int(np.ceil(cutoff / width[axis]))):
            last = [len(rank.ids) for rank in ranks]
            for up in (False, True):
                swap(ranks, number, grid, box, axis, up, cutoff, first, last, relay=turn > 0)
            first = last
    return ranks


def swap(ranks, number, grid, box, axis, up, cutoff, first, last, relay):
    """Rows [first, last) of each rank near its lower (or upper) face go to the brick below (or above). A relay sends on
    what came from the other side, not back."""
    sent = []
    for me, rank in enumerate(ranks):
        x = rank.coords[first[me]:last[me], axis]
        near = x >= rank.high[axis] - cutoff if up else x <= rank.low[axis] + cutoff
        if relay:
            middle = 0.5 * (rank.low[axis] + rank.high[axis])
            near &= x < middle if up else x > middle
        sent.append(first[me] + np.flatnonzero(near))
    rows = [(ranks[me].ids[rows], ranks[me].coords[rows]) for me, rows in enumerate(sent)]
    for me, rank in enumerate(ranks):
        def neighbour(step):
            place = list(rank.place)
            place[axis] = (place[axis] + step) % grid[axis]
            return number[tuple(place)]

        step = 1 if up else -1
        to, source = neighbour(step), neighbour(-step)
        ids, coords = rows[source]
        coords = coords.copy()
        at_edge = rank.place[axis] == (0 if up else grid[axis] - 1)
        coords[:, axis] += at_edge * (-1 if up else 1) * box[axis]
        rank.sendlists.append(sent[me].astype(np.int32))
        rank.sendproc.append(to)
        rank.recvproc.append(source)
        rank.sendnum.append(len(sent[me]))
        rank.recvnum.append(len(ids))
        rank.firstrecv.append(len(rank.ids))
        rank.ids = np.concatenate([rank.ids, ids])
        rank.coords = np.concatenate([rank.coords, coords])
