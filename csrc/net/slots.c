#include "net/slots.h"

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

/* What key k adds to the denominator over P, and its derivatives by x and theta; y = ln(e_k / P). */
static double slots_term(double y, double theta, double *by_x, double *by_theta)
{
    double e = exp(y);
    if (y >= 0) {
        *by_x = e;
        *by_theta = 1;
        return e - (1 - theta);
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
    double chi = exp(y / theta);
    *by_x = theta * e + (1 - theta) * chi * (e + (e - 1) / theta);
    *by_theta = e - (e - 1) * chi * (1 + (1 - theta) * y / (theta * theta));
    return theta * e + (1 - theta) * (e - 1) * chi;
}

/* The denominator over exp(most): by P it could overflow. Also whether slots are left, which then count by theta. */
static double slots_denominator(const struct dgnn_slots *slots, const double *x, double most)
{
    double sum = 0, occupied = 0, unused[2], phantom = exp(-slots->shift - most);
    for (int64_t k = 0; k < slots->n; k++) {
        double y = x[k] + slots->shift;
        sum += y >= 0 ? exp(x[k] - most) - (1 - slots->theta[k]) * phantom
                      : slots_term(y, slots->theta[k], &unused[0], &unused[1]) * phantom;
        occupied += slots->theta[k];
    }
    double left = slots->capacity - occupied;
    return left > 0 ? sum + left * phantom : sum;
}

static double slots_most(const struct dgnn_slots *slots, const double *x)
{
    double most = x[0];
    for (int64_t k = 1; k < slots->n; k++) {
        most = x[k] > most ? x[k] : most;
    }
    /* All far below the phantoms: bounded, so that those do not overflow. */
    return most < -slots->shift - 80 ? -slots->shift - 80 : most;
}

void dgnn_slots_softmax(const struct dgnn_slots *slots, const double *x, double *weight)
{
    double most = slots_most(slots, x), sum = slots_denominator(slots, x, most);
    for (int64_t k = 0; k < slots->n; k++) {
        weight[k] = exp(x[k] - most) / sum;
    }
}

void dgnn_slots_backward(const struct dgnn_slots *slots, const double *x, double along, double *ratio)
{
    double most = slots_most(slots, x), sum = slots_denominator(slots, x, most);
    double phantom = exp(-slots->shift - most) / sum;
    for (int64_t k = 0; k < slots->n; k++) {
        double y = x[k] + slots->shift, by_x, by_theta;
        if (y >= 0) {
            ratio[k] = exp(x[k] - most) / sum;
            by_theta = 1;
        } else {
            slots_term(y, slots->theta[k], &by_x, &by_theta);
            ratio[k] = by_x * phantom;
        }
        slots->d_theta[k] -= along * by_theta * phantom;
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
