#include "io/decimal.h"

#include "base/limits.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Powers of five up to 5^27 fit into 64 bits, so that m * 10^q with |q| <= 27 is rounded with integers alone.
 */
enum { DECIMAL_MAX_POWER = 27, DECIMAL_MAX_DIGITS = 19 };

static const uint64_t decimal_five[DECIMAL_MAX_POWER + 1] = {1u,
                                                             5u,
                                                             25u,
                                                             125u,
                                                             625u,
                                                             3125u,
                                                             15625u,
                                                             78125u,
                                                             390625u,
                                                             1953125u,
                                                             9765625u,
                                                             48828125u,
                                                             244140625u,
                                                             1220703125u,
                                                             6103515625u,
                                                             30517578125u,
                                                             152587890625u,
                                                             762939453125u,
                                                             3814697265625u,
                                                             19073486328125u,
                                                             95367431640625u,
                                                             476837158203125u,
                                                             2384185791015625u,
                                                             11920928955078125u,
                                                             59604644775390625u,
                                                             298023223876953125u,
                                                             1490116119384765625u,
                                                             7450580596923828125u};

/* The pieces of a number: (-1)^negative * mantissa * 10^exponent, where exact. */
struct decimal_parts {
    uint64_t mantissa;
    int64_t exponent;
    int negative;
    int exact; /* did all digits fit into the mantissa? */
    int plain; /* no fraction, no exponent */
};

static locale_t decimal_locale;

static void decimal_make_locale(void)
{
    decimal_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The rare numbers: many digits or far exponents. The length is at most DGNN_LIMIT_NUMBER. */
static double decimal_slow(const char *text, size_t length)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char copy[DGNN_LIMIT_NUMBER + 1];
    memcpy(copy, text, length);
    copy[length] = 0;
    pthread_once(&once, decimal_make_locale);
    return decimal_locale ? strtod_l(copy, NULL, decimal_locale) : strtod(copy, NULL);
}

/* quotient * 2^exponent, nearest even; sticky: a nonzero rest lies below. quotient is not 0. */
static double decimal_round(uint64_t quotient, int sticky, int exponent)
{
    int shift = __builtin_clzll(quotient);
    quotient <<= shift;
    exponent += 11 - shift;
    uint64_t low = quotient & 0x7ff;
    uint64_t kept = quotient >> 11;
    kept += low > 0x400 || (low == 0x400 && (sticky || (kept & 1)));
    uint64_t bits = (uint64_t)(1023 + exponent) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof(scale));
    return (double)kept * scale; /* both factors and the product are exact */
}

static double decimal_fast(uint64_t mantissa, int power)
{
    if (mantissa == 0) {
        return 0;
    }
    if (power >= 0) {
        unsigned __int128 product = (unsigned __int128)mantissa * decimal_five[power];
        uint64_t high = (uint64_t)(product >> 64);
        int shift = high ? 64 - __builtin_clzll(high) : 0;
        uint64_t kept = (uint64_t)(product >> shift);
        return decimal_round(kept, ((unsigned __int128)kept << shift) != product, power + shift);
    }
    /* Both are shifted up to 64 bits; the quotient then has at least 63, and the remainder says the rest. */
    int up = __builtin_clzll(mantissa);
    int down = __builtin_clzll(decimal_five[-power]);
    uint64_t divisor = decimal_five[-power] << down;
    unsigned __int128 dividend = (unsigned __int128)(mantissa << up) << 63;
    uint64_t quotient = (uint64_t)(dividend / divisor);
    int sticky = (unsigned __int128)quotient * divisor != dividend;
    return decimal_round(quotient, sticky, power - 63 + down - up);
}

/* Eight digits at once, as carry-free byte arithmetic in one word (little-endian). */
static inline int decimal_eight(const char *text, uint64_t *value)
{
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    if (((word & 0xf0f0f0f0f0f0f0f0u) | (((word + 0x0606060606060606u) & 0xf0f0f0f0f0f0f0f0u) >> 4)) !=
        0x3333333333333333u) {
        return 0;
    }
    word = (word & 0x0f0f0f0f0f0f0f0fu) * 2561 >> 8;
    word = (word & 0x00ff00ff00ff00ffu) * 6553601 >> 16;
    *value = (word & 0x0000ffff0000ffffu) * 42949672960001u >> 32;
    return 1;
}

/* Digits into the mantissa as far as 19 fit; returns the first byte that is no digit. */
static inline const char *decimal_digits(const char *p, const char *end, struct decimal_parts *parts,
                                         int *ndigit)
{
    uint64_t eight;
    while (end - p >= 8 && *ndigit + 8 <= DECIMAL_MAX_DIGITS && decimal_eight(p, &eight)) {
        parts->mantissa = parts->mantissa * 100000000u + eight;
        *ndigit += parts->mantissa ? 8 : 0;
        p += 8;
    }
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (*ndigit >= DECIMAL_MAX_DIGITS) {
            parts->exact = 0;
        } else {
            parts->mantissa = parts->mantissa * 10 + (uint64_t)(*p - '0');
            *ndigit += parts->mantissa != 0;
        }
    }
    return p;
}

static const char *decimal_exponent(const char *p, const char *end, struct decimal_parts *parts)
{
    int64_t exponent = 0;
    int negative = 0;
    if (p < end && (*p == '+' || *p == '-')) {
        negative = *p++ == '-';
    }
    if (p >= end || *p < '0' || *p > '9') {
        return NULL;
    }
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        exponent = exponent < 100000 ? exponent * 10 + (*p - '0') : exponent;
    }
    parts->exponent += negative ? -exponent : exponent;
    return p;
}

/* Splits by JSON's grammar; NULL where it is no number. */
static const char *decimal_split(const char *p, const char *end, struct decimal_parts *parts)
{
    int ndigit = 0;
    if (p < end && *p == '-') {
        parts->negative = 1;
        p++;
    }
    const char *first = p;
    p = decimal_digits(p, end, parts, &ndigit);
    if (p == first || (*first == '0' && p - first > 1)) {
        return NULL;
    }
    if (p < end && *p == '.') {
        parts->plain = 0;
        first = ++p;
        p = decimal_digits(p, end, parts, &ndigit);
        if (p == first) {
            return NULL;
        }
        parts->exponent = first - p;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        parts->plain = 0;
        return decimal_exponent(p + 1, end, parts);
    }
    return p;
}

enum dgnn_decimal_fault dgnn_decimal_parse(const char *text, const char *end, struct dgnn_decimal *out)
{
    struct decimal_parts parts = {.exact = 1, .plain = 1};
    out->end = decimal_split(text, end, &parts);
    if (!out->end) {
        return DGNN_DECIMAL_SYNTAX;
    }
    if (out->end - text > DGNN_LIMIT_NUMBER) {
        return DGNN_DECIMAL_LONG;
    }
    if (parts.exact && parts.exponent >= -DECIMAL_MAX_POWER && parts.exponent <= DECIMAL_MAX_POWER) {
        double value = decimal_fast(parts.mantissa, (int)parts.exponent);
        out->value = parts.negative ? -value : value;
    } else {
        out->value = decimal_slow(text, (size_t)(out->end - text));
    }
    out->is_integer = parts.plain && parts.exact && parts.mantissa <= INT64_MAX;
    out->integer = out->is_integer ? (int64_t)parts.mantissa * (parts.negative ? -1 : 1) : 0;
    return isfinite(out->value) ? DGNN_DECIMAL_FINE : DGNN_DECIMAL_OVERFLOW;
}

const char *dgnn_decimal_fault_text(enum dgnn_decimal_fault fault)
{
    switch (fault) {
    case DGNN_DECIMAL_SYNTAX:
        return "not a JSON number";
    case DGNN_DECIMAL_LONG:
        return "a number of more than 1024 characters";
    case DGNN_DECIMAL_OVERFLOW:
        return "a number beyond the range of float64";
    default:
        return "a number";
    }
}
