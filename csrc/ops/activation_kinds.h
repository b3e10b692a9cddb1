/* Activation functions by number: for the core, and for kernels of devices, which include nothing else of it.
 */
#ifndef DGNN_OPS_ACTIVATION_KINDS_H
#define DGNN_OPS_ACTIVATION_KINDS_H

/* deepmd/dpmodel/utils/network.py, get_activation_fn. */
enum dgnn_activation_kind {
    DGNN_ACTIVATION_LINEAR = 0, /* x */
    DGNN_ACTIVATION_TANH,
    DGNN_ACTIVATION_RELU,
    DGNN_ACTIVATION_RELU6,
    DGNN_ACTIVATION_GELU, /* the tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    DGNN_ACTIVATION_SOFTPLUS,
    DGNN_ACTIVATION_SIGMOID,
    DGNN_ACTIVATION_SILU,
    DGNN_ACTIVATION_SILUT /* silu below threshold, tanh(slope (x - threshold)) + offset from there */
};

struct dgnn_activation {
    enum dgnn_activation_kind kind;
    double threshold, offset; /* of SILUT */
    double slope;             /* of SILUT; of GELU: its sqrt(2/pi) */
};

#endif
