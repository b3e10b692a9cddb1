/* Loads models from standard input and computes one system with each:
 *
 *     mutants NTYPES HAS_SPINS NFPARAM NAPARAM HAS_CHARGE_SPIN
 *
 * Standard input: "LENGTH\n", then so many bytes of a file, again and again. For each a line of standard
 * output: "refused STATUS MESSAGE", or "energy X forces Y" with X and a digest of the forces in hexadecimal.
 * Ends with 1 where an error has no message or another status than FORMAT or UNSUPPORTED, or where something
 * stays allocated. */
#include "base/alloc.h"
#include "base/digest.h"
#include "dgnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NATOM = 5, MOST = 16 };

static const double coords[3 * NATOM] = {0.1, 0.2,  0,   1.1, 0,   0.1,  0,  1.2,
                                         0.3, -0.9, 0.4, 0.8, 0.2, -0.3, 1.9};
static const double turns[3 * NATOM] = {0.3, 0.1, 0.9, -0.5, 0.2, 0.4, 0.7, -0.6,
                                        0.1, 0.2, 0.8, 0.3,  0.5, 0.5, -0.4};
static double parameters[NATOM * MOST];
static const double charge_spin[2] = {1, 2};

static void compute(struct dgnn_model *model, const struct dgnn_system *system)
{
    double forces[3 * NATOM], magnetic[3 * NATOM];
    struct dgnn_model_info info = {.size = sizeof(info)};
    dgnn_model_get_info(model, &info, NULL);
    size_t width = info.output == DGNN_OUTPUT_ENERGY ? 0 : (size_t)info.output_width;
    double *output = calloc(width * NATOM + 1, sizeof(*output));
    struct dgnn_result result = {.size = sizeof(result),
                                 .forces = forces,
                                 .forces_mag = system->spins ? magnetic : NULL,
                                 .atom_output = output};
    struct dgnn_error error = {0};
    struct dgnn_digest digest;
    uint64_t words[2];
    if (dgnn_model_compute(model, system, NULL, &result, &error)) {
        printf("computes not: %s\n", error.message);
        free(output);
        return;
    }
    dgnn_digest_begin(&digest);
    dgnn_digest_add(&digest, forces, sizeof(forces));
    dgnn_digest_add(&digest, output, width * NATOM * sizeof(*output));
    dgnn_digest_end(&digest, words);
    printf("energy %a forces %016llx\n", result.energy, (unsigned long long)words[0]);
    free(output);
}

static int load(const char *bytes, size_t size, const struct dgnn_system *system)
{
    static const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    struct dgnn_model *model = NULL;
    struct dgnn_error error = {0};
    int64_t live = dgnn_alloc_live();
    int status = dgnn_model_load_memory("mutant", bytes, size, &options, &model, &error);
    if (status) {
        printf("refused %s %s\n", dgnn_status_name(status), error.message);
    } else {
        compute(model, system);
        dgnn_model_free(model);
    }
    fflush(stdout);
    int told =
        !status || ((status == DGNN_ERROR_FORMAT || status == DGNN_ERROR_UNSUPPORTED) && error.message[0]);
    return told && dgnn_alloc_live() == live;
}

int main(int argc, char **argv)
{
    int32_t types[NATOM], given[5] = {0};
    long size;
    for (int k = 0; k < 5 && k + 1 < argc; k++) {
        given[k] = atoi(argv[k + 1]);
    }
    for (int i = 0; i < NATOM; i++) {
        types[i] = i % given[0];
    }
    for (int k = 0; k < NATOM * MOST; k++) {
        parameters[k] = 0.1 + 0.01 * k;
    }
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = NATOM,
                                 .coords = coords,
                                 .types = types,
                                 .spins = given[1] ? turns : NULL,
                                 .fparam = given[2] ? parameters : NULL,
                                 .nfparam = given[2],
                                 .aparam = given[3] ? parameters : NULL,
                                 .naparam = given[3],
                                 .charge_spin = given[4] ? charge_spin : NULL};
    while (scanf("%ld%*1[\n]", &size) == 1) {
        char *bytes = malloc((size_t)size + !size);
        int good = fread(bytes, 1, (size_t)size, stdin) == (size_t)size && load(bytes, (size_t)size, &system);
        free(bytes);
        if (!good) {
            printf("left behind, or a wrong status\n");
            return 1;
        }
    }
    return 0;
}
