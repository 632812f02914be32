/* JSON texts: whatever is accepted prints, and what is printed reads back as the same. */
#include "collimate/base/json.h"
#include "collimate/base/text.h"
#include "support/fuzz.h"

#include <string.h>

size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    static const char *const seeds[] = {
        ("{\"zarr_format\": 3, \"node_type\": \"array\", \"shape\": [149, 241, 456], \"data_type\": \"uint16\",\n"
         " \"chunk_grid\": {\"name\": \"regular\", \"configuration\": {\"chunk_shape\": [64, 64, 64]}},\n"
         " \"fill_value\": 0, \"codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}]}\n"),
        ("{\"dimensions\":[456,241,149],\"dataType\":\"uint16\",\"blockSize\":[64,64,64],\"compression\":"
         "{\"type\":\"gzip\",\"level\":-1},\"pixelResolution\":{\"dimensions\":[1.84,1.84,1.68],\"unit\":\"um\"}}"),
        "[1, -2.5e-7, 1e308, 12345678901234567890, true, false, null, \"\\u00e9\\ud83d\\ude00\\n\\\"\\\\\", [], {}]",
        "[[[[[[[[[[[[[[[[[[[[{\"a\":{\"a\":{\"a\":{\"a\":[]}}}}]]]]]]]]]]]]]]]]]]]]",
        "{\"a\": 1, \"a\": 2, \"\": {\"\": \"\"}}"};
    if (k >= (int)(sizeof seeds / sizeof seeds[0])) return 0;
    size_t n = strlen(seeds[k]);
    FUZZ_ASSERT(n <= cap);
    memcpy(buf, seeds[k], n);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    clm_err err = CLM_ERR_NONE;
    clm_json *v = NULL, *w = NULL;
    if (!clm_json_parse(data, size, "fuzz", &v, &err)) {
        FUZZ_ASSERT(err.code == CLM_E_FORMAT && clm_text_begins(err.text, "fuzz:"));
        return 0;
    }
    clm_buf once = {0}, again = {0};
    FUZZ_ASSERT(clm_json_print(v, true, &once, &err));
    FUZZ_ASSERT(clm_json_parse(once.data, once.n, "fuzz", &w, &err));
    FUZZ_ASSERT(clm_json_print(w, true, &again, &err));
    FUZZ_ASSERT(once.n == again.n && memcmp(once.data, again.data, once.n) == 0);
    clm_json_free(v);
    clm_json_free(w);
    clm_buf_free(&once);
    clm_buf_free(&again);
    return 0;
}
