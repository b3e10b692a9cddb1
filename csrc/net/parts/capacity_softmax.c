#include "net/parts/capacity_softmax.h"

#include <math.h>

static void capacity_softmax_sort(struct dgnn_capacity_softmax *softmax)
{
    for (int64_t k = 0; k < softmax->n; k++) {
        int64_t at = k;
        while (at > 0 && softmax->w[softmax->order[at - 1]] < softmax->w[k]) {
            softmax->order[at] = softmax->order[at - 1];
            at--;
        }
        softmax->order[at] = k;
    }
}

/* The level where the first whole keys in order fill a slot each; 0 where there is none. */
static double capacity_softmax_level(const struct dgnn_capacity_softmax *softmax, int64_t whole)
{
    double sum = 0, square = 0, left = softmax->capacity - (double)whole;
    for (int64_t k = softmax->n - 1; k >= whole; k--) {
        double w = softmax->w[softmax->order[k]];
        sum += w;
        square += w * w;
    }
    double inner = sum * sum - square * left;
    if (left <= 0 || inner < 0 || sum <= 0) {
        return 0;
    }
    double level = left / (sum + sqrt(inner));
    return whole == 0 || level * softmax->w[softmax->order[whole - 1]] >= 1 ? level : 0;
}

void dgnn_capacity_softmax_occupy(struct dgnn_capacity_softmax *softmax)
{
    int64_t positive = 0;
    for (int64_t k = 0; k < softmax->n; k++) {
        positive += softmax->w[k] > 0;
        softmax->d_theta[k] = 0;
    }
    capacity_softmax_sort(softmax);
    softmax->level = 0;
    softmax->whole = 0;
    for (int64_t whole = 0; (double)positive > softmax->capacity && (double)whole < softmax->capacity;
         whole++) {
        double level = capacity_softmax_level(softmax, whole);
        if (level > 0) {
            softmax->level = level;
            softmax->whole = whole;
        }
    }
    for (int64_t k = 0; k < softmax->n; k++) {
        double t = softmax->level * softmax->w[k];
        softmax->theta[k] = softmax->level == 0 ? softmax->w[k] > 0 : t >= 1 ? 1 : t * (2 - t);
    }
}

/* A row's logits against their largest: e_k = exp(x_k - most), and P on the same scale, which is bounded so
 * that it does not overflow where all logits are far below -shift. */
struct capacity_softmax_row {
    double most, phantom_log, phantom;
};

static struct capacity_softmax_row capacity_softmax_row(const struct dgnn_capacity_softmax *softmax,
                                                        const double *x)
{
    struct capacity_softmax_row row = {.most = x[0]};
    for (int64_t k = 1; k < softmax->n; k++) {
        row.most = x[k] > row.most ? x[k] : row.most;
    }
    row.phantom_log = -softmax->shift - row.most < 80 ? -softmax->shift - row.most : 80;
    row.phantom = exp(row.phantom_log);
    return row;
}

/* What a key adds to the denominator, and its derivatives by x and theta. */
static double capacity_softmax_term(const struct capacity_softmax_row *row, double x, double theta,
                                    double *by_x, double *by_theta)
{
    double e = exp(x - row->most), y = x - row->most - row->phantom_log;
    if (y >= 0) {
        *by_x = e;
        *by_theta = row->phantom;
        return e - (1 - theta) * row->phantom;
    }
    if (theta <= 0) {
        *by_x = *by_theta = 0;
        return 0;
    }
    if (y < -700 * theta) { /* chi vanishes faster than what it is multiplied by grows */
        *by_x = theta * e;
        *by_theta = e;
        return theta * e;
    }
    double chi = exp(y / theta), below = row->phantom * expm1(y); /* e - P */
    *by_x = theta * e + (1 - theta) * chi * (e + below / theta);
    *by_theta = e - below * chi * (1 + (1 - theta) * y / (theta * theta));
    return theta * e + (1 - theta) * below * chi;
}

static double capacity_softmax_denominator(const struct dgnn_capacity_softmax *softmax,
                                           const struct capacity_softmax_row *row, const double *x)
{
    double sum = 0, occupied = 0, unused[2];
    for (int64_t k = 0; k < softmax->n; k++) {
        sum += capacity_softmax_term(row, x[k], softmax->theta[k], &unused[0], &unused[1]);
        occupied += softmax->theta[k];
    }
    double left = softmax->capacity - occupied;
    return left > 0 ? sum + left * row->phantom : sum;
}

void dgnn_capacity_softmax_weights(const struct dgnn_capacity_softmax *softmax, const double *x,
                                   double *weight)
{
    struct capacity_softmax_row row = capacity_softmax_row(softmax, x);
    double sum = capacity_softmax_denominator(softmax, &row, x);
    for (int64_t k = 0; k < softmax->n; k++) {
        weight[k] = sum > 0 ? exp(x[k] - row.most) / sum : 0;
    }
}

void dgnn_capacity_softmax_backward(const struct dgnn_capacity_softmax *softmax, const double *x,
                                    double along, double *ratio)
{
    struct capacity_softmax_row row = capacity_softmax_row(softmax, x);
    double sum = capacity_softmax_denominator(softmax, &row, x);
    for (int64_t k = 0; k < softmax->n; k++) {
        double by_x, by_theta;
        capacity_softmax_term(&row, x[k], softmax->theta[k], &by_x, &by_theta);
        ratio[k] = sum > 0 ? by_x / sum : 0;
        softmax->d_theta[k] -= sum > 0 ? along * by_theta / sum : 0;
    }
}

void dgnn_capacity_softmax_finish(const struct dgnn_capacity_softmax *softmax, double *d_w)
{
    double mean = 0, norm = 0, u = softmax->level;
    if (u == 0) {
        return;
    }
    for (int64_t k = softmax->whole; k < softmax->n; k++) {
        int64_t j = softmax->order[k];
        double factor = (1 - softmax->w[j] * u) * softmax->w[j];
        mean += softmax->d_theta[j] * factor;
        norm += factor;
    }
    for (int64_t k = softmax->whole; k < softmax->n && norm > 0; k++) {
        int64_t j = softmax->order[k];
        d_w[j] += 2 * (1 - softmax->w[j] * u) * u * (softmax->d_theta[j] - mean / norm);
    }
}
