/* The one routine that makes a pair's vector: bits that depend on the two positions and the shift alone. */
#ifndef DGNN_GEOM_PAIRVECTOR_H
#define DGNN_GEOM_PAIRVECTOR_H

#include "base/status.h"

/* A row and a lattice shift, both of one moment. */
struct dgnn_pair {
    int32_t row;
    int32_t shift[3];
};

/* What turns pairs into vectors. */
struct dgnn_pair_frame {
    const double *positions;    /* nrow x 3 */
    const double *h;            /* 3 x 3 rows */
    const int32_t *wrap_change; /* nrow x 3: lattice vectors that each row lost since the pairs were made; or
                                   NULL */
};

/* position + (s0 h0 + s1 h1 + s2 h2). */
void dgnn_pairvector_image(const double position[3], const int32_t shift[3], const double h[9],
                           double image[3]);

/* The pair's shift now: a row that was wrapped by w has its images' shifts larger by w. */
void dgnn_pairvector_shift(const struct dgnn_pair_frame *frame, int64_t centre, const struct dgnn_pair *pair,
                           int32_t shift[3]);

/* squared: n, the squared distances from the centre. */
void dgnn_pairvector_squares(const struct dgnn_pair_frame *frame, int64_t centre,
                             const struct dgnn_pair *pairs, int64_t n, double *squared);

/* Where dgnn_pairvector_write puts its pairs; each is n entries. */
struct dgnn_pair_output {
    int32_t *row;
    int32_t *shift;   /* x 3 */
    double *vector;   /* x 3 */
    double *distance; /* > 0: DBL_MIN for two rows at one place */
};

/* The pairs pairs[order[k]], k < n. */
void dgnn_pairvector_write(const struct dgnn_pair_frame *frame, int64_t centre, const struct dgnn_pair *pairs,
                           const int32_t *order, int64_t n, const struct dgnn_pair_output *output);

#endif
