#include "base/real.h"

/* The scratch memory of a thread. */
struct REAL(dgnn_triples_scratch) {
    /* Rows of a centre, which the caller fills. */
    double *u;           /* rows x 3 */
    double *weight;      /* rows */
    double *edge_switch; /* rows */
    double *d_u;         /* rows x 3 */
    double *d_switch;    /* rows */
    int64_t *edge;       /* rows; -1: an empty slot */
    int64_t *section;    /* sections + 1: the first row of each section */
    /* Pairs of a block. */
    int64_t *pair;     /* block x 2 */
    real *input;       /* block x inputs */
    real *g, *tangent; /* block x stride */
    real *embedding;
};

/* Takes the scratch memory for centres of at most nrow rows in nsection sections. */
void REAL(dgnn_triples_layout)(struct dgnn_arena *arena, const struct REAL(dgnn_embedding) * embedding,
                               int64_t nrow, int64_t nsection, struct REAL(dgnn_triples_scratch) * scratch);

/* What is passed on between stages: rows, and their gradients; the rest is scratch. */
void REAL(dgnn_triples_places)(const struct REAL(dgnn_triples_scratch) * scratch, int32_t rows,
                               int32_t d_rows, int64_t nrow, struct dgnn_places *to);

/* Two sections of a centre's rows, which may be the same. */
struct REAL(dgnn_triples) {
    const struct REAL(dgnn_ops) * ops;
    const struct REAL(dgnn_embedding) * embedding;
    int64_t network;    /* which of them */
    const real *tail;   /* nin - 1: the network's inputs after x */
    const real *factor; /* F: stride; NULL: no second network */
    int32_t smooth;     /* 1: F is multiplied by the switches */
    int64_t section[2];
    double scale;
    double *output;                              /* nout, added to; NULL in backward */
    const double *d_output;                      /* nout */
    struct REAL(dgnn_triples_scratch) * scratch; /* d_u and d_switch are added to */
};

void REAL(dgnn_triples_sum)(const struct REAL(dgnn_triples) * triples);
