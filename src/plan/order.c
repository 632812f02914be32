#include "collimate/plan/order.h"

bool clm_order_fits(const int64_t shape[3], int64_t n) {
    int64_t m;
    if (shape[0] < 0 || shape[1] < 0 || shape[2] < 0) return false;
    return !__builtin_mul_overflow(shape[0], shape[1], &m) && !__builtin_mul_overflow(m, shape[2], &m) &&
           m == n;
}

int64_t clm_order_index(const int64_t shape[3], int64_t k) {
    int64_t lo[3] = {0}, n[3] = {shape[0], shape[1], shape[2]};
    for (;;) {
        int d = n[2] >= n[1] ? 2 : 1;
        if (n[0] > n[d]) d = 0;
        if (n[d] <= 1) break;
        int64_t half = (n[d] + 1) / 2, before = half * n[(d + 1) % 3] * n[(d + 2) % 3];
        if (k < before) {
            n[d] = half;
        } else {
            k -= before;
            lo[d] += half;
            n[d] -= half;
        }
    }
    return (lo[0] * shape[1] + lo[1]) * shape[2] + lo[2];
}
