#include "geom/uncontracted.h"

#include "geom/pairvector.h"

#include <float.h>
#include <math.h>

static inline void pairvector_shift(const struct dgnn_pair_frame *frame, int64_t centre,
                                    const struct dgnn_pair *pair, int32_t shift[3])
{
    for (int k = 0; k < 3; k++) {
        shift[k] = pair->shift[k];
        if (frame->wrap_change) {
            shift[k] += frame->wrap_change[3 * (int64_t)pair->row + k] - frame->wrap_change[3 * centre + k];
        }
    }
}

static inline void pairvector_image(const double *x, const int32_t shift[3], const double *h, double *image)
{
    double s0 = shift[0];
    double s1 = shift[1];
    double s2 = shift[2];
    for (int c = 0; c < 3; c++) {
        image[c] = x[c] + ((s0 * h[c] + s1 * h[3 + c]) + s2 * h[6 + c]);
    }
}

/* x_j + shift - x_i, and its squared length. */
static inline double pairvector_make(const struct dgnn_pair_frame *frame, int64_t centre, int64_t row,
                                     const int32_t shift[3], double vector[3])
{
    double image[3];
    pairvector_image(frame->positions + 3 * row, shift, frame->h, image);
    for (int c = 0; c < 3; c++) {
        vector[c] = image[c] - frame->positions[3 * centre + c];
    }
    return (vector[0] * vector[0] + vector[1] * vector[1]) + vector[2] * vector[2];
}

void dgnn_pairvector_image(const double position[3], const int32_t shift[3], const double h[9],
                           double image[3])
{
    pairvector_image(position, shift, h, image);
}

void dgnn_pairvector_shift(const struct dgnn_pair_frame *frame, int64_t centre, const struct dgnn_pair *pair,
                           int32_t shift[3])
{
    pairvector_shift(frame, centre, pair, shift);
}

void dgnn_pairvector_squares(const struct dgnn_pair_frame *frame, int64_t centre,
                             const struct dgnn_pair *pairs, int64_t n, double *squared)
{
    for (int64_t k = 0; k < n; k++) {
        int32_t shift[3];
        double vector[3];
        pairvector_shift(frame, centre, &pairs[k], shift);
        squared[k] = pairvector_make(frame, centre, pairs[k].row, shift, vector);
    }
}

void dgnn_pairvector_write(const struct dgnn_pair_frame *frame, int64_t centre, const struct dgnn_pair *pairs,
                           const int32_t *order, int64_t n, const struct dgnn_pair_output *output)
{
    for (int64_t k = 0; k < n; k++) {
        const struct dgnn_pair *pair = &pairs[order[k]];
        output->row[k] = pair->row;
        pairvector_shift(frame, centre, pair, output->shift + 3 * k);
        double squared =
            pairvector_make(frame, centre, pair->row, output->shift + 3 * k, output->vector + 3 * k);
        /* At one place (a virtual atom of a spin of zero) there is no direction: a vector of zeros over this
         * is zeros, which is deepmd-kit's choice of a derivative there. */
        output->distance[k] = squared > 0 ? sqrt(squared) : DBL_MIN;
    }
}
