/* A host code in small, for the two programs here: atoms of an orthogonal periodic cell, each rank with those
 * of a slab along x, and with the images around it that its atoms can see.
 *
 * The file: the number of atoms; 9 numbers, the rows of the box; then for each atom its element and x y z
 * inside the box. */
#ifndef HOST_SLABS_H
#define HOST_SLABS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dgnn.h"

struct host_system {
    int64_t natoms;
    double box[9];
    double *coords; /* natoms x 3 */
    int32_t *types; /* natoms, in the numbers of the first model */
};

/* Of one rank: owned rows first, then ghosts. */
struct host_rows {
    int64_t nlocal, nall;
    double *coords;      /* nall x 3, ghosts at their image's place */
    int32_t *types;      /* nall */
    int64_t *atom;       /* nall: which atom of the system */
    int32_t *owner_rank; /* nall - nlocal: who owns a ghost's atom ... */
    int32_t *owner_row;  /* ... and as which row */
};

static inline void *host_alloc(int64_t count, size_t size)
{
    void *block = calloc((size_t)count + 1, size);
    if (!block) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return block;
}

/* 0, or 1 with a line on stderr. */
static inline int host_read(const char *path, const struct dgnn_model_info *info, struct host_system *s)
{
    FILE *file = fopen(path, "r");
    long long natoms = 0;
    char name[16];
    int good = file && fscanf(file, "%lld", &natoms) == 1 && natoms > 0 && natoms < 100000;
    s->natoms = natoms;
    for (int k = 0; k < 9 && good; k++) {
        good =
            fscanf(file, "%lf", &s->box[k]) == 1 && (k % 4 == 0 ? s->box[k] > info->cutoff : s->box[k] == 0);
    }
    s->coords = (double *)host_alloc(good ? 3 * natoms : 0, sizeof(double));
    s->types = (int32_t *)host_alloc(good ? natoms : 0, sizeof(int32_t));
    for (int64_t i = 0; i < natoms && good; i++) {
        double *x = s->coords + 3 * i;
        good = fscanf(file, "%15s %lf %lf %lf", name, x, x + 1, x + 2) == 4;
        s->types[i] = -1;
        for (int32_t t = 0; t < info->ntypes && good; t++) {
            s->types[i] = strcmp(info->type_names[t], name) ? s->types[i] : t;
        }
        for (int k = 0; k < 3 && good; k++) {
            good = s->types[i] >= 0 && x[k] >= 0 && x[k] < s->box[4 * k];
        }
    }
    if (file) {
        fclose(file);
    }
    if (!good) {
        fprintf(stderr,
                "%s: no system of an orthogonal cell wider than the cutoff, with the elements of the model\n",
                path);
    }
    return !good;
}

static inline void host_free(struct host_system *s)
{
    free(s->coords);
    free(s->types);
}

static inline int32_t host_owner(const struct host_system *s, int64_t atom, int32_t nrank)
{
    int32_t rank = (int32_t)(s->coords[3 * atom] / s->box[0] * nrank);
    return rank < nrank ? rank : nrank - 1;
}

/* Does the image stand within reach of the rank's slab? */
static inline int host_sees(const struct host_system *s, const double place[3], double reach, int32_t rank,
                            int32_t nrank)
{
    double low = s->box[0] * rank / nrank, high = s->box[0] * (rank + 1) / nrank;
    return place[0] >= low - reach && place[0] < high + reach && place[1] >= -reach &&
           place[1] < s->box[4] + reach && place[2] >= -reach && place[2] < s->box[8] + reach;
}

static inline void host_add(struct host_rows *r, const struct host_system *s, int64_t atom,
                            const double place[3])
{
    memcpy(r->coords + 3 * r->nall, place, 3 * sizeof(double));
    r->types[r->nall] = s->types[atom];
    r->atom[r->nall++] = atom;
}

static inline struct host_rows host_distribute(const struct host_system *s, double reach, int32_t rank,
                                               int32_t nrank)
{
    struct host_rows r;
    int64_t most = 27 * s->natoms;
    int32_t *row = (int32_t *)host_alloc(s->natoms, sizeof(int32_t)),
            *count = (int32_t *)host_alloc(nrank, sizeof(int32_t));
    memset(&r, 0, sizeof(r));
    r.coords = (double *)host_alloc(3 * most, sizeof(double));
    r.types = (int32_t *)host_alloc(most, sizeof(int32_t));
    r.atom = (int64_t *)host_alloc(most, sizeof(int64_t));
    r.owner_rank = (int32_t *)host_alloc(most, sizeof(int32_t));
    r.owner_row = (int32_t *)host_alloc(most, sizeof(int32_t));
    for (int64_t i = 0; i < s->natoms; i++) {
        int32_t owner = host_owner(s, i, nrank);
        row[i] = count[owner]++;
        if (owner == rank) {
            host_add(&r, s, i, s->coords + 3 * i);
        }
    }
    r.nlocal = r.nall;
    for (int64_t i = 0; i < s->natoms; i++) {
        int32_t owner = host_owner(s, i, nrank);
        for (int cell = 0; cell < 27; cell++) {
            const double place[3] = {s->coords[3 * i] + (cell / 9 - 1) * s->box[0],
                                     s->coords[3 * i + 1] + (cell / 3 % 3 - 1) * s->box[4],
                                     s->coords[3 * i + 2] + (cell % 3 - 1) * s->box[8]};
            if ((owner != rank || cell != 13) && host_sees(s, place, reach, rank, nrank)) {
                r.owner_rank[r.nall - r.nlocal] = owner;
                r.owner_row[r.nall - r.nlocal] = row[i];
                host_add(&r, s, i, place);
            }
        }
    }
    free(row);
    free(count);
    return r;
}

static inline void host_rows_free(struct host_rows *r)
{
    free(r->coords);
    free(r->types);
    free(r->atom);
    free(r->owner_rank);
    free(r->owner_row);
}

/* One call of both models over the rows of a host, ghosts' forces added to their owners. energy: this rank's
 * shares; forces: of both models, nall rows each. Prints how many rows of remote atoms there are. */
static inline int host_compute(struct dgnn_session *session, const struct host_rows *r,
                               struct dgnn_comm *comm, double energy[2], double *forces,
                               struct dgnn_error *error)
{
    struct dgnn_owners owners;
    struct dgnn_ghosted rows;
    struct dgnn_result results[2];
    struct dgnn_ghost_plan *plan = NULL;
    memset(&owners, 0, sizeof(owners));
    memset(&rows, 0, sizeof(rows));
    memset(results, 0, sizeof(results));
    owners.size = sizeof(owners);
    owners.nlocal = r->nlocal;
    owners.nall = r->nall;
    owners.rank = r->owner_rank;
    owners.row = r->owner_row;
    int status =
        dgnn_direct_from_owners(&owners, comm, &plan, error); /* once for each distribution of the atoms */
    if (status) {
        return status;
    }
    rows.size = sizeof(rows);
    rows.nlocal = r->nlocal;
    rows.nall = r->nall;
    rows.coords = r->coords;
    rows.types = r->types;
    rows.direct = plan->direct;
    rows.mapping = plan->mapping;
    rows.add_ghost_forces = 1;
    for (int k = 0; k < 2; k++) {
        results[k].size = sizeof(results[k]);
        results[k].forces = forces + 3 * k * r->nall;
    }
    status = dgnn_session_compute_ghosted(session, &rows, comm, results, error);
    energy[0] = results[0].energy;
    energy[1] = results[1].energy;
    if (!status) {
        fprintf(stderr, "%lld atoms, %lld images, %lld rows of remote atoms\n", (long long)r->nlocal,
                (long long)(r->nall - r->nlocal), (long long)results[0].nghosts);
    }
    dgnn_ghost_plan_free(plan);
    return status;
}

static inline void host_print(double energy, const double *forces, int64_t natoms)
{
    printf("%.17g", energy);
    for (int64_t k = 0; k < 3 * natoms; k++) {
        printf(" %.17g", forces[k]);
    }
    printf("\n");
}

#endif
