#include "net/parts/compression.h"

#include <math.h>

#include "net/params/params.h"

struct compression_params {
#include "net/params/params_fields.h"
#include "net/params/objects/compress.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param compression_rows[] = {
#define DGNN_PARAM_STRUCT struct compression_params
#include "net/params/params_rows.h"
#include "net/params/objects/compress.def"
#include "net/params/params_end.h"
};

enum {
    COMPRESSION_NPARAM = sizeof(compression_rows) / sizeof(compression_rows[0]),
    COMPRESSION_STRIDES = 1 << 30, /* more than a table has */
    COMPRESSION_INFO = 6           /* lower, upper, end, both strides, and how often deepmd-kit reports */
};

/* ---------------------------------------------------------------- the member */

/* What must not be there: compression->variables has it. */
static int compression_unused(const struct dgnn_compression *c, const char *name, const char *why,
                              struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(&c->variables, name);
    return dgnn_params_unused(&member, why, error);
}

int dgnn_compression_load(const struct dgnn_value *compress, enum dgnn_compression_kind kind,
                          int32_t evaluated, struct dgnn_compression *c, struct dgnn_error *error)
{
    struct compression_params params;
    enum dgnn_value_kind found = dgnn_value_kind(compress);
    *c = (struct dgnn_compression){0};
    if (found == DGNN_VALUE_ABSENT || found == DGNN_VALUE_NULL) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_params_load(compress, compression_rows, COMPRESSION_NPARAM, &params, error));
    struct dgnn_value flag = dgnn_value_member(compress, "geo_compress");
    if (kind != DGNN_COMPRESSION_TYPES && dgnn_value_kind(&flag) != DGNN_VALUE_ABSENT) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &flag,
                                 "it does not belong to this descriptor");
    }
    c->is_there = 1;
    c->evaluated = evaluated;
    c->has_tables = kind != DGNN_COMPRESSION_TYPES || params.geo_compress;
    c->has_types = kind != DGNN_COMPRESSION_NETWORKS;
    c->variables = dgnn_value_member(compress, "@variables");
    DGNN_TRY(dgnn_value_object(&c->variables, error));
    c->tables = dgnn_value_member(&c->variables, "compress_data");
    c->infos = dgnn_value_member(&c->variables, "compress_info");
    c->factors = dgnn_value_member(&c->variables, "type_embd_data");
    if (!c->has_tables) {
        DGNN_TRY(compression_unused(c, "compress_data", "geo_compress is false", error));
        DGNN_TRY(compression_unused(c, "compress_info", "geo_compress is false", error));
    }
    return c->has_types ? DGNN_OK
                        : compression_unused(c, "type_embd_data", "the descriptor embeds no types", error);
}

int dgnn_compression_needs(const struct dgnn_compression *c, int has, const char *but,
                           const struct dgnn_value *compress, struct dgnn_error *error)
{
    return c->is_there && !has
               ? dgnn_value_refuse(error, DGNN_ERROR_FORMAT, compress, "it is there, but %s", but)
               : DGNN_OK;
}

int dgnn_compression_describe(const struct dgnn_compression *c, struct dgnn_text *text,
                              struct dgnn_error *error)
{
    if (!c->is_there) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_text_add(text, error, ", \"compressed\": \"%s\", \"compressed_networks\": %s",
                           c->evaluated == DGNN_COMPRESSED_NET ? "net" : "table",
                           c->has_tables ? "true" : "false"));
    if (c->has_tables) {
        DGNN_TRY(dgnn_text_add(text, error, ", \"compressed_rows\": %lld", (long long)c->nrow));
    }
    return c->evaluated == DGNN_COMPRESSED_COMPARE
               ? dgnn_text_add(text, error, ", \"compressed_difference\": %.3g", c->difference)
               : DGNN_OK;
}

/* ---------------------------------------------------------------- pieces */

/* A length in strides, as deepmd-kit divides: in the type of the archive's numbers. */
static double compression_quotient(double length, double stride, int32_t dtype)
{
    return dtype == 'f' ? (double)((float)length / (float)stride) : length / stride;
}

static int64_t compression_strides(double length, double stride, int32_t dtype)
{
    double whole = compression_quotient(length, stride, dtype);
    return whole < COMPRESSION_STRIDES ? (int64_t)(whole > 0 ? whole : 0) : COMPRESSION_STRIDES;
}

/* The number just before x, in the type of the archive's. */
static double compression_before(double x, double towards, int32_t dtype)
{
    return dtype == 'f' ? (double)nextafterf((float)x, (float)towards) : nextafter(x, towards);
}

double dgnn_pieces_begin(const struct dgnn_pieces *p, int64_t piece)
{
    if (piece < p->before) {
        return p->begin + (double)piece * p->stride[1];
    }
    piece -= p->before;
    return piece < p->inner ? p->lower + (double)piece * p->stride[0]
                            : p->upper + (double)(piece - p->inner) * p->stride[1];
}

double dgnn_pieces_length(const struct dgnn_pieces *p, int64_t piece)
{
    return p->stride[!(piece >= p->before && piece < p->before + p->inner)];
}

/* Beyond begin or end, and where the table has no such row. */
static struct dgnn_pieces_place pieces_outside(const struct dgnn_pieces *p, double x)
{
    if (!(x >= p->begin)) { /* NaN, too */
        return (struct dgnn_pieces_place){0, 0, x - p->begin};
    }
    if (p->last < p->count) {
        return (struct dgnn_pieces_place){p->last, p->end - dgnn_pieces_begin(p, p->last), x - p->end};
    }
    return (struct dgnn_pieces_place){p->count - 1, p->last_length, x - p->last_begin - p->last_length};
}

struct dgnn_pieces_place dgnn_pieces_find(const struct dgnn_pieces *p, double x)
{
    struct dgnn_pieces_place place = {0};
    if (!(x >= p->begin && x < p->end)) {
        return pieces_outside(p, x);
    }
    if (x < p->lower) {
        place.piece = (int64_t)((x - p->begin) / p->stride[1]);
        place.t = x - ((double)place.piece * p->stride[1] + p->begin);
    } else if (x < p->upper) {
        place.piece = (int64_t)((x - p->lower) / p->stride[0]);
        place.t = x - ((double)place.piece * p->stride[0] + p->lower);
        place.piece += p->before;
    } else {
        place.piece = (int64_t)((x - p->upper) / p->stride[1]);
        place.t = x - ((double)place.piece * p->stride[1] + p->upper);
        place.piece += p->before + p->inner;
    }
    return place.piece < p->count ? place : pieces_outside(p, x);
}

/* ---------------------------------------------------------------- a table */

static int compression_info(const struct dgnn_value *item, const struct dgnn_compression_table *table,
                            struct dgnn_pieces *p, int32_t *dtype, struct dgnn_error *error)
{
    const int64_t shape[1] = {COMPRESSION_INFO};
    struct dgnn_tensor tensor;
    double info[COMPRESSION_INFO];
    DGNN_TRY(dgnn_value_tensor_shaped(item, 1, shape, &tensor, error)); /* finite, too */
    dgnn_tensor_to_double(&tensor, info);
    *dtype = tensor.dtype;
    *p = (struct dgnn_pieces){.begin = table->symmetric ? -info[2] : info[0],
                              .lower = info[0],
                              .upper = info[1],
                              .end = info[2],
                              .stride = {info[3], info[4]}};
    if (!(p->stride[0] > 0 && p->stride[1] > 0)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, item,
                                 "strides %g and %g; expected positive numbers", info[3], info[4]);
    }
    if (!(p->begin <= p->lower && p->lower <= p->upper && p->upper <= p->end && p->begin < p->end)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, item,
                                 "a table from %g by %g and %g to %g; expected bounds in this order",
                                 p->begin, p->lower, p->upper, p->end);
    }
    return DGNN_OK;
}

/* As many rows as deepmd-kit makes of three lengths in strides, whose sum it rounds as the archive's numbers:
 * in either order, or what a sum without rounding would be. */
static int compression_is_count(int64_t count, double inner, double end, double begin, int32_t dtype)
{
    double first = inner + end + begin, other = inner + (end + begin),
           whole = floor(first + 1e-6 * (1 + first));
    if (dtype == 'f') {
        first = (double)((float)((float)inner + (float)end) + (float)begin);
        other = (double)((float)inner + (float)((float)end + (float)begin));
    }
    return (double)count == floor(first) || (double)count == floor(other) || (double)count == whole;
}

static int compression_count(const struct dgnn_value *item, struct dgnn_pieces *p, int32_t dtype,
                             struct dgnn_error *error)
{
    double inner = compression_quotient(p->upper - p->lower, p->stride[0], dtype),
           end = compression_quotient(p->end - p->upper, p->stride[1], dtype),
           begin = compression_quotient(p->lower - p->begin, p->stride[1], dtype);
    if (!compression_is_count(p->count, inner, end, begin, dtype)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, item,
                                 "%lld rows; bounds and strides of its compress_info make %.6g",
                                 (long long)p->count, floor(inner + end + begin));
    }
    p->before = compression_strides(p->lower - p->begin, p->stride[1], dtype);
    p->inner = compression_strides(p->upper - p->lower, p->stride[0], dtype);
    p->last =
        p->before + p->inner +
        compression_strides(compression_before(p->end, p->begin, dtype) - p->upper, p->stride[1], dtype);
    p->last_begin = dgnn_pieces_begin(p, p->count - 1);
    p->last_length = dgnn_pieces_length(p, p->count - 1);
    return DGNN_OK;
}

int dgnn_compression_pieces(const struct dgnn_compression *c, const struct dgnn_compression_table *table,
                            struct dgnn_pieces *pieces, struct dgnn_tensor *numbers, struct dgnn_error *error)
{
    struct dgnn_value data = dgnn_value_item(&c->tables, table->n),
                      info = dgnn_value_item(&c->infos, table->n);
    int64_t shape[2] = {-1, 6 * table->width};
    int32_t dtype;
    *pieces = (struct dgnn_pieces){0};
    DGNN_TRY(dgnn_value_tensor(&data, numbers, error));
    if (!table->needed && dgnn_tensor_size(numbers) == 0) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_tensor_shaped(&data, 2, shape, numbers, error));
    if (numbers->shape[0] < 1) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &data, "a table without rows");
    }
    DGNN_TRY(compression_info(&info, table, pieces, &dtype, error));
    pieces->count = numbers->shape[0];
    return compression_count(&data, pieces, dtype, error);
}

double dgnn_compression_farthest(double most, double difference)
{
    return fmax(most, fabs(difference));
}
