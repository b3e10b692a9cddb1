#include "base/falsify.h"

#include <string.h>

static char falsify_name[16];

void dgnn_falsify(const char *name)
{
    strncpy(falsify_name, name, sizeof falsify_name - 1);
}

int dgnn_falsify_has(enum dgnn_cpu cpu)
{
    return !strcmp(falsify_name, dgnn_cpu_name(cpu));
}
