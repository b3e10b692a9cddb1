#include "net/parts/embedding.h"

#include <string.h>

#include "net/params/params.h"

/* Rows that go through all layers together: few enough for the first caches. */
enum { EMBEDDING_BLOCK = 48 };

/* Checks the head of a NetworkCollection; the list of its networks. */
static int embedding_networks(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, int64_t nnetwork,
                              struct dgnn_value *networks, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, "ndim");
    int64_t found, count;
    char path[256];
    DGNN_TRY(dgnn_value_object(value, error));
    DGNN_TRY(dgnn_params_version(value, 1, 1, 1, error));
    DGNN_TRY(dgnn_value_int(&member, &found, error));
    *networks = dgnn_value_member(value, "networks");
    DGNN_TRY(dgnn_value_list(networks, &count, error));
    if (found != ndim || count != nnetwork) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT,
                               "%s: %lld networks in %lld dimensions of types; expected %lld for %lld types in %lld",
                               dgnn_value_path(value, path, sizeof(path)), (long long)count, (long long)found,
                               (long long)nnetwork, (long long)ntypes, (long long)ndim);
    }
    return DGNN_OK;
}

#define DGNN_REAL_BITS 32
#include "net/parts/embedding_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/embedding_body.h"
