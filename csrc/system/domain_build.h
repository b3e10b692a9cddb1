/* Inside of the domain: deciding anew who computes what. */
#ifndef DGNN_SYSTEM_DOMAIN_BUILD_H
#define DGNN_SYSTEM_DOMAIN_BUILD_H

#include "system/domain.h"

/* Numbers of atoms per rank in domain->counts. */
enum dgnn_domain_count {
    DGNN_DOMAIN_DEPART = 0, /* atoms of mine that each rank computes */
    DGNN_DOMAIN_ARRIVE,     /* atoms of each rank that I compute */
    DGNN_DOMAIN_SEND,       /* rows of mine that are each rank's ghosts */
    DGNN_DOMAIN_RECEIVE,    /* rows of each rank that are my ghosts */
    DGNN_DOMAIN_COUNTS
};

static inline int64_t *dgnn_domain_counts(const struct dgnn_domain *domain, enum dgnn_domain_count which)
{
    return (int64_t *)domain->counts.data + which * (int64_t)dgnn_transport_nrank(domain->comm);
}

/* Collective, after the ranks shared their words. Brings everything but the ghosts' positions. */
int dgnn_domain_build(struct dgnn_domain *domain, const struct dgnn_domain_input *input,
                      struct dgnn_error *error);

/* Collective: positions, spins and aparam from passing to computing ranks. Memory is there. */
int dgnn_domain_build_bring(struct dgnn_domain *domain, int64_t dim_aparam, struct dgnn_error *error);

#endif
