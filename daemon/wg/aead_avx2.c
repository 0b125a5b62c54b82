#define WIDTH 8
#define SETS 1
#define NAME aead_avx2
#define TEXT "avx2"
#define PACKETS_MIN 2
#define SEAL_LEN_MAX 512
#define OPEN_LEN_MAX 512
#define POLY "wg/aead_poly26.inc"
#define MUL(a, b) ((longs)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#include "wg/aead_lanes.inc"
