/* row = ((w / (r + p), w d / (r + p)^2) - mean) / standard deviation, for each edge of a centre: w(r) is the
 * switch, d the edge's vector, r its length and p the protection. The statistics are those of the centre's
 * type (deepmd/dpmodel/utils/env_mat.py). Everything is in float64. */
#ifndef DGNN_NET_ENVIRONMENT_H
#define DGNN_NET_ENVIRONMENT_H

#include "base/text.h"
#include "geom/graph.h"
#include "io/tree.h"

struct dgnn_environment {
    double cutoff;
    double switch_start; /* Angstrom: where the switch leaves 1 (polynomial), or its midpoint (exponential) */
    double protection;
    int32_t exponential; /* 1: exp(-exp(20 (r - switch_start) / switch_start)); 0: a polynomial of degree 5 */
    int32_t width;       /* numbers in a row: 4, or 1 for the first component alone */
    int64_t ntypes;      /* of centres */
    int64_t nsection;    /* sections of slots that share statistics: 1, or one for each type of neighbour */
    double *mean;        /* ntypes x nsection x width */
    double *scale;       /* as mean: 1 / standard deviation */
};

/* Refuses an owner whose member "env_mat" has other cutoffs. An owner without it has no contradiction. */
int dgnn_environment_same(const struct dgnn_value *owner, double cutoff, double switch_start,
                          struct dgnn_error *error);

/* Fills mean and scale from the members "davg" and "dstd" of variables, both ntypes x sum of sel x width. The
 * caller sets the other members of environment before; "env_mat" beside variables is compared with them. sel
 * has nsection lengths. A section without slots gets mean 0 and scale 1. Errors: FORMAT, MEMORY; UNSUPPORTED
 * for statistics that differ between the slots of one section. */
int dgnn_environment_load(struct dgnn_environment *environment, const struct dgnn_value *variables,
                          const int64_t *sel, struct dgnn_error *error);
/* Reads sel, nsection lengths, from a list of nsection numbers. For one section it is a number, or a list
 * that is summed. The sum must be at least 1. */
int dgnn_environment_sel(const struct dgnn_value *value, int64_t nsection, int64_t *sel,
                         struct dgnn_error *error);

/* As dgnn_environment_load, with a section for each type of neighbour. descriptor has the variables, and list
 * has ntypes numbers, which become *sel. The caller frees *sel with dgnn_alloc_free, also after a failure. */
int dgnn_environment_load_types(struct dgnn_environment *environment, const struct dgnn_value *descriptor,
                                const struct dgnn_value *list, int64_t **sel, struct dgnn_error *error);

/* Appends "sel" as a further member of a JSON object. */
int dgnn_environment_describe_sel(const int64_t *sel, int64_t nsection, struct dgnn_text *text,
                                  struct dgnn_error *error);

/* Returns 1 where a mean is not 0 in column first or a later one. */
int dgnn_environment_has_mean(const struct dgnn_environment *environment, int64_t first);

void dgnn_environment_free(struct dgnn_environment *environment);

/* Returns w(r), and its derivative in *slope unless that is NULL. From the cutoff on w is 0 (polynomial) or
 * constant (exponential). */
double dgnn_environment_switch(const struct dgnn_environment *environment, double distance, double *slope);

/* The statistics of a section, width numbers. */
static inline const double *dgnn_environment_mean(const struct dgnn_environment *environment, int32_t type,
                                                  int64_t section)
{
    return environment->mean + (type * environment->nsection + section) * environment->width;
}

static inline const double *dgnn_environment_scale(const struct dgnn_environment *environment, int32_t type,
                                                   int64_t section)
{
    return environment->scale + (type * environment->nsection + section) * environment->width;
}

/* What a row is made of. */
struct dgnn_environment_edge {
    int32_t type; /* of the centre */
    int64_t section;
    const double *vector; /* 3 */
    double distance;
};

/* Edge e of a graph, which is one of centre i. */
static inline struct dgnn_environment_edge dgnn_environment_edge(const struct dgnn_graph *graph, int64_t i,
                                                                 int64_t section, int64_t e)
{
    return (struct dgnn_environment_edge){.type = graph->type[i],
                                          .section = section,
                                          .vector = graph->vector + 3 * e,
                                          .distance = graph->distance[e]};
}

/* Writes the width numbers of a row. Returns w(r). */
double dgnn_environment_row(const struct dgnn_environment *environment,
                            const struct dgnn_environment_edge *edge, double *row);

/* Adds the gradient by the edge's vector (3 numbers) that follows from d_row (width numbers) and d_switch. */
void dgnn_environment_backward(const struct dgnn_environment *environment,
                               const struct dgnn_environment_edge *edge, const double *d_row, double d_switch,
                               double *gradient);

/* row = -mean * scale, which is the row of an empty slot, and of a neighbour beyond the cutoff. */
void dgnn_environment_empty_row(const struct dgnn_environment *environment, int32_t type, int64_t section,
                                double *row);

#endif
