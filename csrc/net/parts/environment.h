/* The environment of a centre: for each edge a switch w(r) and a row (w/(r+p), w d/(r+p)^2), d the edge's
 * vector and p the protection, less the mean and over the standard deviation of the centre's type
 * (deepmd/dpmodel/utils/env_mat.py). All of it in float64. */
#ifndef DGNN_NET_ENVIRONMENT_H
#define DGNN_NET_ENVIRONMENT_H

#include "base/text.h"
#include "io/tree.h"

struct dgnn_environment {
    double cutoff;
    double smooth; /* where the switch leaves 1 (polynomial), or its midpoint (exponential) */
    double protection;
    int32_t exponential; /* 1: exp(-exp(20 (r - smooth) / smooth)); 0: the polynomial of fifth order */
    int32_t width;       /* 4, or 1: only the first component */
    int64_t ntypes;      /* of centres */
    int64_t nsection;    /* of slots that share statistics: 1, or one for each type of neighbour */
    double *mean;        /* ntypes x nsection x width */
    double *scale;       /* as mean: 1 / standard deviation */
};

/* Refuses an owner whose "env_mat" repeats other cutoffs; one without it has no contradiction. */
int dgnn_environment_same(const struct dgnn_value *owner, double cutoff, double smooth,
                          struct dgnn_error *error);

/* Fills mean and scale from the members "davg" and "dstd" of variables, both ntypes x sum of sel x width; the
 * other members of environment are the caller's and set before. "env_mat" beside variables is compared with
 * them. sel: nsection lengths. Statistics that differ between slots of one section are UNSUPPORTED; a section
 * without slots gets mean 0 and scale 1. */
int dgnn_environment_load(struct dgnn_environment *environment, const struct dgnn_value *variables,
                          const int64_t *sel, struct dgnn_error *error);
/* sel (nsection lengths) from a list of nsection numbers, or, for one section, from a number or a list that
 * is summed; the sum must be at least 1. */
int dgnn_environment_sel(const struct dgnn_value *value, int64_t nsection, int64_t *sel,
                         struct dgnn_error *error);

/* dgnn_environment_load with a section for each type of neighbour. descriptor: holds the variables; list: of
 * ntypes numbers, which become *sel. Allocated (dgnn_alloc_free), on failure too. */
int dgnn_environment_load_types(struct dgnn_environment *environment, const struct dgnn_value *descriptor,
                                const struct dgnn_value *list, int64_t **sel, struct dgnn_error *error);

/* Appends sel as a further member of a JSON object. */
int dgnn_environment_describe_sel(const int64_t *sel, int64_t nsection, struct dgnn_text *text,
                                  struct dgnn_error *error);

/* Is any mean not 0 in the columns from first on? */
int dgnn_environment_has_mean(const struct dgnn_environment *environment, int64_t first);

void dgnn_environment_free(struct dgnn_environment *environment);

/* w(r), and its derivative where slope is not NULL. 0 from the cutoff on (polynomial), or constant
 * (exponential). */
double dgnn_environment_switch(const struct dgnn_environment *environment, double distance, double *slope);

/* Statistics of a section: width numbers each. */
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

/* row: width numbers, normalised. Returns w(r). */
double dgnn_environment_row(const struct dgnn_environment *environment, int32_t type, int64_t section,
                            const double *vector, double distance, double *row);

/* Adds to gradient (3) what d_row (width) and d_switch give for the edge's vector. */
void dgnn_environment_backward(const struct dgnn_environment *environment, int32_t type, int64_t section,
                               const double *vector, double distance, const double *d_row, double d_switch,
                               double *gradient);

/* The row of a slot without a neighbour, and of a neighbour beyond the cutoff: -mean * scale. */
void dgnn_environment_empty_row(const struct dgnn_environment *environment, int32_t type, int64_t section,
                                double *row);

#endif
