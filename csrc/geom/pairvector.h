/* The one routine that makes a pair's vector. Its bits depend on the two positions and the shift alone. */
#ifndef DGNN_GEOM_PAIRVECTOR_H
#define DGNN_GEOM_PAIRVECTOR_H

#include "base/status.h"

/* A neighbour: a row and the lattice shift of its image, both as of one time. */
struct dgnn_pair {
    int32_t row;
    int32_t shift[3];
};

/* What is needed to make vectors of pairs. */
struct dgnn_pair_frame {
    const double *positions;    /* nrow x 3 */
    const double *h;            /* 3 x 3 rows */
    const int32_t *wrap_change; /* nrow x 3: lattice vectors that wrapping took from each row since the pairs
                                   were made; NULL: none */
};

/* image = position + (s0 h0 + s1 h1 + s2 h2). */
void dgnn_pairvector_image(const double position[3], const int32_t shift[3], const double h[9],
                           double image[3]);

/* Writes the pair's present shift: where a row was wrapped by w, the shifts of its images grew by w. */
void dgnn_pairvector_shift(const struct dgnn_pair_frame *frame, int64_t centre, const struct dgnn_pair *pair,
                           int32_t shift[3]);

/* Writes the n squared distances from the centre. */
void dgnn_pairvector_squares(const struct dgnn_pair_frame *frame, int64_t centre,
                             const struct dgnn_pair *pairs, int64_t n, double *squared);

/* The arrays that dgnn_pairvector_write fills, of n entries each. */
struct dgnn_pair_output {
    int32_t *row;
    int32_t *shift;   /* x 3 */
    double *vector;   /* x 3 */
    double *distance; /* > 0; DBL_MIN for two rows at one place */
};

/* Writes the pairs pairs[order[k]] for k < n. */
void dgnn_pairvector_write(const struct dgnn_pair_frame *frame, int64_t centre, const struct dgnn_pair *pairs,
                           const int32_t *order, int64_t n, const struct dgnn_pair_output *output);

#endif
