/* A tiny test frame: one main per test file, which returns check_report(). */
#ifndef DGNN_TESTS_CHECK_H
#define DGNN_TESTS_CHECK_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dgnn.h"

static _Atomic int check_passed; /* ranks that are threads count, too */
static _Atomic int check_failed;

static inline void check_count(int good, const char *file, int line, const char *text)
{
    if (good) {
        check_passed++;
    } else {
        check_failed++;
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
    }
}

static inline void check_near(double a, double b, double tolerance, const char *file, int line,
                              const char *text)
{
    int good = fabs(a - b) <= tolerance; /* false for NaN */
    check_count(good, file, line, text);
    if (!good) {
        fprintf(stderr, "    %.17g and %.17g differ by more than %g\n", a, b, tolerance);
    }
}

/* Returns whether it is right. */
static inline int check_status(int got, int expected, const char *message, const char *part)
{
    int good = got == expected && (expected == DGNN_OK || strstr(message, part));
    if (!good) {
        fprintf(stderr, "    got %s \"%s\", expected %s \"%s\"\n", dgnn_status_name(got), got ? message : "",
                dgnn_status_name(expected), part);
    }
    return good;
}

/* As fmax, which would drop a NaN. */
static inline double check_larger(double a, double b)
{
    return a > b || a != a ? a : b;
}

#define CHECK(cond)           check_count(!!(cond), __FILE__, __LINE__, #cond)
#define CHECK_NEAR(a, b, tol) check_near((a), (b), (tol), __FILE__, __LINE__, #a " near " #b)

#define CHECK_TEXT(got, expected, message, part, text)                                                       \
    check_count(check_status((got), (expected), (message), (part)), __FILE__, __LINE__, (text))

/* expr uses a struct dgnn_error named error that is in scope; on failure its message must contain text. */
#define CHECK_STATUS(expr, status, text)                                                                     \
    do {                                                                                                     \
        error.message[0] = 0;                                                                                \
        int check_got = (expr);                                                                              \
        CHECK_TEXT(check_got, (status), error.message, (text), #expr);                                       \
    } while (0)

static inline int check_report(void)
{
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed > 0 || check_passed == 0;
}

#endif
