/* Bytes and their text forms: what is not exactly right is refused, and nothing is written then. */
#include "base/bytes.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

TEST(a_cursor_that_went_bad_stays_bad)
{
    const uint8_t b[] = {1, 2, 3, 4, 5};
    struct cursor c = cursor_of(b, sizeof(b));

    assert_ptr_equal(cursor_take(&c, 2), b);
    assert_ptr_equal(cursor_take(&c, 0), b + 2);
    assert_int_equal(cursor_left(&c), 3);
    assert_null(cursor_take(&c, 4));
    assert_false(cursor_ok(&c));
    assert_null(cursor_take(&c, 1)); /* though it is there */
    assert_null(cursor_take(&c, SIZE_MAX));
    struct cursor all = cursor_of(b, sizeof(b));
    assert_non_null(cursor_take(&all, 5));
    assert_true(cursor_ok(&all) && cursor_left(&all) == 0);
    assert_null(cursor_take(&all, 1));
}

TEST(numbers_are_stored_in_the_order_their_name_says)
{
    const uint8_t up[] = {1, 2, 3, 4, 5, 6, 7, 0xf8};
    uint8_t b[8];

    assert_int_equal(load_be16(up), 0x0102);
    assert_int_equal(load_be32(up), 0x01020304);
    assert_true(load_be64(up) == 0x01020304050607f8);
    assert_int_equal(load_le32(up + 4), 0xf8070605);
    assert_true(load_le64(up) == 0xf807060504030201);
    store_be16(b, 0xf102);
    assert_memory_equal(b, ((uint8_t[]){0xf1, 2}), 2);
    store_be32(b, 0xf1020304);
    assert_memory_equal(b, ((uint8_t[]){0xf1, 2, 3, 4}), 4);
    store_be64(b, 0x01020304050607f8);
    assert_memory_equal(b, up, 8);
    store_le32(b, 0xf4030201);
    assert_memory_equal(b, ((uint8_t[]){1, 2, 3, 0xf4}), 4);
    store_le64(b, 0xf807060504030201);
    assert_memory_equal(b, up, 8);
}

TEST(hex_is_taken_whole_or_not_at_all)
{
    uint8_t b[3] = {9, 9, 9};
    char text[7];

    assert_true(hex_decode("00fFa5", 6, b, 3));
    assert_memory_equal(b, ((uint8_t[]){0, 0xff, 0xa5}), 3);
    hex_encode(b, 3, text);
    assert_string_equal(text, "00ffa5");
    static const char *const bad[] = {"00ff5",  "00ffa5 ",   "0 0ffa", "00:ffa",
                                      "00ffag", "00ffa\xb5", "00ff@5", "00ff`5",
                                      "00ff/5", "00ffa5b6",  ""};
    memset(b, 9, 3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(hex_decode(bad[i], strlen(bad[i]), b, 3));
    assert_false(hex_decode("00ffa5", 6, b, SIZE_MAX / 2 + 4)); /* 2*len is 6 again */
    assert_memory_equal(b, ((uint8_t[]){9, 9, 9}), 3);
    assert_true(hex_decode("", 0, b, 0));
}

TEST(a_key_has_one_text_form)
{
    uint8_t key[32], again[32], untouched[32];
    char text[KEY_TEXT_LEN + 1], other[KEY_TEXT_LEN + 8];
    const struct rng *r = test_rng(11);

    for (unsigned i = 0; i < 200; i++) {
        rng_fill(r, key, sizeof(key));
        key_to_base64(key, text);
        assert_int_equal(strlen(text), KEY_TEXT_LEN);
        assert_true(key_from_base64(text, again));
        assert_memory_equal(key, again, 32);
    }
    memset(untouched, 7, 32);
    memset(again, 7, 32);
    /* The 43rd digit has two bits that a key does not fill: only zeros are its form. */
    memset(key, 0, 32);
    key_to_base64(key, text);
    strcpy(other, text);
    other[42] = 'B';
    assert_false(key_from_base64(other, again));
    for (unsigned i = 0; i < KEY_TEXT_LEN; i++)
        for (unsigned k = 0; k < 6; k++) {
            strcpy(other, text);
            other[i] = "-_ =\n\xc1"[k];
            if (strcmp(other, text) != 0)
                assert_false(key_from_base64(other, again));
        }
    snprintf(other, sizeof(other), "%s=", text);
    assert_false(key_from_base64(other, again));
    snprintf(other, sizeof(other), " %s", text);
    assert_false(key_from_base64(other, again));
    text[KEY_TEXT_LEN - 1] = 0;
    assert_false(key_from_base64(text, again));
    assert_false(key_from_base64("", again));
    assert_memory_equal(again, untouched, 32);
}

TEST(a_number_is_decimal_digits_in_its_range)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "1e2",
                                      "18446744073709551616",
                                      "18446744073709551620",
                                      "99999999999999999999",
                                      "1\n"};
    uint64_t v = 5;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parse_u64(bad[i], 0, UINT64_MAX, &v));
    assert_false(parse_u64("9", 10, 20, &v));
    assert_false(parse_u64("21", 10, 20, &v));
    assert_int_equal(v, 5);
    assert_true(parse_u64("10", 10, 20, &v) && v == 10);
    assert_true(parse_u64("20", 10, 20, &v) && v == 20);
    assert_true(parse_u64("007", 0, 9, &v) && v == 7);
    assert_true(parse_u64("18446744073709551615", 0, UINT64_MAX, &v) && v == UINT64_MAX);
}

TEST_MAIN(T(a_cursor_that_went_bad_stays_bad), T(numbers_are_stored_in_the_order_their_name_says),
          T(hex_is_taken_whole_or_not_at_all), T(a_key_has_one_text_form),
          T(a_number_is_decimal_digits_in_its_range))
