#include "geom/gradient.h"

#include <string.h>

static const int32_t *gradient_rows(const struct dgnn_graph *graph)
{
    return graph->image ? graph->image : graph->neighbour;
}

void dgnn_gradient_forces(const struct dgnn_graph *graph, const double *edge_gradient, int64_t nrow,
                          double *forces)
{
    const int32_t *row = gradient_rows(graph);
    if (nrow) {
        memset(forces, 0, (size_t)nrow * 3 * sizeof *forces);
    }
    for (int64_t i = 0; i < graph->nowned; i++) {
        double own[3] = {0, 0, 0};
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            const double *g = edge_gradient + 3 * e;
            double *other = forces + 3 * (int64_t)row[e];
            for (int c = 0; c < 3; c++) {
                own[c] += g[c];
                other[c] -= g[c];
            }
        }
        for (int c = 0; c < 3; c++) {
            forces[3 * i + c] += own[c];
        }
    }
}

/* out -= g (x) d */
static void gradient_subtract_product(const double g[3], const double d[3], double *out)
{
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            out[3 * a + b] -= g[a] * d[b];
        }
    }
}

void dgnn_gradient_virial(const struct dgnn_graph *graph, const double *edge_gradient, double virial[9])
{
    memset(virial, 0, 9 * sizeof *virial);
    for (int64_t i = 0; i < graph->nowned; i++) {
        double own[9] = {0}; /* per centre first: the error then grows with the centres, not with the edges */
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            gradient_subtract_product(edge_gradient + 3 * e, graph->vector + 3 * e, own);
        }
        for (int c = 0; c < 9; c++) {
            virial[c] += own[c];
        }
    }
}

void dgnn_gradient_atom_virial(const struct dgnn_graph *graph, const double *edge_gradient, int64_t nrow,
                               double *atom_virial)
{
    const int32_t *row = gradient_rows(graph);
    int64_t nedge = dgnn_graph_nedge(graph);
    if (nrow) {
        memset(atom_virial, 0, (size_t)nrow * 9 * sizeof *atom_virial);
    }
    for (int64_t e = 0; e < nedge; e++) {
        gradient_subtract_product(edge_gradient + 3 * e, graph->vector + 3 * e,
                                  atom_virial + 9 * (int64_t)row[e]);
    }
}

void dgnn_gradient_add_moments(const struct dgnn_graph *graph, const double *edge_moment, double *atom_virial)
{
    const int32_t *row = gradient_rows(graph);
    int64_t nedge = dgnn_graph_nedge(graph);
    for (int64_t i = 0; i < graph->nowned; i++) {
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            double *own = atom_virial + 9 * i, *other = atom_virial + 9 * (int64_t)row[e];
            for (int k = 0; k < 9; k++) {
                double m = edge_moment[3 * (k % 3 * nedge + e) + k / 3];
                own[k] += m;
                other[k] -= m;
            }
        }
    }
}
