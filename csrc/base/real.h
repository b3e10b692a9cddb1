/* Names for files that are compiled once for each element type. Define DGNN_REAL_BITS as 32 or 64 and include
 * this header. It has no guard, because each inclusion defines the names again:
 *
 *     real         float or double
 *     REAL(name)   name_f32 or name_f64
 *     REAL_LANES   elements in 64 bytes; rows of features are padded with zeros to a multiple of it
 *     REAL_DTYPE   enum dgnn_dtype of real */
#include <stddef.h>
#include <stdint.h>

#undef real
#undef REAL
#undef REAL_LANES
#undef REAL_DTYPE
#if DGNN_REAL_BITS == 32
#define real       float
#define REAL(name) name##_f32
#define REAL_LANES 16
#define REAL_DTYPE DGNN_DTYPE_FLOAT32
#elif DGNN_REAL_BITS == 64
#define real       double
#define REAL(name) name##_f64
#define REAL_LANES 8
#define REAL_DTYPE DGNN_DTYPE_FLOAT64
#else
#error "DGNN_REAL_BITS must be 32 or 64"
#endif
