/* Affine layers with random weights: as deepmd-kit's JSON, and evaluated in float64 from the formulas. */
#ifndef DGNN_TESTS_LAYER_NET_H
#define DGNN_TESTS_LAYER_NET_H

#include <complex.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "random.h"

enum { NET_WIDTH = 24, NET_LAYERS = 3, NET_TEXT = 1 << 17 };

struct net_layer {
    int nin, nout;
    const char *activation; /* NULL: the member is null */
    int has_bias, has_idt, resnet;
    double w[NET_WIDTH][NET_WIDTH], b[NET_WIDTH], idt[NET_WIDTH];
};

struct net {
    int nlayer;
    struct net_layer layer[NET_LAYERS];
};

static inline void net_fill(struct net_layer *layer, uint64_t *seed)
{
    for (int c = 0; c < layer->nout; c++) {
        for (int r = 0; r < layer->nin; r++) {
            layer->w[r][c] = 2 * random_uniform(seed) - 1;
        }
        layer->b[c] = 2 * random_uniform(seed) - 1;
        layer->idt[c] = 0.5 + random_uniform(seed);
    }
}

/* ------------------------------------------------------------------ JSON */

struct net_text {
    char data[NET_TEXT];
    size_t length;
};

static inline void net_add(struct net_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text->length += (size_t)vsnprintf(text->data + text->length, NET_TEXT - text->length, format, arguments);
    va_end(arguments);
}

static inline void net_add_row(struct net_text *text, int n, const double *row)
{
    for (int i = 0; i < n; i++) {
        net_add(text, "%s%.17g", i ? "," : "[", row[i]);
    }
    net_add(text, "]");
}

static inline void net_add_array(struct net_text *text, const char *name, int n, const double *row)
{
    net_add(text, ",\"%s\":", name);
    if (row) {
        net_add(text, "{\"@class\":\"np.ndarray\",\"dtype\":\"float64\",\"value\":");
        net_add_row(text, n, row);
        net_add(text, "}");
    } else {
        net_add(text, "null");
    }
}

static inline void net_add_layer(struct net_text *text, const struct net_layer *layer)
{
    net_add(text,
            "{\"@class\":\"Layer\",\"resnet\":%s,\"activation_function\":", layer->resnet ? "true" : "false");
    net_add(text, layer->activation ? "\"%s\"" : "null", layer->activation);
    net_add(text, ",\"@variables\":{\"w\":{\"@class\":\"np.ndarray\",\"dtype\":\"float64\",\"value\":");
    for (int r = 0; r < layer->nin; r++) {
        net_add(text, r ? "," : "[");
        net_add_row(text, layer->nout, layer->w[r]);
    }
    net_add(text, "]}");
    net_add_array(text, "b", layer->nout, layer->has_bias ? layer->b : NULL);
    net_add_array(text, "idt", layer->nout, layer->has_idt ? layer->idt : NULL);
    net_add(text, "}}");
}

static inline void net_add_network(struct net_text *text, const struct net *net)
{
    net_add(text, "{\"@class\":\"EmbeddingNetwork\",\"@version\":1,\"layers\":[");
    for (int l = 0; l < net->nlayer; l++) {
        net_add(text, l ? "," : "");
        net_add_layer(text, &net->layer[l]);
    }
    net_add(text, "]}");
}

/* ------------------------------------------------------------------ values */

/* In complex numbers: f(x + i h) / h has the derivative as its imaginary part, to the last bits where h is
 * tiny. */
typedef double complex net_number;

static inline net_number net_silu(net_number x)
{
    return x / (1 + cexp(-x));
}

static inline net_number net_silut(double threshold, net_number x)
{
    double s = 1 / (1 + exp(-threshold)), slope = s + threshold * s * (1 - s);
    return creal(x) < threshold ? net_silu(x) : ctanh(slope * (x - threshold)) + net_silu(threshold);
}

static inline net_number net_activation(const char *name, net_number x)
{
    double threshold = 3;
    if (!name || !strcmp(name, "none") || !strcmp(name, "linear")) {
        return x;
    }
    if (!strcmp(name, "tanh")) {
        return ctanh(x);
    }
    if (!strcmp(name, "relu")) {
        return creal(x) > 0 ? x : 0;
    }
    if (!strcmp(name, "relu6")) {
        return creal(x) < 0 ? 0 : creal(x) > 6 ? 6 : x;
    }
    if (!strcmp(name, "gelu") || !strcmp(name, "gelu_tf")) {
        return x / 2 * (1 + ctanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    }
    if (!strcmp(name, "softplus")) {
        return clog(1 + cexp(x));
    }
    if (!strcmp(name, "sigmoid")) {
        return 1 / (1 + cexp(-x));
    }
    if (!strcmp(name, "silu")) {
        return net_silu(x);
    }
    sscanf(name, "silut:%lf", &threshold);
    sscanf(name, "custom_silu:%lf", &threshold);
    return net_silut(threshold, x);
}

static inline void net_layer_value(const struct net_layer *layer, const net_number *x, net_number *y)
{
    for (int c = 0; c < layer->nout; c++) {
        net_number sum = layer->has_bias ? layer->b[c] : 0;
        for (int r = 0; r < layer->nin; r++) {
            sum += x[r] * layer->w[r][c];
        }
        y[c] = net_activation(layer->activation, sum) * (layer->has_idt ? layer->idt[c] : 1);
        if (layer->resnet && (layer->nout == layer->nin || layer->nout == 2 * layer->nin)) {
            y[c] += x[c % layer->nin];
        }
    }
}

static inline void net_value(const struct net *net, const net_number *x, net_number *y)
{
    net_number rows[2][NET_WIDTH];
    for (int l = 0; l < net->nlayer; l++) {
        net_number *out = l + 1 == net->nlayer ? y : rows[l % 2];
        net_layer_value(&net->layer[l], x, out);
        x = out;
    }
}

/* The derivative of sum_c dy[c] y[c] by x[k]. */
static inline double net_slope(const struct net *net, const double *x, const double *dy, int k)
{
    const double step = 1e-40;
    net_number moved[NET_WIDTH], y[NET_WIDTH];
    double sum = 0;
    for (int i = 0; i < net->layer[0].nin; i++) {
        moved[i] = x[i] + (i == k ? step * I : 0);
    }
    net_value(net, moved, y);
    for (int c = 0; c < net->layer[net->nlayer - 1].nout; c++) {
        sum += dy[c] * cimag(y[c]) / step;
    }
    return sum;
}

#endif
