/* Affine layers and networks of them: values against the formulas, gradients against derivatives of the
 * formulas, for each activation, residual and instruction set; and what is refused. */
#include "base/alloc.h"
#include "net/parts/layer.h"

#include "check.h"
#include "layer_net.h"

#define DGNN_REAL_BITS 32
#include "layer_case_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "layer_case_body.h"
#undef DGNN_REAL_BITS

static struct net_text text;

static struct dgnn_tree *parse(const char *json, size_t length)
{
    struct dgnn_tree *tree = NULL;
    struct dgnn_error error;
    CHECK_STATUS(dgnn_tree_parse("net.json", json, length, NULL, &tree, &error), DGNN_OK, "");
    return tree;
}

static struct dgnn_tree *parse_net(const struct net *net)
{
    text.length = 0;
    net_add_network(&text, net);
    return parse(text.data, text.length);
}

static void test_layers(enum dgnn_cpu cpu)
{
    static const char *const activations[] = {
        NULL,      "none",     "linear",  "tanh", "relu",  "relu6",     "gelu",
        "gelu_tf", "softplus", "sigmoid", "silu", "silut", "silut:0.5", "custom_silu:1.25"};
    static const int widths[][2] = {{7, 7}, {7, 14}, {7, 9}, {16, 8}, {1, 24}, {24, 1}};
    static struct net net;
    uint64_t seed = 11;
    for (size_t a = 0; a < sizeof(activations) / sizeof(activations[0]); a++) {
        for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
            net = (struct net){.nlayer = 1};
            net.layer[0] = (struct net_layer){.nin = widths[w][0],
                                              .nout = widths[w][1],
                                              .activation = activations[a],
                                              .has_bias = (int)(a + w) % 2,
                                              .has_idt = (int)(a + w) / 2 % 2,
                                              .resnet = w < 4};
            net_fill(&net.layer[0], &seed);
            struct dgnn_tree *tree = parse_net(&net);
            struct dgnn_value root = dgnn_tree_root(tree), layers = dgnn_value_member(&root, "layers");
            struct dgnn_value value = dgnn_value_item(&layers, 0);
            test_layer_f32(dgnn_select_ops_f32(cpu), &value, &net, &seed);
            test_layer_f64(dgnn_select_ops_f64(cpu), &value, &net, &seed);
            dgnn_tree_free(tree);
        }
    }
}

static void test_networks(enum dgnn_cpu cpu)
{
    static const int widths[][4] = {{3, 0, 0, 0}, {5, 11, 0, 0}, {9, 9, 18, 1}, {4, 20, 20, 6}};
    static struct net net;
    uint64_t seed = 12;
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
        int nin = 6;
        net = (struct net){0};
        for (int l = 0; l < NET_LAYERS && widths[w][l]; l++) {
            net.layer[l] = (struct net_layer){.nin = nin,
                                              .nout = widths[w][l],
                                              .activation = l ? "tanh" : "silu",
                                              .has_bias = 1,
                                              .has_idt = l == 1,
                                              .resnet = 1};
            net_fill(&net.layer[l], &seed);
            nin = widths[w][l];
            net.nlayer = l + 1;
        }
        struct dgnn_tree *tree = parse_net(&net);
        struct dgnn_value root = dgnn_tree_root(tree);
        test_network_f32(dgnn_select_ops_f32(cpu), &root, &net, &seed);
        test_network_f64(dgnn_select_ops_f64(cpu), &root, &net, &seed);
        dgnn_tree_free(tree);
    }
}

/* ------------------------------------------------------------------ refusals */

#define ARRAY(value)   "{\"@class\":\"np.ndarray\",\"dtype\":\"float64\",\"value\":" value "}"
#define LAYER(more, w) "{\"layers\":[{" more "\"@variables\":{\"w\":" w "}}]}"
#define W23            ARRAY("[[1,2,3],[4,5,6]]")
#define ROWS(w, rows)  "{\"layers\":[{\"@variables\":{\"w\":" w "," rows "}}]}"

static void test_refusals(void)
{
    static const struct {
        const char *json;
        int64_t nin, nout;
        int status;
        const char *text;
    } rows[] = {
        {LAYER("", W23), 2, 3, DGNN_OK, ""},
        {LAYER("", W23), -1, -1, DGNN_OK, ""},
        {LAYER("", W23), 3, 3, DGNN_ERROR_FORMAT,
         "layers[0].@variables.w: expected an array of shape (3, 3), found (2, 3)"},
        {LAYER("", W23), 2, 4, DGNN_ERROR_FORMAT, "expected an array of shape (2, 4), found (2, 3)"},
        {LAYER("", ARRAY("[1,2]")), 2, 3, DGNN_ERROR_FORMAT, "shape (2, 3), found (2)"},
        {LAYER("", "7"), 2, 3, DGNN_ERROR_FORMAT, "w: expected an array, found a number"},
        {"{\"layers\":[{}]}", 2, 3, DGNN_ERROR_FORMAT, "w: missing; expected an array"},
        {"{\"layers\":[[1]]}", 2, 3, DGNN_ERROR_FORMAT, "layers[0]: expected an object"},
        {"{\"layers\":[]}", 2, 3, DGNN_ERROR_FORMAT, "layers: the number of layers is 0, expected 1"},
        {"{\"layers\":7}", 2, 3, DGNN_ERROR_FORMAT, "layers: expected a list"},
        {"{\"dropout\":0.1,\"layers\":[]}", 2, 3, DGNN_ERROR_UNSUPPORTED, "dropout: dgnn does not know"},
        {"{}", 2, 3, DGNN_ERROR_FORMAT, "member 'layers' is missing"},
        {"[]", 2, 3, DGNN_ERROR_FORMAT, "expected an object"},
        {"{\"@version\":3,\"layers\":[]}", 2, 3, DGNN_ERROR_UNSUPPORTED, "version 3; dgnn reads 1 to 2"},
        {"{\"@version\":\"1\",\"layers\":[]}", 2, 3, DGNN_ERROR_FORMAT, "@version: expected an integer"},
        {LAYER("\"@version\":0,", W23), 2, 3, DGNN_ERROR_UNSUPPORTED, "layers[0]: version 0"},
        {LAYER("\"activation_function\":\"cosine\",", W23), 2, 3, DGNN_ERROR_UNSUPPORTED,
         "net.json: layers[0]: activation function 'cosine' is not known"},
        {LAYER("\"activation_function\":\"silut:x\",", W23), 2, 3, DGNN_ERROR_UNSUPPORTED,
         "'silut:x' is not known"},
        {LAYER("\"activation_function\":\"silut:1e999\",", W23), 2, 3, DGNN_ERROR_UNSUPPORTED,
         "'silut:1e999' is not"},
        {LAYER("\"activation_function\":7,", W23), 2, 3, DGNN_ERROR_FORMAT,
         "activation_function: expected a string"},
        {LAYER("\"resnet\":1,", W23), 2, 3, DGNN_ERROR_FORMAT, "resnet: expected a boolean"},
        {ROWS(W23, "\"b\":" ARRAY("[1,2]")), 2, 3, DGNN_ERROR_FORMAT,
         "b: expected an array of shape (3), found (2)"},
        {ROWS(W23, "\"b\":[1,2,3]"), 2, 3, DGNN_ERROR_FORMAT, "b: expected an array, found a list"},
        {ROWS(W23, "\"idt\":" ARRAY("[[1,2,3]]")), 2, 3, DGNN_OK, ""},
        {ROWS(W23, "\"idt\":" ARRAY("[[1,2,3],[4,5,6]]")), 2, 3, DGNN_ERROR_FORMAT,
         "idt: expected an array of shape (3)"},
        {ROWS(W23, "\"B\":" ARRAY("[1,2,3]")), 2, 3, DGNN_ERROR_UNSUPPORTED,
         "@variables.B: dgnn does not know"},
        {LAYER("\"bias\":true,", W23), 2, 3, DGNN_ERROR_FORMAT,
         "bias: contradicts @variables.b, by which it is false"},
        {LAYER("\"use_timestep\":true,", W23), 2, 3, DGNN_ERROR_FORMAT,
         "use_timestep: contradicts @variables.idt"},
        {LAYER("\"layer_norm\":true,", W23), 2, 3, DGNN_ERROR_UNSUPPORTED, "layer_norm: dgnn does not know"},
        {LAYER("\"@class\":\"Other\",", W23), 2, 3, DGNN_ERROR_UNSUPPORTED,
         "@class: found 'Other', expected 'Layer'"},
    };
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct dgnn_tree *tree = parse(rows[k].json, strlen(rows[k].json));
        struct dgnn_value root = dgnn_tree_root(tree);
        test_refused_f32(&root, rows[k].nin, rows[k].nout, rows[k].status, rows[k].text);
        test_refused_f64(&root, rows[k].nin, rows[k].nout, rows[k].status, rows[k].text);
        dgnn_tree_free(tree);
    }
}

/* Each allocation of a load fails once. */
static void test_memory(void)
{
    static const char json[] = "{\"layers\":[{\"@variables\":{\"w\":" W23
                               ",\"b\":" ARRAY("[1,2,3]") ",\"idt\":" ARRAY("[1,2,3]") "}}]}";
    struct dgnn_tree *tree = parse(json, strlen(json));
    struct dgnn_value root = dgnn_tree_root(tree);
    int64_t live = dgnn_alloc_live(), nth = 0;
    struct dgnn_error error = {0};
    struct dgnn_network_f64 network;
    int status;
    do {
        dgnn_alloc_fail_at(++nth, 0);
        status = dgnn_network_load_f64(&root, 2, 3, &network, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || (status == DGNN_ERROR_MEMORY && dgnn_alloc_live() == live));
    } while (status && nth < 100);
    CHECK(nth == 6); /* layers, w, its transpose, b, idt, and then none failed */
    dgnn_network_free_f64(&network);
    dgnn_tree_free(tree);
}

int main(void)
{
    for (int cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        if (dgnn_cpu_usable((enum dgnn_cpu)cpu)) {
            test_layers((enum dgnn_cpu)cpu);
            test_networks((enum dgnn_cpu)cpu);
        }
    }
    test_refusals();
    test_memory();
    return check_report();
}
