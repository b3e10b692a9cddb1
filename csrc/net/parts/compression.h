/* What deepmd-kit's compression leaves beside the embedding networks (member "compress" of a descriptor): for
 * each of them a table of polynomials of degree 5 in its first input, and with stripped type embeddings the
 * second network's outputs for all types or pairs of types. A table is evaluated as deepmd-kit's operator
 * does it (deepmd/utils/tabulate.py builds the tables), bounds that are no multiples of the strides and all,
 * but for one thing: there the operator may read a row behind the last one, and here the last one's end goes
 * on as a line. The networks stay in the file, and may be evaluated instead. */
#ifndef DGNN_NET_COMPRESSION_H
#define DGNN_NET_COMPRESSION_H

#include "base/text.h"
#include "io/tree.h"

/* What a family's members of "compress" are. */
enum dgnn_compression_kind {
    DGNN_COMPRESSION_NETWORKS, /* tables only */
    DGNN_COMPRESSION_TYPES,    /* outputs for types, and a table if "geo_compress" says so */
    DGNN_COMPRESSION_BOTH      /* tables, and outputs for pairs of types */
};

/* A zeroed one: nothing is compressed. */
struct dgnn_compression {
    int32_t is_there;
    int32_t evaluated;  /* enum dgnn_compressed */
    int32_t has_tables; /* are networks of the first input tables, too? */
    int32_t has_types;
    int64_t nrow;                                        /* of all tables */
    double difference;                                   /* largest, of what is evaluated from the networks */
    struct dgnn_value variables, tables, infos, factors; /* during loading */
};

/* compress: the member, which may be absent or null and outlives loading. evaluated: enum dgnn_compressed.
 * compression must stay where it is during loading. Errors: FORMAT, UNSUPPORTED. */
int dgnn_compression_load(const struct dgnn_value *compress, enum dgnn_compression_kind kind,
                          int32_t evaluated, struct dgnn_compression *compression, struct dgnn_error *error);

/* Refuses a compressed model (FORMAT) unless it has what it needs; but says what it is instead. */
int dgnn_compression_needs(const struct dgnn_compression *compression, int has, const char *but,
                           const struct dgnn_value *compress, struct dgnn_error *error);

/* Appends ", "compressed": "table"" and what belongs to it; nothing for a model that is not compressed. */
int dgnn_compression_describe(const struct dgnn_compression *compression, struct dgnn_text *text,
                              struct dgnn_error *error);

/* The larger of most and the size of a difference. A function, as GCC 12 for 64-bit ARM breaks down over the
 * loop that it makes of this inside of templates. */
double dgnn_compression_farthest(double most, double difference);

static inline int dgnn_compression_uses_tables(const struct dgnn_compression *c)
{
    return c->is_there && c->has_tables && c->evaluated != DGNN_COMPRESSED_NET;
}

/* The pieces of a table: from begin to lower with the second stride (of tables of a product of vectors only,
 * for which begin is -end), to upper with the first, to end with the second. */
struct dgnn_pieces {
    double begin, lower, upper, end, stride[2];
    int64_t before, inner; /* pieces below lower; from there to upper */
    int64_t count;         /* rows of the table */
    int64_t last;          /* the row of end and beyond; count or more: there is no such row */
    double last_begin;     /* where the last row's piece begins */
    double last_length;
};

/* Which piece, where in it, and what is left along its slope. Any x, NaN too, gives a piece of the table. */
struct dgnn_pieces_place {
    int64_t piece;
    double t, beyond;
};
struct dgnn_pieces_place dgnn_pieces_find(const struct dgnn_pieces *pieces, double x);
double dgnn_pieces_begin(const struct dgnn_pieces *pieces, int64_t piece);
double dgnn_pieces_length(const struct dgnn_pieces *pieces, int64_t piece);

/* Table n of a compressed model: its pieces, and its numbers, count x 6 width; count 0: the table is empty,
 * which must not be where it is needed. symmetric: of a product of vectors. Errors: FORMAT. */
struct dgnn_compression_table {
    int64_t n, width;
    int32_t symmetric, needed;
};
int dgnn_compression_pieces(const struct dgnn_compression *compression,
                            const struct dgnn_compression_table *table, struct dgnn_pieces *pieces,
                            struct dgnn_tensor *numbers, struct dgnn_error *error);

#endif
