/* The rotation matrix of a centre, of the last layer's pairs (deepmd/dpmodel/descriptor/repformers.py:
 * _cal_hg):
 *
 *     R[c][k] = norm sum_j w_j h_jk g_jc */
#include "base/real.h"

static double REAL(repformer_rotation_norm)(const struct REAL(dgnn_repformer) * block, int64_t n)
{
    double slots = (double)(block->context.smooth ? block->nsel : n);
    double size = block->layer[0].s.root ? sqrt(slots) : slots;
    return 1 / (block->context.smooth ? size : repformer_epsilon + size);
}

/* rotation: ncentre x ng2 x 3, of which row i is written. */
static void REAL(repformer_rotation)(const struct REAL(dgnn_repformer_workspace) * w, int64_t i,
                                     double *rotation)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first, width = 3 * block->ng2;
    double norm = REAL(repformer_rotation_norm)(block, n), *row = rotation + i * width;
    memset(row, 0, sizeof(double) * (size_t)width);
    for (int64_t pair = first; pair < first + n; pair++) {
        const real *g = w->g2[block->nlayer] + pair * block->ng2p, *h = w->h2[block->nlayer] + 4 * pair;
        double factor = norm * (block->context.smooth ? w->sw[pair] : 1);
        for (int64_t k = 0; k < width; k++) {
            row[k] += factor * (double)(h[k % 3] * g[k / 3]);
        }
    }
}

/* Adds to the gradients of the last pairs and of their switches; a rotation matrix has no moments. gradient:
 * as rotation. */
static void REAL(repformer_rotation_backward)(struct REAL(dgnn_repformer_workspace) * w, int64_t i,
                                              const double *gradient)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first, width = 3 * block->ng2;
    const double *d = gradient + i * width;
    double norm = REAL(repformer_rotation_norm)(block, n);
    for (int64_t pair = first; pair < first + n; pair++) {
        const real *g = w->g2[block->nlayer] + pair * block->ng2p, *h = w->h2[block->nlayer] + 4 * pair;
        double sw = block->context.smooth ? w->sw[pair] : 1, d_h[3] = {0};
        for (int64_t k = 0; k < width; k++) {
            w->side[0].g2[1][pair * block->ng2p + k / 3] += (real)(norm * sw * (double)h[k % 3] * d[k]);
            d_h[k % 3] += norm * d[k] * (double)g[k / 3];
        }
        for (int k = 0; k < 3; k++) {
            w->side[0].h2[1][4 * pair + k] += (real)(sw * d_h[k]);
            w->side[0].sw[pair] += block->context.smooth ? (double)h[k] * d_h[k] : 0;
        }
    }
}
