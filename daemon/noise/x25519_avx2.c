#define LANES 4
#define NAME x25519_avx2
#define TEXT "avx2"
#define WORTH (2 * X25519_ANY_POINT)
#define FIELD "noise/x25519_field25.inc"
#define PRODUCT(a, b) ((longs)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#include "noise/x25519_lanes.inc"
