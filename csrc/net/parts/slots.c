#include "net/parts/slots.h"

#include <math.h>

static void slots_sort(struct dgnn_slots *slots)
{
    for (int64_t k = 0; k < slots->n; k++) {
        int64_t at = k;
        while (at > 0 && slots->w[slots->order[at - 1]] < slots->w[k]) {
            slots->order[at] = slots->order[at - 1];
            at--;
        }
        slots->order[at] = k;
    }
}

/* The level where the first whole keys in order fill a slot each; 0 where there is none. */
static double slots_level(const struct dgnn_slots *slots, int64_t whole)
{
    double sum = 0, square = 0, room = slots->capacity - (double)whole;
    for (int64_t k = slots->n - 1; k >= whole; k--) {
        double w = slots->w[slots->order[k]];
        sum += w;
        square += w * w;
    }
    double inner = sum * sum - square * room;
    if (room <= 0 || inner < 0 || sum <= 0) {
        return 0;
    }
    double level = room / (sum + sqrt(inner));
    return whole == 0 || level * slots->w[slots->order[whole - 1]] >= 1 ? level : 0;
}

void dgnn_slots_occupy(struct dgnn_slots *slots)
{
    int64_t positive = 0;
    for (int64_t k = 0; k < slots->n; k++) {
        positive += slots->w[k] > 0;
        slots->d_theta[k] = 0;
    }
    slots_sort(slots);
    slots->level = 0;
    slots->whole = 0;
    for (int64_t whole = 0; (double)positive > slots->capacity && (double)whole < slots->capacity; whole++) {
        double level = slots_level(slots, whole);
        if (level > 0) {
            slots->level = level;
            slots->whole = whole;
        }
    }
    for (int64_t k = 0; k < slots->n; k++) {
        double t = slots->level * slots->w[k];
        slots->theta[k] = slots->level == 0 ? slots->w[k] > 0 : t >= 1 ? 1 : t * (2 - t);
    }
}

/* A row's logits against their largest: e_k = exp(x_k - most), and P on the same scale, which is bounded so
 * that it does not overflow where all logits are far below -shift. */
struct slots_row {
    double most, phantom_log, phantom;
};

static struct slots_row slots_row(const struct dgnn_slots *slots, const double *x)
{
    struct slots_row row = {.most = x[0]};
    for (int64_t k = 1; k < slots->n; k++) {
        row.most = x[k] > row.most ? x[k] : row.most;
    }
    row.phantom_log = -slots->shift - row.most < 80 ? -slots->shift - row.most : 80;
    row.phantom = exp(row.phantom_log);
    return row;
}

/* What a key adds to the denominator, and its derivatives by x and theta. */
static double slots_term(const struct slots_row *row, double x, double theta, double *by_x, double *by_theta)
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

static double slots_denominator(const struct dgnn_slots *slots, const struct slots_row *row, const double *x)
{
    double sum = 0, occupied = 0, unused[2];
    for (int64_t k = 0; k < slots->n; k++) {
        sum += slots_term(row, x[k], slots->theta[k], &unused[0], &unused[1]);
        occupied += slots->theta[k];
    }
    double left = slots->capacity - occupied;
    return left > 0 ? sum + left * row->phantom : sum;
}

void dgnn_slots_softmax(const struct dgnn_slots *slots, const double *x, double *weight)
{
    struct slots_row row = slots_row(slots, x);
    double sum = slots_denominator(slots, &row, x);
    for (int64_t k = 0; k < slots->n; k++) {
        weight[k] = sum > 0 ? exp(x[k] - row.most) / sum : 0;
    }
}

void dgnn_slots_backward(const struct dgnn_slots *slots, const double *x, double along, double *ratio)
{
    struct slots_row row = slots_row(slots, x);
    double sum = slots_denominator(slots, &row, x);
    for (int64_t k = 0; k < slots->n; k++) {
        double by_x, by_theta;
        slots_term(&row, x[k], slots->theta[k], &by_x, &by_theta);
        ratio[k] = sum > 0 ? by_x / sum : 0;
        slots->d_theta[k] -= sum > 0 ? along * by_theta / sum : 0;
    }
}

void dgnn_slots_finish(const struct dgnn_slots *slots, double *d_w)
{
    double mean = 0, norm = 0, u = slots->level;
    if (u == 0) {
        return;
    }
    for (int64_t k = slots->whole; k < slots->n; k++) {
        int64_t j = slots->order[k];
        double factor = (1 - slots->w[j] * u) * slots->w[j];
        mean += slots->d_theta[j] * factor;
        norm += factor;
    }
    for (int64_t k = slots->whole; k < slots->n && norm > 0; k++) {
        int64_t j = slots->order[k];
        d_w[j] += 2 * (1 - slots->w[j] * u) * u * (slots->d_theta[j] - mean / norm);
    }
}
