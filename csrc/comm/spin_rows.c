#include "comm/spin_rows.h"

#include "base/alloc.h"

/* Both rows of each atom, side by side. */
static void spin_double(const int32_t *atoms, int64_t natom, int64_t nowned, int32_t *rows)
{
    for (int64_t k = 0; k < natom; k++) {
        rows[2 * k] = (int32_t)dgnn_spin_real(atoms[k], nowned);
        rows[2 * k + 1] = (int32_t)dgnn_spin_virtual(atoms[k], nowned);
    }
}

/* ------------------------------------------------------------------ direct plans */

int dgnn_spin_plan(const struct dgnn_plan *atoms, struct dgnn_plan **rows, struct dgnn_error *error)
{
    int32_t n = atoms->nneighbour;
    int64_t nsend = atoms->send_first[n];
    int64_t nrecv = atoms->recv_first[n];
    int64_t *first = dgnn_alloc(2 * ((int64_t)n + 1), sizeof(*first));
    int32_t *row = dgnn_alloc(2 * (nsend + nrecv), sizeof(*row));
    int status;
    if (!first || !row) {
        status = dgnn_status_no_memory(error, "a plan for spins", 8 * (nsend + nrecv));
    } else {
        for (int32_t i = 0; i <= n; i++) {
            first[i] = 2 * atoms->send_first[i];
            first[n + 1 + i] = 2 * atoms->recv_first[i];
        }
        spin_double(atoms->send_row, nsend, atoms->nowned, row);
        spin_double(atoms->recv_row, nrecv, atoms->nowned, row + 2 * nsend);
        const struct dgnn_direct direct = {n, atoms->rank, first, row, first + n + 1, row + 2 * nsend};
        status = dgnn_plan_create(&direct, 2 * atoms->nowned, 2 * atoms->nnode, atoms->me, atoms->nrank, rows,
                                  error);
    }
    dgnn_alloc_free(first);
    dgnn_alloc_free(row);
    return status;
}

/* ------------------------------------------------------------------ swaps */

int dgnn_spin_swaps(const struct dgnn_swaps *atoms, struct dgnn_swaps **rows, struct dgnn_error *error)
{
    int32_t n = atoms->nswap;
    int64_t nsend = atoms->send_first[n];
    int32_t *num = dgnn_alloc(2 * (int64_t)n, sizeof(*num));
    int32_t *row = dgnn_alloc(2 * nsend, sizeof(*row));
    const int32_t **list = dgnn_alloc(n, sizeof(*list));
    int status;
    if (!num || !row || !list) {
        status = dgnn_status_no_memory(error, "a border for spins", 8 * nsend);
    } else {
        spin_double(atoms->send_row, nsend, atoms->nowned, row);
        for (int32_t s = 0; s < n; s++) {
            num[s] = (int32_t)(2 * dgnn_swaps_nsend(atoms, s));
            num[n + s] = (int32_t)(2 * dgnn_swaps_nrecv(atoms, s));
            list[s] = row + 2 * atoms->send_first[s];
        }
        const struct dgnn_border border = {.nswap = n,
                                           .sendproc = atoms->send_rank,
                                           .recvproc = atoms->recv_rank,
                                           .sendnum = num,
                                           .recvnum = num + n,
                                           .sendlist = list};
        status = dgnn_swaps_create(&border, 2 * atoms->nowned, 2 * atoms->nnode, atoms->me, atoms->nrank,
                                   rows, error);
    }
    dgnn_alloc_free(num);
    dgnn_alloc_free(row);
    dgnn_alloc_free(list);
    return status;
}

/* ------------------------------------------------------------------ neighbour lists */

/* One centre's row: own is its other node. Returns the end of what was written. */
static int32_t *spin_row(const int32_t *neighbour, int64_t count, int64_t own, int64_t nowned, int32_t *out)
{
    *out++ = (int32_t)own;
    for (int64_t k = 0; k < count; k++) {
        out[k] = neighbour[k] < 0 ? -1 : (int32_t)dgnn_spin_real(neighbour[k], nowned);
        out[count + k] = neighbour[k] < 0 ? -1 : (int32_t)dgnn_spin_virtual(neighbour[k], nowned);
    }
    return out + 2 * count;
}

void dgnn_spin_neighbours(const int64_t *first, const int32_t *neighbour, int64_t nowned, int64_t *out_first,
                          int32_t *out)
{
    int32_t *next = out;
    for (int64_t centre = 0; centre < 2 * nowned; centre++) {
        int64_t atom = centre < nowned ? centre : centre - nowned;
        int64_t own = centre < nowned ? centre + nowned : atom;
        out_first[centre] = next - out;
        next = spin_row(neighbour + first[atom], first[atom + 1] - first[atom], own, nowned, next);
    }
    out_first[2 * nowned] = next - out;
}
