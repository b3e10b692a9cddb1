/* libzip's functions, found when the first ZIP archive is opened.
 *
 * libzip brings a cryptography library, which takes longer to load than dgnn itself. So it is not linked: who
 * reads JSON, or has no model yet, does without; with DGNN_LIBZIP_INSIDE it is linked. DGNN_LIBZIP, the name
 * to load, is that of the library that the build found. */
#ifndef DGNN_IO_LIBZIP_H
#define DGNN_IO_LIBZIP_H

#include "base/status.h"

#include <zip.h>

#define LIBZIP_FUNCTIONS(FUNCTION)                                                                           \
    FUNCTION(discard)                                                                                        \
    FUNCTION(error_code_system)                                                                              \
    FUNCTION(error_code_zip)                                                                                 \
    FUNCTION(error_fini)                                                                                     \
    FUNCTION(error_init)                                                                                     \
    FUNCTION(error_set)                                                                                      \
    FUNCTION(error_strerror)                                                                                 \
    FUNCTION(error_to_data)                                                                                  \
    FUNCTION(fclose)                                                                                         \
    FUNCTION(file_get_error)                                                                                 \
    FUNCTION(file_get_external_attributes)                                                                   \
    FUNCTION(fopen_index)                                                                                    \
    FUNCTION(fread)                                                                                          \
    FUNCTION(get_error)                                                                                      \
    FUNCTION(get_name)                                                                                       \
    FUNCTION(get_num_entries)                                                                                \
    FUNCTION(open_from_source)                                                                               \
    FUNCTION(source_free)                                                                                    \
    FUNCTION(source_function_create)                                                                         \
    FUNCTION(source_make_command_bitmap)                                                                     \
    FUNCTION(source_seek_compute_offset)                                                                     \
    FUNCTION(stat_index)                                                                                     \
    FUNCTION(stat_init)

/* zip_NAME, as its member NAME. */
struct dgnn_libzip {
#define LIBZIP_MEMBER(name) __typeof__(zip_##name) *name;
    LIBZIP_FUNCTIONS(LIBZIP_MEMBER)
#undef LIBZIP_MEMBER
};

/* The same for all callers, for the life of the process. Errors: SYSTEM, with what the loader says; MEMORY.
 */
int dgnn_libzip_get(const struct dgnn_libzip **libzip, struct dgnn_error *error);

#endif
