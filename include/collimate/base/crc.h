/* CRC-32C (Castagnoli), as Zarr's crc32c codec, the journal and spills use it. */
#ifndef CLM_BASE_CRC_H
#define CLM_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/** Continue `crc` (0 to begin) over n bytes. */
uint32_t clm_crc32c(uint32_t crc, const void *bytes, size_t n);
/** The same without the processor's instruction: what the other does where there is none. */
uint32_t clm_crc32c_portable(uint32_t crc, const void *bytes, size_t n);

/** 64-bit FNV-1a, for plan hashes (not for integrity). Begin with CLM_HASH_BEGIN. */
#define CLM_HASH_BEGIN 0xcbf29ce484222325u
uint64_t clm_hash64(uint64_t hash, const void *bytes, size_t n);

#endif
