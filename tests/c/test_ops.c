/* Every instance of the table of operations that this machine can run, against the reference. */
#include <stdlib.h>

#include "ops_frame.h"

#define DGNN_REAL_BITS 32
#include "ops_case_body.h"
#include "ops_test_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops_case_body.h"
#include "ops_test_body.h"
#include "ops_difference_body.h"

/* Every entry behind the first is a function: a forgotten one would be a call of NULL in some model. */
static void check_entries(const void *table, size_t first, size_t size, enum dgnn_cpu cpu)
{
    for (size_t at = first; at < size; at += sizeof(void (*)(void))) {
        void (*entry)(void);
        memcpy(&entry, (const char *)table + at, sizeof(entry));
        if (!entry) {
            printf("%s: entry %zu of the table of operations is missing\n", dgnn_cpu_name(cpu),
                   (at - first) / sizeof(entry));
        }
        CHECK(entry != NULL);
    }
}

/* Of all instances that were compiled, those that this machine cannot run among them. */
static void test_tables_are_complete(void)
{
    for (enum dgnn_cpu cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        check_entries(dgnn_select_ops_f32(cpu), offsetof(struct dgnn_ops_f32, product),
                      sizeof(struct dgnn_ops_f32), cpu);
        check_entries(dgnn_select_ops_f64(cpu), offsetof(struct dgnn_ops_f64, product),
                      sizeof(struct dgnn_ops_f64), cpu);
    }
}

static void test_instances_say_what_they_are(void)
{
    for (enum dgnn_cpu cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        if (dgnn_cpu_usable(cpu)) {
            CHECK(dgnn_select_ops_f32(cpu)->cpu == cpu && dgnn_select_ops_f64(cpu)->cpu == cpu);
        }
    }
    CHECK(dgnn_reference_ops_f64.cpu == DGNN_CPU_REFERENCE);
}

int main(void)
{
    char names[128] = "";
    test_tables_are_complete();
    test_instances_say_what_they_are();
    for (enum dgnn_cpu cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        if (dgnn_cpu_usable(cpu)) {
            strcat(strcat(names, *names ? ", " : ""), dgnn_cpu_name(cpu));
            ops_test_table_f32(dgnn_select_ops_f32(cpu), dgnn_cpu_name(cpu));
            ops_test_table_f64(dgnn_select_ops_f64(cpu), dgnn_cpu_name(cpu));
        }
    }

    ops_test_differences();
    printf("%s: blocks against the reference: float32 %.2g, float64 %.2g of the largest number\n", names,
           ops_worst32, ops_worst64);
    return check_report();
}
