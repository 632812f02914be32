#include "../../../src/align/panels.h"
#include "collimate/base/rng.h"
#include "support/near.h"

enum { DIM = 4913 };

/* words, and bytes where this processor has them, against products one by one; extremes among the values */
static void all_kernels_are_exact(void **state) {
    (void)state;
    static int16_t a[CLM_PANEL * DIM], b[CLM_PANEL * DIM];
    static uint8_t raised[CLM_PANEL * DIM];
    static int8_t bytes[CLM_PANEL * DIM];
    static const int32_t dims[] = {0, 1, 32, 63, 416, 1000, DIM};
    for (int32_t i = 0; i < CLM_PANEL * DIM; i++) {
        a[i] = (int16_t)(i % 5 == 0 ? -128 : clm_rng_below(3, 1, (uint64_t)i, 256) - 128);
        b[i] = (int16_t)(i % 7 == 0 ? 127 : clm_rng_below(3, 2, (uint64_t)i, 256) - 128);
        raised[i] = (uint8_t)(a[i] + CLM_PANEL_OFFSET);
        bytes[i] = (int8_t)b[i];
    }
    for (size_t n = 0; n < sizeof dims / sizeof *dims; n++) {
        int32_t dim = dims[n], word[CLM_PANEL][CLM_PANEL], byte[CLM_PANEL][CLM_PANEL];
        clm_panel_words(a, b, dim, word);
        if (clm_panel_has_bytes()) clm_panel_bytes(raised, bytes, dim, byte);
        for (int i = 0; i < CLM_PANEL; i++)
            for (int j = 0; j < CLM_PANEL; j++) {
                int32_t want = 0, over = 0;
                for (int32_t k = 0; k < dim; k++) {
                    want += a[i * dim + k] * b[j * dim + k];
                    over += CLM_PANEL_OFFSET * b[j * dim + k];
                }
                assert_int_equal(word[i][j], want);
                if (clm_panel_has_bytes()) assert_int_equal(byte[i][j], want + over);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_kernels_are_exact)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
