/* The inside of the domain: it decides again which rank computes which atoms. */
#ifndef DGNN_SYSTEM_DOMAIN_BUILD_H
#define DGNN_SYSTEM_DOMAIN_BUILD_H

#include "system/domain.h"

/* The rows of domain->counts, each with a number of atoms for each rank. */
enum dgnn_domain_count {
    DGNN_DOMAIN_DEPART = 0, /* atoms that this rank passes and each rank computes */
    DGNN_DOMAIN_ARRIVE,     /* atoms that each rank passes and this rank computes */
    DGNN_DOMAIN_SEND,       /* rows of this rank that are ghosts of each rank */
    DGNN_DOMAIN_RECEIVE,    /* rows of each rank that are ghosts of this rank */
    DGNN_DOMAIN_COUNTS
};

static inline int64_t *dgnn_domain_counts(const struct dgnn_domain *domain, enum dgnn_domain_count which)
{
    return (int64_t *)domain->counts.data + which * (int64_t)dgnn_transport_nrank(domain->comm);
}

/* Builds everything except the ghosts' positions; collective. The ranks must have shared their statements. */
int dgnn_domain_build(struct dgnn_domain *domain, const struct dgnn_domain_input *input,
                      struct dgnn_error *error);

/* Brings positions, spins and aparam from passing to computing ranks; collective. The memory is already
 * reserved. */
int dgnn_domain_build_bring(struct dgnn_domain *domain, int64_t dim_aparam, struct dgnn_error *error);

#endif
