/* Soft occupancy: the level adds up to the capacity, the plain denominator where logits are large, and
 * gradients against central differences where some logits are below -shift. */
#include "check.h"
#include "net/parts/capacity_softmax.h"

enum { N = 13 };

static double theta[N], d_theta[N];
static int64_t order[N];

static struct dgnn_capacity_softmax make(const double *w, double capacity)
{
    struct dgnn_capacity_softmax softmax = {.n = N,
                                            .w = w,
                                            .capacity = capacity,
                                            .shift = 20,
                                            .theta = theta,
                                            .d_theta = d_theta,
                                            .order = order};
    dgnn_capacity_softmax_occupy(&softmax);
    return softmax;
}

/* sum_k c_k weight_k */
static double objective(const double *w, const double *x, double capacity)
{
    struct dgnn_capacity_softmax softmax = make(w, capacity);
    double weight[N], sum = 0;
    dgnn_capacity_softmax_weights(&softmax, x, weight);
    for (int k = 0; k < N; k++) {
        sum += cos(1.3 * k) * weight[k];
    }
    return sum;
}

static void gradient(const double *w, const double *x, double capacity, double *d_x, double *d_w)
{
    struct dgnn_capacity_softmax softmax = make(w, capacity);
    double weight[N], ratio[N], along = 0;
    dgnn_capacity_softmax_weights(&softmax, x, weight);
    for (int k = 0; k < N; k++) {
        along += cos(1.3 * k) * weight[k];
        d_w[k] = 0;
    }
    dgnn_capacity_softmax_backward(&softmax, x, along, ratio);
    for (int k = 0; k < N; k++) {
        d_x[k] = cos(1.3 * k) * weight[k] - along * ratio[k];
    }
    dgnn_capacity_softmax_finish(&softmax, d_w);
}

static void check_gradient(const double *w, const double *x, double capacity)
{
    double d_x[N], d_w[N], h = 1e-5;
    gradient(w, x, capacity, d_x, d_w);
    for (int k = 0; k < N; k++) {
        double moved[2][N], value[2][2];
        for (int side = 0; side < 2; side++) {
            memcpy(moved[0], x, sizeof(moved[0]));
            memcpy(moved[1], w, sizeof(moved[1]));
            moved[0][k] += side ? h : -h;
            value[0][side] = objective(w, moved[0], capacity);
            moved[1][k] += side ? h : -h;
            value[1][side] = objective(moved[1], x, capacity);
        }
        CHECK_NEAR((value[0][1] - value[0][0]) / (2 * h), d_x[k], 1e-7);
        CHECK_NEAR((value[1][1] - value[1][0]) / (2 * h), d_w[k], 1e-7 * fmax(1, fabs(d_w[k])));
    }
}

int main(void)
{
    double w[N], x[N], large[N], weight[N], sum = 0, plain = 0;
    for (int k = 0; k < N; k++) {
        w[k] = k < 4 ? 1 - 0.001 * k : 0.62 - 0.04 * k;
        x[k] = -20.4 + 0.9 * sin(2.1 * k);
        large[k] = 0.3 * sin(2.1 * k);
    }
    struct dgnn_capacity_softmax softmax = make(w, 10);
    for (int k = 0; k < N; k++) {
        sum += theta[k];
        CHECK(theta[k] > 0 && theta[k] <= 1);
        plain += exp(large[k]) / exp(1.0);
    }
    CHECK_NEAR(sum, 10, 1e-12);
    CHECK(softmax.whole > 0 && softmax.whole < 10);

    dgnn_capacity_softmax_weights(&softmax, large, weight);
    plain += (10 - N) * exp(-21.0);
    for (int k = 0; k < N; k++) {
        CHECK_NEAR(weight[k], exp(large[k]) / exp(1.0) / plain, 1e-14);
    }
    softmax = make(w, N);
    CHECK(softmax.level == 0 && theta[N - 1] == 1);

    check_gradient(w, x, 10);
    check_gradient(w, x, 3);
    check_gradient(w, large, 10);
    for (int k = 0; k < N; k++) {
        x[k] -= 300; /* where exp of all would vanish */
    }
    dgnn_capacity_softmax_weights(&softmax, x, weight);
    CHECK(isfinite(weight[0]));
    return check_report();
}
