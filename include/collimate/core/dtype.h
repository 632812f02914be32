/* Scalar types of voxels: names, sizes, conversion to and from float32, byte order.
 * Algorithms see float32 only; other types exist at the edge (store, apply). */
#ifndef CLM_CORE_DTYPE_H
#define CLM_CORE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are read and written as on little-endian machines");

/* clang-format off */
typedef enum clm_dtype {
    CLM_U8, CLM_U16, CLM_U32, CLM_U64, CLM_I8, CLM_I16, CLM_I32, CLM_I64, CLM_F32, CLM_F64,
    CLM_BOOL, CLM_F16, CLM_C64, CLM_C128, /* dump only; bool is read as 0 and 1 */
    CLM_DTYPE_COUNT
} clm_dtype;
/* clang-format on */

size_t clm_dtype_size(clm_dtype t);
const char *clm_dtype_name(clm_dtype t);                /* "uint16", "float32", ...   */
bool clm_dtype_named(const char *name, clm_dtype *out); /* the inverse                */
bool clm_dtype_is_integer(clm_dtype t);                 /* bool is not                */
bool clm_dtype_is_real(clm_dtype t);                    /* integers and f32, f64: what algorithms take */
/** Smallest and largest value of an integer type (as double, rounded inwards for 64 bits). */
void clm_dtype_range(clm_dtype t, double *lo, double *hi);

/** n native-endian elements of a real type, at any address, to float32. */
void clm_dtype_to_f32(clm_dtype t, const void *src, float *dst, int64_t n);
/** n native-endian elements, at any address, to float64: real types, bool and float16; others become 0. */
void clm_dtype_to_f64(clm_dtype t, const void *src, double *dst, int64_t n);
/** float32 to n elements: rounded to nearest even and clamped to the type's range; NaN becomes 0. */
void clm_dtype_from_f32(clm_dtype t, const float *src, void *dst, int64_t n);
/** Reverse the bytes of n elements of `size` 1, 2, 4, 8 or 16 bytes in place (complex: give the part's size). */
void clm_swap_bytes(void *data, size_t size, int64_t n);
/** Copies n contiguous units of 1, 2, 4 or 8 bytes with their bytes reversed; s and d must not overlap. */
void clm_swap_copy(const unsigned char *restrict s, unsigned char *restrict d, int64_t n, size_t unit);

#endif
