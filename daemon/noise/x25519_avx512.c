#define LANES 8
#define NAME x25519_avx512
#define TEXT "avx512"
#define WORTH X25519_ANY_POINT
#define FIELD "noise/x25519_field51.inc"
#define ADD_LOW(c, a, b) ((longs)_mm512_madd52lo_epu64((__m512i)(c), (__m512i)(a), (__m512i)(b)))
#define ADD_HIGH(c, a, b) ((longs)_mm512_madd52hi_epu64((__m512i)(c), (__m512i)(a), (__m512i)(b)))
#define TIMES(a, n) ((longs)_mm512_mullo_epi64((__m512i)(a), _mm512_set1_epi64(n)))
#include "noise/x25519_lanes.inc"
