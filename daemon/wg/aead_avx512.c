#define WIDTH 16
#define SETS 2
#define NAME aead_avx512
#define TEXT "avx512"
#define PACKETS_MIN 2
#define SEAL_LEN_MAX 4096
#define OPEN_LEN_MAX 4096
#define POLY "wg/aead_poly44.inc"
#define ADD_LOW(c, a, b) ((longs)_mm512_madd52lo_epu64((__m512i)(c), (__m512i)(a), (__m512i)(b)))
#define ADD_HIGH(c, a, b) ((longs)_mm512_madd52hi_epu64((__m512i)(c), (__m512i)(a), (__m512i)(b)))
#define LOAD_PART(text, len) ((longs)_mm512_maskz_loadu_epi8((1ull << (len)) - 1, text))
#include "wg/aead_lanes.inc"
