#include "ops/ops.h"

#include "base/status.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double activation_sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double activation_silu(double x, double *slope)
{
    double s = activation_sigmoid(x);
    *slope = s * (1.0 + x * (1.0 - s));
    return x * s;
}

static int activation_is_silut(const char *lower)
{
    return !strncmp(lower, "silut", 5) || !strncmp(lower, "custom_silu", 11);
}

int dgnn_activation_parse(const char *name, struct dgnn_activation *activation, struct dgnn_error *error)
{
    static const struct {
        const char *name;
        enum dgnn_activation_kind kind;
    } known[] = {{"none", DGNN_ACTIVATION_LINEAR},     {"linear", DGNN_ACTIVATION_LINEAR},
                 {"tanh", DGNN_ACTIVATION_TANH},       {"relu", DGNN_ACTIVATION_RELU},
                 {"relu6", DGNN_ACTIVATION_RELU6},     {"gelu", DGNN_ACTIVATION_GELU},
                 {"gelu_tf", DGNN_ACTIVATION_GELU},    {"softplus", DGNN_ACTIVATION_SOFTPLUS},
                 {"sigmoid", DGNN_ACTIVATION_SIGMOID}, {"silu", DGNN_ACTIVATION_SILU}};
    char lower[64] = {0};
    for (size_t i = 0; name[i] && i + 1 < sizeof(lower); i++) {
        lower[i] = (char)tolower((unsigned char)name[i]);
    }
    *activation = (struct dgnn_activation){0};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (!strcmp(lower, known[i].name)) {
            activation->kind = known[i].kind;
            activation->slope = sqrt(2.0 / M_PI);
            return DGNN_OK;
        }
    }
    if (activation_is_silut(lower)) {
        const char *colon = strrchr(lower, ':');
        char *end = NULL;
        activation->kind = DGNN_ACTIVATION_SILUT;
        activation->threshold = colon ? strtod(colon + 1, &end) : 3.0;
        if (!colon || (end != colon + 1 && !*end && isfinite(activation->threshold))) {
            activation->offset = activation_silu(activation->threshold, &activation->slope);
            return DGNN_OK;
        }
    }
    return dgnn_status_set(
        error, DGNN_ERROR_UNSUPPORTED,
        "activation function '%s' is not known; known: none, linear, tanh, relu, relu6, gelu, "
        "gelu_tf, softplus, sigmoid, silu, silut[:threshold], custom_silu[:threshold]",
        name);
}

void dgnn_activation_as_descriptor(struct dgnn_activation *activation)
{
    if (activation->kind == DGNN_ACTIVATION_GELU) {
        activation->slope = (double)(float)activation->slope;
    }
}

static double activation_gelu(double c, double x, double *slope)
{
    double t = tanh(c * (x + 0.044715 * x * x * x));
    *slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3 * 0.044715 * x * x);
    return 0.5 * x * (1.0 + t);
}

static double activation_silut(const struct dgnn_activation *activation, double x, double *slope)
{
    if (x < activation->threshold) {
        return activation_silu(x, slope);
    }
    double t = tanh(activation->slope * (x - activation->threshold));
    *slope = activation->slope * (1.0 - t * t);
    return t + activation->offset;
}

double dgnn_activation_value(const struct dgnn_activation *activation, double x, double *slope)
{
    double unused, s;
    slope = slope ? slope : &unused;
    switch (activation->kind) {
    case DGNN_ACTIVATION_TANH:
        s = tanh(x);
        *slope = 1.0 - s * s;
        return s;
    case DGNN_ACTIVATION_RELU:
        *slope = x > 0;
        return x > 0 ? x : 0.0;
    case DGNN_ACTIVATION_RELU6:
        *slope = x > 0 && x < 6;
        return x < 0 ? 0.0 : x > 6 ? 6.0 : x;
    case DGNN_ACTIVATION_GELU:
        return activation_gelu(activation->slope, x, slope);
    case DGNN_ACTIVATION_SOFTPLUS:
        *slope = activation_sigmoid(x);
        return fmax(x, 0.0) + log1p(exp(-fabs(x)));
    case DGNN_ACTIVATION_SIGMOID:
        s = activation_sigmoid(x);
        *slope = s * (1.0 - s);
        return s;
    case DGNN_ACTIVATION_SILU:
        return activation_silu(x, slope);
    case DGNN_ACTIVATION_SILUT:
        return activation_silut(activation, x, slope);
    case DGNN_ACTIVATION_LINEAR:
        *slope = 1.0;
        return x;
    }
    *slope = NAN; /* the compiler warns of a kind without a case, and results are then no numbers */
    return NAN;
}
