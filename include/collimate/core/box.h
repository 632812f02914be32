/* Half-open boxes of voxels, [lo, hi) on z y x. */
#ifndef CLM_CORE_BOX_H
#define CLM_CORE_BOX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct clm_box {
    int64_t lo[3], hi[3];
} clm_box;

static inline clm_box clm_box_of(const int64_t shape[3]) {
    return (clm_box){{0, 0, 0}, {shape[0], shape[1], shape[2]}};
}
static inline bool clm_box_is_empty(clm_box b) {
    return b.hi[0] <= b.lo[0] || b.hi[1] <= b.lo[1] || b.hi[2] <= b.lo[2];
}
static inline int64_t clm_box_count(clm_box b) {
    return clm_box_is_empty(b) ? 0 : (b.hi[0] - b.lo[0]) * (b.hi[1] - b.lo[1]) * (b.hi[2] - b.lo[2]);
}
static inline clm_box clm_box_meet(clm_box a, clm_box b) {
    for (int d = 0; d < 3; d++) {
        if (b.lo[d] > a.lo[d]) a.lo[d] = b.lo[d];
        if (b.hi[d] < a.hi[d]) a.hi[d] = b.hi[d];
    }
    return a;
}
static inline clm_box clm_box_grow(clm_box b, const int64_t by[3]) {
    for (int d = 0; d < 3; d++) b.lo[d] -= by[d], b.hi[d] += by[d];
    return b;
}
static inline bool clm_box_has(clm_box b, int64_t z, int64_t y, int64_t x) {
    return z >= b.lo[0] && z < b.hi[0] && y >= b.lo[1] && y < b.hi[1] && x >= b.lo[2] && x < b.hi[2];
}
static inline bool clm_box_covers(clm_box outer, clm_box inner) {
    for (int d = 0; d < 3; d++)
        if (inner.lo[d] < outer.lo[d] || inner.hi[d] > outer.hi[d]) return false;
    return true;
}
static inline int64_t clm_div_up(int64_t a, int64_t b) { return (a + b - 1) / b; } /* a >= 0, b > 0 */
static inline int64_t clm_div_floor(int64_t a, int64_t b) {                        /* b > 0 */
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

#endif
