/* The whole loader: any archive gives a model or a status, and a model that was loaded can be described and
 * computed with.
 *
 * Input that begins with 'T' is a table of arrays ("d2,3;f4;d2=1,-0.5": their elements are all alike, or
 * given), 0xff, and the text of a model.json whose arrays are those of the table: a mutant of a few thousand
 * bytes is still a model. With 'M' it is the two members of a .pt2; else a .json.
 *
 * With DGNN_FUZZ_SAYS in the environment it says of each input what became of it, on standard output. */
#include "../mutate.h"
#include "../pack.h"
#include "../walk.h"

#include "base/alloc.h"
#include "dgnn.h"

#include <stdio.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_ARRAYS = 256, MOST_ELEMENTS = 1 << 16, MOST_GIVEN = 1 << 12 };

static double doubles[MOST_ELEMENTS];
static float floats[MOST_ELEMENTS];
static int64_t integers[MOST_ELEMENTS]; /* zeros of any width */
static struct dgnn_array arrays[MOST_ARRAYS];
static double given[MOST_GIVEN]; /* numbers of this input's arrays */
static size_t ngiven;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (int i = 0; i < MOST_ELEMENTS; i++) {
        doubles[i] = 0.25;
        floats[i] = 0.25f;
    }
    return setenv("DGNN_DISABLE_CPU", "avx512,avx2,neon,portable",
                  1); /* the instrumented ones: tools/compile.py */
}

/* The first elements of an array of count doubles, from the text of its numbers; the others are zeros. */
static int read_given(const char *text, size_t count, struct dgnn_array *array)
{
    char *end = NULL;
    double *numbers = given + ngiven;
    if (array->dtype != 'd' || count > MOST_GIVEN - ngiven) {
        return 0;
    }
    memset(numbers, 0, sizeof(*numbers) * count);
    for (size_t k = 0; k < count && *text; k++, text = *end == ',' ? end + 1 : end) {
        numbers[k] = strtod(text, &end);
        if (end == text) {
            return 0;
        }
    }
    array->data = numbers;
    ngiven += count;
    return 1;
}

/* One array of the table, from its text; false where that is none. */
static int read_array(const char *text, struct dgnn_array *array)
{
    const char *numbers = strchr(text, '=');
    char *end = NULL;
    int64_t count = 1;
    *array = (struct dgnn_array){.dtype = *text};
    if (!*text || !strchr("fdil?", *text)) {
        return 0;
    }
    array->data = *text == 'd' ? (void *)doubles : *text == 'f' ? (void *)floats : (void *)integers;
    for (text++; *text && array->ndim < 8; text = *end == ',' ? end + 1 : end) {
        int64_t length = strtoll(text, &end, 10);
        if (end == text || length < 0 || length > MOST_ELEMENTS || (count *= length) > MOST_ELEMENTS) {
            return 0;
        }
        array->shape[array->ndim++] = length;
        if (end == numbers) {
            return read_given(numbers + 1, (size_t)count, array);
        }
    }
    return 1;
}

static size_t read_table(const uint8_t *data, size_t size)
{
    size_t narrays = 0;
    ngiven = 0;
    char *table = strndup((const char *)data, size), *rest = table, *item;
    while ((item = strsep(&rest, ";")) && narrays < MOST_ARRAYS) {
        narrays += (size_t)read_array(item, &arrays[narrays]);
    }
    free(table);
    return narrays;
}

static int load(const uint8_t *data, size_t size, struct dgnn_model **model, struct dgnn_error *error)
{
    const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    const uint8_t *stop = size ? memchr(data, 0xff, size) : NULL;
    if (stop && *data == 'T') {
        size_t narrays = read_table(data + 1, (size_t)(stop - data - 1));
        return dgnn_model_load_tree("fuzz", (const char *)stop + 1, size - (size_t)(stop + 1 - data), arrays,
                                    narrays, &options, model, error);
    }
    if (stop && *data == 'M' && size < 60000) {
        pack(data + 1, size - 1, pack_pt2, 2);
        return dgnn_model_load_memory("fuzz", pack_zip.bytes, pack_zip.length, &options, model, error);
    }
    return dgnn_model_load_memory("fuzz", data, size, &options, model, error);
}

/* An integer of the description. */
static int64_t described(const struct dgnn_model *model, const char *name)
{
    const char *text = strstr(dgnn_model_describe(model), name);
    WALK_REQUIRE(text);
    return strtoll(text + strlen(name), NULL, 10);
}

/* What became of an input, where somebody asks. */
static void say(const char *what)
{
    if (getenv("DGNN_FUZZ_SAYS")) {
        printf("%s\n", what);
        fflush(stdout);
    }
}

/* Three atoms, one of them NULL, in a cell that is small enough for images; with what the model takes beside.
 * All that it answers is asked for. */
static int compute(struct dgnn_model *model, struct dgnn_error *error)
{
    static const double coords[] = {0, 0, 0, 0, 0, 1.1, 0.9, 0.2, 0}, box[] = {3, 0, 0, 0.5, 3, 0, 0, 0, 4};
    static const double spins[] = {0, 0, 1, 0, 1, 0, 0.5, 0, 0};
    static const int32_t types[] = {0, -1, 0};
    double forces[9], forces_mag[9], atom_virial[27], output_forces[27];
    struct dgnn_model_info info = {.size = sizeof(info)};
    int status = dgnn_model_get_info(model, &info, NULL);
    WALK_REQUIRE(!status && info.output_width > 0);
    double *output = calloc(3 * (size_t)info.output_width, sizeof(*output));
    int64_t nfparam = described(model, "\"dim_fparam\": "), naparam = described(model, "\"dim_aparam\": ");
    struct dgnn_system system = {
        .size = sizeof(system), .natoms = 3, .coords = coords, .types = types, .box = box, .pbc = {1, 0, 1}};
    struct dgnn_result result = {
        .size = sizeof(result), .forces = forces, .forces_mag = forces_mag, .atom_virial = atom_virial};
    if (info.output != DGNN_OUTPUT_ENERGY) {
        result.atom_output = output;
        result.output_forces = info.output == DGNN_OUTPUT_DIPOLE ? output_forces : NULL;
    }
    if (nfparam > 0 && nfparam <= MOST_ELEMENTS) {
        system.fparam = doubles;
        system.nfparam = nfparam;
    }
    if (naparam > 0 && naparam <= MOST_ELEMENTS / 3) {
        system.aparam = doubles;
        system.naparam = naparam;
    }
    system.spins = strstr(dgnn_model_describe(model), "\"is_spin\": true") ? spins : NULL;
    for (int call = 0; call < 2; call++) {
        status = dgnn_model_compute(model, &system, NULL, &result, error);
        WALK_REQUIRE(!status ||
                     ((status == DGNN_ERROR_INPUT || status == DGNN_ERROR_MEMORY) && error->message[0]));
    }
    free(output);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dgnn_model *model = NULL;
    struct dgnn_error error = {0};
    int status = load(data, size, &model, &error);
    if (status) {
        WALK_REQUIRE(status == DGNN_ERROR_FORMAT || status == DGNN_ERROR_UNSUPPORTED ||
                     status == DGNN_ERROR_MEMORY);
        WALK_REQUIRE(error.message[0] && !model);
        say(error.message);
    } else {
        WALK_REQUIRE(dgnn_model_describe(model)[0] == '{');
        say(compute(model, &error) ? error.message : "computed");
        dgnn_model_free(model);
    }
    WALK_REQUIRE(dgnn_alloc_live() == 0);
    return 0;
}
