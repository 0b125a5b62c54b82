#define WIDTH 16
#define NAME aead_avx512
#define TEXT "avx512"
#define PACKETS_MIN 3
#define SEAL_LEN_MAX 4096
#define OPEN_LEN_MAX 4096
#define MUL(a, b) ((longs)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#include "wg/aead_lanes.inc"
