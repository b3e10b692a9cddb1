/* The fitting net: energies against the formula, gradients against its derivative, with each input that it
 * may have. */
#include "net/energy/fitting.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "check.h"
#include "layer_net.h"

enum { NTYPES = 3, WIDTH = 5, ATOMS = 150 }; /* more than two batches of one type */

struct fit {
    int mixed, nfparam, naparam, ncase, has_default, threads;
    const char *dropped; /* exclude_types; NULL: the member is missing */
    struct net net[NTYPES];
    double bias[NTYPES], fparam[8], average[2][8], scale[2][8],
        case_row[8]; /* averages of fparam and of aparam */
};

struct atoms {
    int32_t type[ATOMS];
    double descriptor[ATOMS * WIDTH], aparam[ATOMS * 8], energy[ATOMS], gradient[ATOMS * WIDTH];
};

static void make_fit(struct fit *fit, uint64_t *seed)
{
    int width = WIDTH + fit->nfparam + fit->naparam + fit->ncase;
    for (int t = 0; t < NTYPES; t++) {
        struct net *net = &fit->net[t];
        *net = (struct net){.nlayer = 3};
        net->layer[0] = (struct net_layer){width, 8 + 2 * t, "tanh", 1, 0, 1, {{0}}, {0}, {0}};
        net->layer[1] = (struct net_layer){8 + 2 * t, 8 + 2 * t, "silu", 1, 1, 1, {{0}}, {0}, {0}};
        net->layer[2] = (struct net_layer){8 + 2 * t, 1, NULL, t != 1, 0, 1, {{0}}, {0}, {0}};
        for (int l = 0; l < 3; l++) {
            net_fill(&net->layer[l], seed);
        }
        fit->bias[t] = 10 * random_uniform(seed);
    }
    for (int k = 0; k < 8; k++) {
        fit->fparam[k] = random_uniform(seed);
        fit->case_row[k] = random_uniform(seed);
        for (int which = 0; which < 2; which++) {
            fit->average[which][k] = random_uniform(seed);
            fit->scale[which][k] = 0.5 + random_uniform(seed);
        }
    }
}

static void write_fit(const struct fit *fit, struct net_text *text)
{
    text->length = 0;
    net_add(text, "{\"@class\":\"Fitting\",\"type\":\"ener\",\"@version\":4,\"ntypes\":%d,\"dim_descrpt\":%d",
            NTYPES, WIDTH);
    net_add(text, ",\"numb_fparam\":%d,\"numb_aparam\":%d,\"dim_case_embd\":%d", fit->nfparam, fit->naparam,
            fit->ncase);
    net_add(text, ",\"mixed_types\":%s", fit->mixed ? "true" : "false");
    net_add(text, fit->dropped ? ",\"exclude_types\":%s" : "", fit->dropped);
    if (fit->has_default) {
        net_add(text, ",\"default_fparam\":");
        net_add_row(text, fit->nfparam, fit->fparam);
    }
    net_add(text, ",\"@variables\":{");
    size_t begin = text->length;
    net_add_array(text, "bias_atom_e", NTYPES, fit->bias);
    net_add_array(text, "fparam_avg", fit->nfparam, fit->nfparam ? fit->average[0] : NULL);
    net_add_array(text, "fparam_inv_std", fit->nfparam, fit->nfparam ? fit->scale[0] : NULL);
    net_add_array(text, "aparam_avg", fit->naparam, fit->naparam ? fit->average[1] : NULL);
    net_add_array(text, "aparam_inv_std", fit->naparam, fit->naparam ? fit->scale[1] : NULL);
    net_add_array(text, "case_embd", fit->ncase, fit->ncase ? fit->case_row : NULL);
    text->data[begin] = ' '; /* the first one's comma */
    net_add(text, "},\"nets\":{\"networks\":[");
    for (int t = 0; t < (fit->mixed ? 1 : NTYPES); t++) {
        net_add(text, t ? "," : "");
        net_add_network(text, &fit->net[t]);
    }
    net_add(text, "]}}");
}

static int load_fit(const struct fit *fit, const struct net_text *text, struct dgnn_fitting **fitting,
                    struct dgnn_error *error)
{
    struct dgnn_load_context context = {.ntypes = NTYPES, .threads = fit->threads, .cpu = DGNN_CPU_REFERENCE};
    struct dgnn_tree *tree = NULL;
    int status = dgnn_cpu_best(&context.cpu, error);
    status = status ? status : dgnn_tree_parse("fit.json", text->data, text->length, NULL, &tree, error);
    if (!status) {
        struct dgnn_value root = dgnn_tree_root(tree);
        status = dgnn_fitting_load(&root, &context, fitting, error);
    }
    dgnn_tree_free(tree);
    return status;
}

/* The energy of an atom, and its derivatives. */
static double atom_energy(const struct fit *fit, const struct atoms *atoms, int i, const double *fparam,
                          double *gradient)
{
    int type = atoms->type[i], width = 0, dropped = fit->dropped && strchr(fit->dropped, '0' + type);
    const struct net *net = &fit->net[fit->mixed ? 0 : type];
    double row[NET_WIDTH], one = dropped ? 0 : 1;
    net_number exact[NET_WIDTH], energy;
    for (int c = 0; c < WIDTH; c++) {
        row[width++] = atoms->descriptor[i * WIDTH + c];
    }
    for (int c = 0; c < fit->nfparam; c++) {
        row[width++] = (fparam[c] - fit->average[0][c]) * fit->scale[0][c];
    }
    for (int c = 0; c < fit->naparam; c++) {
        row[width++] = (atoms->aparam[i * fit->naparam + c] - fit->average[1][c]) * fit->scale[1][c];
    }
    for (int c = 0; c < fit->ncase; c++) {
        row[width++] = fit->case_row[c];
    }
    for (int c = 0; c < width; c++) {
        exact[c] = row[c];
    }
    net_value(net, exact, &energy);
    for (int c = 0; c < WIDTH; c++) {
        gradient[c] = net_slope(net, row, &one, c);
    }
    return one * (creal(energy) + fit->bias[type]);
}

static void make_atoms(struct atoms *atoms, uint64_t *seed)
{
    for (int i = 0; i < ATOMS; i++) {
        atoms->type[i] = i < 140 ? (int32_t)random_below(seed, 2) : (int32_t)random_below(seed, NTYPES);
        for (int c = 0; c < WIDTH; c++) {
            atoms->descriptor[i * WIDTH + c] = 2 * random_uniform(seed) - 1;
        }
        for (int c = 0; c < 8; c++) {
            atoms->aparam[i * 8 + c] = random_uniform(seed);
        }
    }
}

static void check_fit(const struct fit *fit, struct dgnn_fitting_workspace *workspace, struct atoms *atoms,
                      const double *fparam, int n)
{
    struct dgnn_fitting_input input = {.n = n,
                                       .type = atoms->type,
                                       .descriptor = atoms->descriptor,
                                       .fparam = fparam,
                                       .aparam = atoms->aparam};
    double gradient[WIDTH], worst = 0, again[ATOMS];
    const double *used = fparam ? fparam : fit->fparam;
    dgnn_fitting_evaluate(
        workspace, &input,
        &(struct dgnn_fitting_answer){.output = atoms->energy, .gradient = atoms->gradient});
    dgnn_fitting_evaluate(workspace, &input, &(struct dgnn_fitting_answer){.output = again});
    CHECK(!memcmp(again, atoms->energy, sizeof(double) * (size_t)n));
    for (int i = 0; i < n; i++) {
        worst = check_larger(worst, fabs(atoms->energy[i] - atom_energy(fit, atoms, i, used, gradient)));
        for (int c = 0; c < WIDTH; c++) {
            worst = check_larger(worst, fabs(atoms->gradient[i * WIDTH + c] - gradient[c]));
        }
    }
    CHECK_NEAR(worst, 0, 1e-12);
}

static void test_fit(struct fit *fit, uint64_t *seed)
{
    static struct net_text text;
    static struct atoms atoms;
    static const double other[8] = {0.25, -0.5, 1};
    struct dgnn_fitting *fitting = NULL;
    struct dgnn_fitting_workspace *workspace = NULL;
    struct dgnn_fitting_properties properties;
    struct dgnn_error error;
    int64_t live = dgnn_alloc_live();
    make_fit(fit, seed);
    make_atoms(&atoms, seed);
    write_fit(fit, &text);
    CHECK_STATUS(load_fit(fit, &text, &fitting, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_fitting_workspace_create(fitting, &workspace, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_fitting_prepare(workspace, &error), DGNN_OK, "");
    dgnn_fitting_properties(fitting, &properties);
    CHECK(properties.dim_descriptor == WIDTH && properties.dim_fparam == fit->nfparam);
    CHECK(properties.dim_aparam == fit->naparam && !properties.default_fparam == !fit->has_default);
    CHECK(properties.parameters > 0);
    check_fit(fit, workspace, &atoms, fit->nfparam ? other : NULL, ATOMS);
    check_fit(fit, workspace, &atoms, fit->nfparam && !fit->has_default ? other : NULL, 1);
    check_fit(fit, workspace, &atoms, fit->nfparam ? other : NULL, 0);
    dgnn_fitting_workspace_free(workspace);
    dgnn_fitting_free(fitting);
    CHECK(dgnn_alloc_live() == live);
}

/* The gradient may be written over the descriptor. */
static void test_in_place(uint64_t *seed)
{
    static struct net_text text;
    static struct atoms atoms;
    struct fit fit = {.mixed = 1, .threads = 1};
    struct dgnn_fitting *fitting = NULL;
    struct dgnn_fitting_workspace *workspace = NULL;
    struct dgnn_error error;
    make_fit(&fit, seed);
    make_atoms(&atoms, seed);
    write_fit(&fit, &text);
    CHECK_STATUS(load_fit(&fit, &text, &fitting, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_fitting_workspace_create(fitting, &workspace, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_fitting_prepare(workspace, &error), DGNN_OK, "");
    check_fit(&fit, workspace, &atoms, NULL, ATOMS);
    struct dgnn_fitting_input input = {.n = ATOMS, .type = atoms.type, .descriptor = atoms.descriptor};
    dgnn_fitting_evaluate(
        workspace, &input,
        &(struct dgnn_fitting_answer){.output = atoms.energy, .gradient = atoms.descriptor});
    CHECK(!memcmp(atoms.descriptor, atoms.gradient, sizeof(atoms.gradient)));
    dgnn_fitting_workspace_free(workspace);
    dgnn_fitting_free(fitting);
}

/* Each allocation of a load and of prepare fails once. */
static void test_memory(uint64_t *seed)
{
    static struct net_text text;
    struct fit fit = {
        .mixed = 1, .threads = 2, .nfparam = 2, .naparam = 1, .ncase = 1, .has_default = 1, .dropped = "[0]"};
    struct dgnn_fitting *fitting = NULL;
    struct dgnn_fitting_workspace *workspace = NULL;
    struct dgnn_error error;
    int64_t live = dgnn_alloc_live(), nth = 0;
    int status;
    make_fit(&fit, seed);
    write_fit(&fit, &text);
    do {
        fitting = NULL;
        workspace = NULL;
        dgnn_alloc_fail_at(++nth, 0);
        status = load_fit(&fit, &text, &fitting, &error);
        status = status ? status : dgnn_fitting_workspace_create(fitting, &workspace, &error);
        status = status ? status : dgnn_fitting_prepare(workspace, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || (status == DGNN_ERROR_MEMORY && strstr(error.message, "memory")));
        dgnn_fitting_workspace_free(workspace);
        dgnn_fitting_free(fitting);
        CHECK(dgnn_alloc_live() == live);
    } while (status && nth < 1000);
    CHECK(nth > 20 && nth < 1000);
}

int main(void)
{
    uint64_t seed = 21;
    for (int k = 0; k < 16; k++) {
        struct fit fit = {.mixed = k % 2,
                          .threads = 1 + k / 2 % 3,
                          .nfparam = k / 2 % 4,
                          .naparam = k / 4 % 3,
                          .ncase = k / 8 % 2,
                          .has_default = k % 4 > 1 && k / 2 % 4,
                          .dropped = k % 3 ? NULL : "[0,2]"};
        test_fit(&fit, &seed);
    }
    test_in_place(&seed);
    test_memory(&seed);
    return check_report();
}
