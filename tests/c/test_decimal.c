/* io/decimal against strtod: numbers at the edges of what a double holds, random ones, and what is none. */
#include "check.h"

#include "io/decimal.h"

#include <stdlib.h>

static void test_edges(void)
{
    struct dgnn_decimal got;
    static const char *const numbers[] = {"0",
                                          "-0",
                                          "0.0",
                                          "1e-400",
                                          "4.9e-324",
                                          "2.4703282292062327e-324",
                                          "2.4703282292062328e-324",
                                          "1.7976931348623157e308",
                                          "9007199254740993",
                                          "9007199254740993.00000000000000000001",
                                          "9007199254740992.999",
                                          "0.1",
                                          "123456789012345678",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "1e22",
                                          "1e23",
                                          "9999999999999999e22",
                                          "0.30000000000000004",
                                          "1.00000000000000011102230246251565",
                                          "1.00000000000000011102230246251564",
                                          "0.000000000000000000000000000000000000000000012345",
                                          "1234567890123456789012345678901234567890123456789012345678901234",
                                          "-1.5E+3",
                                          "2.2250738585072011e-308",
                                          "8.41e21",
                                          "7.3177701707893310e+15",
                                          "0e999999999999",
                                          "1E-99999999999"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        double expected = strtod(numbers[i], NULL);
        int fault = dgnn_decimal_parse(numbers[i], numbers[i] + strlen(numbers[i]), &got);
        CHECK(!fault && !memcmp(&got.value, &expected, 8) && *got.end == 0);
    }
}

static void test_random(void)
{
    struct dgnn_decimal got;
    int bad = 0;
    char text[80];
    srandom(7);
    for (int i = 0; i < 200000; i++) {
        uint64_t digits = ((uint64_t)random() << 33) ^ ((uint64_t)random() << 11) ^ (uint64_t)random();
        int kind = i % 4;
        snprintf(text, sizeof(text),
                 kind == 0   ? "%.17g"
                 : kind == 1 ? "%.9g"
                             : "%.16e",
                 (double)digits / (kind == 2 ? 1e45 : 1e19));
        if (kind == 3) {
            snprintf(text, sizeof(text), "%llu.%llue%d", (unsigned long long)(digits % 100000),
                     (unsigned long long)(digits >> 20), (int)(random() % 60) - 30);
        }
        double expected = strtod(text, NULL);
        bad += dgnn_decimal_parse(text, text + strlen(text), &got) || memcmp(&got.value, &expected, 8);
    }
    CHECK(bad == 0);
}

static void test_wrong(void)
{
    struct dgnn_decimal got;
    static const char *const wrong[] = {"",   "-",   "01", "+1",  ".5", "1.",
                                        "1e", "1e+", "-a", "--1", "00", "-01"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK(dgnn_decimal_parse(wrong[i], wrong[i] + strlen(wrong[i]), &got) == DGNN_DECIMAL_SYNTAX);
    }
}

int main(void)
{
    test_edges();
    test_random();
    test_wrong();
    return check_report();
}
