/* The bispectrum's coupling tables: S = <B_l1 B_l2 B_l3> over the sphere, of Frobenius norm 1, its first
 * entry that is not zero positive. Of channel triples that equal degrees make equal, the sorted one is kept,
 * times the square root of how many there are (deepmd/dpmodel/descriptor/dpa4c_nn/bispectrum.py). */
#include <math.h>

#include "net/dpa4c/dpa4c_settings.h"

#define HARMONICS_TYPE       double
#define HARMONICS_REAL       double
#define HARMONICS_NAME(name) couplings_##name
#include "ops/harmonics_body.h"

/* Points of a product rule that is exact up to degree 13: Gauss-Legendre times equal angles. */
enum { COUPLINGS_NPOLAR = 7, COUPLINGS_NANGLE = 14 };

struct couplings_sphere {
    double weight[COUPLINGS_NPOLAR * COUPLINGS_NANGLE]; /* of sum 1 */
    double b[COUPLINGS_NPOLAR * COUPLINGS_NANGLE][DGNN_DPA4C_MOST_ANGULAR];
};

/* Zero k of the Legendre polynomial of degree n, and its weight, by Newton's method. */
static double couplings_zero(int n, int k, double *weight)
{
    double z = cos(acos(-1.0) * (k + 0.75) / (n + 0.5)), slope = 1;
    for (int step = 0; step < 50; step++) {
        double p = 1, before = 0;
        for (int j = 1; j <= n; j++) {
            double next = ((2 * j - 1) * z * p - (j - 1) * before) / j;
            before = p;
            p = next;
        }
        slope = n * (z * p - before) / (z * z - 1);
        z -= p / slope;
    }
    *weight = 2 / ((1 - z * z) * slope * slope);
    return z;
}

static void couplings_fill(struct couplings_sphere *sphere)
{
    for (int i = 0; i < COUPLINGS_NPOLAR; i++) {
        double weight, z = couplings_zero(COUPLINGS_NPOLAR, i, &weight), across = sqrt(1 - z * z);
        for (int j = 0; j < COUPLINGS_NANGLE; j++) {
            double angle = 2 * acos(-1.0) * j / COUPLINGS_NANGLE;
            int point = i * COUPLINGS_NANGLE + j;
            sphere->weight[point] = weight / (2 * COUPLINGS_NANGLE);
            couplings_harmonics(4, across * cos(angle), across * sin(angle), z, sphere->b[point]);
        }
    }
}

/* S of three degrees, 9 x 9 x 9 at most. first: where each degree's harmonics begin. */
static void couplings_tensor(const struct couplings_sphere *sphere, const int64_t degree[3], double *tensor)
{
    double norm = 0, sign = 0;
    int64_t size[3], first[3], count = 0;
    for (int k = 0; k < 3; k++) {
        size[k] = 2 * degree[k] + 1;
        first[k] = degree[k] * degree[k] - 1;
    }
    for (int64_t a = 0; a < size[0]; a++) {
        for (int64_t b = 0; b < size[1]; b++) {
            for (int64_t c = 0; c < size[2]; c++) {
                double sum = 0;
                for (int point = 0; point < COUPLINGS_NPOLAR * COUPLINGS_NANGLE; point++) {
                    const double *row = sphere->b[point];
                    sum += sphere->weight[point] * row[first[0] + a] * row[first[1] + b] * row[first[2] + c];
                }
                sum = fabs(sum) < 1e-12 ? 0 : sum;
                norm += sum * sum;
                sign = sign == 0 ? sum : sign;
                tensor[count++] = sum;
            }
        }
    }
    for (int64_t k = 0; k < count; k++) {
        tensor[k] *= (sign < 0 ? -1 : 1) / sqrt(norm);
    }
}

/* How many orders three channels have where equal degrees make orders equal; 0: not the sorted one. */
static int couplings_orders(const int64_t degree[3], const int64_t channel[3])
{
    int first = degree[0] == degree[1], last = degree[1] == degree[2];
    if ((first && channel[0] > channel[1]) || (last && channel[1] > channel[2])) {
        return 0;
    }
    int same_first = channel[0] == channel[1], same_last = channel[1] == channel[2];
    if (first && last) {
        return same_first && same_last ? 1 : same_first || same_last ? 3 : 6;
    }
    return (first && !same_first) || (last && !same_last) ? 2 : 1;
}

/* All terms of one channel triple; only counts where there is no memory yet. */
static void couplings_terms(struct dpa4c_settings *s, const int64_t degree[3], const int64_t channel[3],
                            const double *tensor, double factor)
{
    int64_t count = 0;
    for (int64_t a = 0; a < 2 * degree[0] + 1; a++) {
        for (int64_t b = 0; b < 2 * degree[1] + 1; b++) {
            for (int64_t c = 0; c < 2 * degree[2] + 1; c++, count++) {
                if (tensor[count] == 0) {
                    continue;
                }
                const int64_t m[3] = {a, b, c};
                int32_t row[3];
                for (int k = 0; k < 3; k++) {
                    row[k] =
                        (int32_t)(s->probe_first[degree[k]] + m[k] * s->shape.rank[degree[k]] + channel[k]);
                }
                if (s->coupling) {
                    s->coupling[s->ncoupling] = (struct dgnn_dpa4c_coupling){
                        (int32_t)s->nbispectrum, row[0], row[1], row[2], factor * tensor[count]};
                }
                s->ncoupling++;
            }
        }
    }
}

static void couplings_degrees(struct dpa4c_settings *s, const struct couplings_sphere *sphere,
                              const int64_t degree[3])
{
    double tensor[9 * 9 * 9];
    int64_t channel[3];
    couplings_tensor(sphere, degree, tensor);
    for (channel[0] = 0; channel[0] < s->shape.rank[degree[0]]; channel[0]++) {
        for (channel[1] = 0; channel[1] < s->shape.rank[degree[1]]; channel[1]++) {
            for (channel[2] = 0; channel[2] < s->shape.rank[degree[2]]; channel[2]++) {
                int orders = couplings_orders(degree, channel);
                if (orders) {
                    couplings_terms(s, degree, channel, tensor, sqrt(orders));
                    s->nbispectrum++;
                }
            }
        }
    }
}

static void couplings_all(struct dpa4c_settings *s, const struct couplings_sphere *sphere)
{
    int64_t most = s->shape.lmax;
    s->ncoupling = s->nbispectrum = 0;
    for (int64_t a = 1; a <= most; a++) {
        for (int64_t b = a; b <= most; b++) {
            for (int64_t c = b; c <= most && c <= a + b; c++) {
                if ((a + b + c) % 2 == 0) {
                    couplings_degrees(s, sphere, (const int64_t[3]){a, b, c});
                }
            }
        }
    }
}

int dgnn_dpa4c_make_couplings(struct dpa4c_settings *s, struct dgnn_error *error)
{
    struct couplings_sphere *sphere = dgnn_alloc(1, sizeof(*sphere));
    if (!sphere) {
        return dgnn_status_no_memory(error, "coupling tables", sizeof(*sphere));
    }
    couplings_fill(sphere);
    s->nprobe = 0;
    for (int64_t l = 1; l <= s->shape.lmax; l++) {
        s->probe_first[l] = s->nprobe;
        s->nprobe += (2 * l + 1) * s->shape.rank[l];
    }
    couplings_all(s, sphere);
    s->coupling = dgnn_alloc(s->ncoupling, sizeof(*s->coupling));
    if (s->coupling) {
        couplings_all(s, sphere);
    }
    dgnn_alloc_free(sphere);
    return s->coupling ? DGNN_OK
                       : dgnn_status_no_memory(error, "coupling tables",
                                               s->ncoupling * (int64_t)sizeof(*s->coupling));
}
