#define WIDTH 8
#define SETS 1
#define NAME aead_avx2
#define TEXT "avx2"
#define PACKETS_MIN 2
#define SEAL_LEN_MAX 512
#define OPEN_LEN_MAX 512
#define POLY "wg/aead_poly26.inc"
#define MUL(a, b) ((longs)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
/* AVX2 has no rotation, but moves bytes: byte k of each word comes from byte k - n. */
#define FROM(word, k, n) ((word)*4 + ((k) + 4 - (n)) % 4)
#define FROMS(word, n) FROM(word, 0, n), FROM(word, 1, n), FROM(word, 2, n), FROM(word, 3, n)
#define ROTATE_BYTES(x, n)                                                                         \
    ((words)_mm256_shuffle_epi8(                                                                   \
        (__m256i)(x), _mm256_setr_epi8(FROMS(0, n), FROMS(1, n), FROMS(2, n), FROMS(3, n),         \
                                       FROMS(0, n), FROMS(1, n), FROMS(2, n), FROMS(3, n))))
#include "wg/aead_lanes.inc"
