/* Messages: whatever is accepted packs again, into bytes that are accepted and pack the same. */
#include "collimate/cluster/wire.h"
#include "support/fuzz.h"

#include <math.h>
#include <string.h>

size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    clm_msg m = {.kind = (clm_msg_kind)(k + 1),
                 .slots = 4,
                 .host = 2,
                 .stage = 3,
                 .count = 123456789012,
                 .seconds = 1.5,
                 .task = {.stage = 3, .attempt = 1, .index = 77}};
    if (k + 1 >= CLM_MSG_KIND_COUNT) return 0;
    (void)clm_fail(&m.err, CLM_E_WRITE, "s0/c/3/0/7: No space left on device");
    m.outcome = (clm_outcome){.task = m.task, .err = m.err, .seconds = 2.25, .peak_bytes = 1e9, .rank = 5};
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) m.outcome.figure[i] = i % 3 ? (double)i : NAN;
    unsigned char whole[CLM_MESSAGE_MAX];
    size_t n = clm_wire_pack(&m, whole);
    FUZZ_ASSERT(n <= cap);
    memcpy(buf, whole, n);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    clm_err err = CLM_ERR_NONE;
    clm_msg m;
    if (!clm_wire_unpack(data, size, &m, &err)) {
        FUZZ_ASSERT(err.code == CLM_E_FORMAT && m.kind == 0);
        return 0;
    }
    FUZZ_ASSERT(m.kind > 0 && m.kind < CLM_MSG_KIND_COUNT);
    FUZZ_ASSERT(memchr(m.err.text, 0, sizeof m.err.text) && memchr(m.err.where, 0, sizeof m.err.where));
    FUZZ_ASSERT(m.err.code < CLM_CODE_COUNT && m.outcome.err.code < CLM_CODE_COUNT);
    unsigned char once[CLM_MESSAGE_MAX], again[CLM_MESSAGE_MAX];
    size_t n = clm_wire_pack(&m, once);
    FUZZ_ASSERT(clm_wire_unpack(once, n, &m, &err));
    FUZZ_ASSERT(clm_wire_pack(&m, again) == n && memcmp(once, again, n) == 0);
    return 0;
}
