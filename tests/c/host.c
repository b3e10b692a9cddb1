/* A host program that knows dgnn.h alone: loads a model, reads systems from stdin, writes energies and
 * forces.
 *
 *     host MODEL < systems      each: natoms has_box, then 9 numbers of the box, then per atom: type x y z
 */
#include <stdio.h>
#include <stdlib.h>

#include "dgnn.h"

static int fail(const struct dgnn_error *error)
{
    fprintf(stderr, "%s: %s\n", dgnn_status_name(error->status), error->message);
    return 1;
}

static int read_numbers(double *out, int64_t count)
{
    for (int64_t k = 0; k < count; k++) {
        if (scanf("%lf", &out[k]) != 1) {
            return 0;
        }
    }
    return 1;
}

static int read_atoms(double *coords, int32_t *types, int64_t natoms)
{
    for (int64_t i = 0; i < natoms; i++) {
        if (scanf("%d", &types[i]) != 1 || !read_numbers(&coords[3 * i], 3)) {
            return 0;
        }
    }
    return 1;
}

static int run_system(struct dgnn_model *model, int64_t natoms, int has_box)
{
    double box[9];
    double *coords = malloc((size_t)(3 * natoms + 1) * sizeof *coords);
    double *forces = malloc((size_t)(3 * natoms + 1) * sizeof *forces);
    int32_t *types = malloc((size_t)(natoms + 1) * sizeof *types);
    struct dgnn_result result = {.size = sizeof result, .forces = forces};
    struct dgnn_error error = {0};
    int status = 1;
    if (coords && forces && types && read_numbers(box, has_box ? 9 : 0) &&
        read_atoms(coords, types, natoms)) {
        struct dgnn_system system = {.size = sizeof system,
                                     .natoms = natoms,
                                     .coords = coords,
                                     .types = types,
                                     .box = has_box ? box : NULL,
                                     .pbc = {1, 1, 1}};
        status = dgnn_model_compute(model, &system, NULL, &result, &error);
        if (status) {
            fail(&error);
        } else {
            printf("%.17g", result.energy);
            for (int64_t k = 0; k < 3 * natoms; k++) {
                printf(" %.17g", forces[k]);
            }
            printf("\n");
        }
    }
    free(coords);
    free(forces);
    free(types);
    return status;
}

int main(int argc, char **argv)
{
    struct dgnn_load_options options = {.size = sizeof options, .threads = 1, .skin = -1};
    struct dgnn_model *model = NULL;
    struct dgnn_error error = {0};
    long long natoms;
    int has_box, status = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: host MODEL < systems\n");
        return 2;
    }
    if (dgnn_model_load(argv[1], &options, &model, &error)) {
        return fail(&error);
    }
    while (!status && scanf("%lld %d", &natoms, &has_box) == 2) {
        status = run_system(model, natoms, has_box);
    }
    dgnn_model_free(model);
    return status;
}
