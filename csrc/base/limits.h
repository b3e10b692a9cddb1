/* What an archive may hold at most. Everything that io refuses for its size is refused by one of these.
 *
 * Together they bound memory: reading takes at most 64 MiB plus six times the uncompressed bytes of the
 * members read. The text counts once; numbers of two characters ("0,") become tensors of four times their
 * text; outside of arrays a value costs about 100 bytes, so their count is limited. */
#ifndef DGNN_BASE_LIMITS_H
#define DGNN_BASE_LIMITS_H

#include <stdint.h>

#define DGNN_LIMIT_DEPTH     64                   /* lists and objects inside each other */
#define DGNN_LIMIT_VALUES    ((int64_t)1 << 18)   /* JSON values outside of arrays */
#define DGNN_LIMIT_PICKLE    ((int64_t)256 << 20) /* bytes of a pickle */
#define DGNN_LIMIT_PICKLED   ((int64_t)1 << 19)   /* values of a pickle, and as many links between them */
#define DGNN_LIMIT_EXPANDED  ((int64_t)1 << 22)   /* values of a pickle, each as often as it can be reached */
#define DGNN_LIMIT_NUMBER    1024                 /* characters of one number */
#define DGNN_LIMIT_ELEMENTS  ((int64_t)1 << 31)   /* of one array */
#define DGNN_LIMIT_MEMBER    ((int64_t)4 << 30)   /* bytes of one member, or of a .json file */
#define DGNN_LIMIT_ENTRIES   65535                /* members of an archive, read or not */
#define DGNN_LIMIT_DIRECTORY ((int64_t)32 << 20)  /* bytes of an archive's directory */
#define DGNN_LIMIT_RATIO     1100                 /* uncompressed to compressed; deflate reaches 1032 */
#define DGNN_LIMIT_TRUSTED   ((int64_t)64 << 20)  /* bytes reserved on the word of a header alone */

#endif
