/* JSON numbers to doubles: correctly rounded, whatever the locale and the rounding mode. */
#ifndef DGNN_IO_DECIMAL_H
#define DGNN_IO_DECIMAL_H

#include <stdint.h>

enum dgnn_decimal_fault {
    DGNN_DECIMAL_FINE = 0,
    DGNN_DECIMAL_SYNTAX,  /* no number by JSON's grammar */
    DGNN_DECIMAL_LONG,    /* more than DGNN_LIMIT_NUMBER characters */
    DGNN_DECIMAL_OVERFLOW /* beyond the largest double */
};

struct dgnn_decimal {
    const char *end; /* the first byte after the number */
    double value;    /* what is too small for a double is 0 */
    int64_t integer;
    int is_integer; /* written without fraction and exponent, and integer holds it */
};

/* The number that begins at text. Nothing at or after end is read. */
enum dgnn_decimal_fault dgnn_decimal_parse(const char *text, const char *end, struct dgnn_decimal *out);
const char *dgnn_decimal_fault_text(enum dgnn_decimal_fault fault);

#endif
