/* A small open cluster of atoms with a graph of its own, for evaluations of a descriptor alone. */
#ifndef DGNN_TESTS_CLUSTER_H
#define DGNN_TESTS_CLUSTER_H

#include "check.h"
#include "random.h"

#include <math.h>

#include "comm/exchange_create.h"
#include "comm/plan.h"
#include "geom/graph.h"
#include "net/parts/descriptor.h"

#ifndef CLUSTER_ATOMS
#define CLUSTER_ATOMS 14
#endif

enum { NATOM = CLUSTER_ATOMS, NROW = 2 * NATOM, NEDGE_MAX = NATOM * (NATOM - 1) };

/* Rows [NATOM, NROW) are copies of the atoms, as ghosts. */
struct cluster {
    int32_t type[NROW], neighbour[NEDGE_MAX], copied[NEDGE_MAX]; /* copied: some neighbours as copies */
    double position[NATOM][3], vector[3 * NEDGE_MAX], distance[NEDGE_MAX];
    int64_t first[NATOM + 1];
    struct dgnn_graph graph;
};

static inline double cluster_distance(const struct cluster *c, int i, int j)
{
    double square = 0;
    for (int d = 0; d < 3; d++) {
        square += (c->position[j][d] - c->position[i][d]) * (c->position[j][d] - c->position[i][d]);
    }
    return sqrt(square);
}

/* The neighbours of i, nearest first, at most sel of them. */
static inline int cluster_neighbours(const struct cluster *c, int i, double cutoff, int64_t sel, int *order)
{
    int n = 0;
    for (int j = 0; j < NATOM; j++) {
        double r = cluster_distance(c, i, j);
        if (j != i && r <= cutoff) {
            int at = n++;
            for (; at > 0 && cluster_distance(c, i, order[at - 1]) > r; at--) {
                order[at] = order[at - 1];
            }
            order[at] = j;
        }
    }
    return n < sel ? n : (int)sel;
}

/* Neighbours as copies in ghost rows, with an exchange that copies and adds. */
static inline struct dgnn_exchange *cluster_exchange(struct dgnn_plan **plan)
{
    static const int64_t first[] = {0, NROW - NATOM};
    static const int32_t me = 0;
    static int32_t owner[NROW], row[NROW];
    struct dgnn_exchange *exchange = NULL;
    struct dgnn_error error;
    for (int32_t i = 0; i < NROW; i++) {
        row[i] = i;
        owner[i] = i % NATOM;
    }
    const struct dgnn_direct direct = {1, &me, first, owner + NATOM, first, row + NATOM};
    CHECK_STATUS(dgnn_plan_create(&direct, NATOM, NROW, 0, 1, plan, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_create_direct(*plan, NULL, DGNN_EXCHANGE_FEATURES, &exchange, &error), DGNN_OK,
                 "");
    return exchange;
}

/* Another cluster for each value of *seed. dense: lists end at sel. */
static inline void make_cluster(struct cluster *c, const struct dgnn_descriptor_properties *p, int32_t ntypes,
                                int dense, uint64_t *seed)
{
    int64_t edge = 0, sel = dense && p->mixed_types ? p->sel[0] : NATOM;
    for (int i = 0; i < NROW; i++) {
        c->type[i] = i % NATOM % ntypes;
    }
    for (int i = 0; i < 3 * NATOM; i++) {
        c->position[i / 3][i % 3] = 1.9 * (i % 3 == 0   ? i / 3 % 3
                                           : i % 3 == 1 ? i / 9 % 3
                                                        : i / 27) +
                                    0.5 * random_uniform(seed);
    }
    for (int i = 0; i < NATOM; i++) {
        int order[NATOM], n = cluster_neighbours(c, i, p->cutoff, sel, order);
        c->first[i] = edge;
        for (int k = 0; k < n; k++, edge++) {
            c->neighbour[edge] = order[k];
            c->copied[edge] = order[k] + (random_uniform(seed) < 0.3 ? NATOM : 0);
            c->distance[edge] = cluster_distance(c, i, order[k]);
            for (int d = 0; d < 3; d++) {
                c->vector[3 * edge + d] = c->position[order[k]][d] - c->position[i][d];
            }
        }
    }
    c->first[NATOM] = edge;
    c->graph = (struct dgnn_graph){.nowned = NATOM,
                                   .nnode = NATOM,
                                   .type = c->type,
                                   .first = c->first,
                                   .neighbour = c->neighbour,
                                   .vector = c->vector,
                                   .distance = c->distance,
                                   .first_type = c->type[0],
                                   .dense = dense};
}

#endif
