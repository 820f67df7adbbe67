/* decimal.h: reads a plain decimal number, correctly rounded: what Python's float() makes of the same text. */
#ifndef HDL_DECIMAL_H
#define HDL_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* decimal.c: the double next to m 10^exponent, of two the even one; false where the numbers here do not decide it */
bool hdl_round_decimal(uint64_t m, int64_t exponent, double *out);
/* decimal.c: the same of the whole text of a number, of any length; false if the text is none */
bool hdl_round_text(const char *first, const char *last, double *out);

/* Powers of ten that are exact in double, and in uint64 up to 10^8 */
static const double hdl_ten[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static const uint32_t hdl_ten_whole[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

static inline bool hdl_is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* Reads the digits at p to the number m before them, eight at a time: p < end, and end[-1] is no digit. What m does not
 * hold is lost: whoever asks counts the digits. How many of eight bytes are digits is computed, not tried, but for the
 * cases that come in rows: none behind eight or one. */
static inline const char *hdl_digits(const char *p, const char *end, uint64_t *m) {
  const uint64_t ones = 0x0101010101010101u;
  while (hdl_is_digit(*p)) {
    if (end - p < 8) {
      *m = *m * 10 + (uint64_t)(*p++ - '0');
      continue;
    }
    uint64_t eight;
    memcpy(&eight, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    eight = __builtin_bswap64(eight);
#endif
    eight ^= '0' * ones;                                                            /* digits become 0 to 9 */
    uint64_t other = (eight | ((eight & 0x7f * ones) + 0x76 * ones)) & 0x80 * ones; /* bit 7 of the bytes above 9 */
    int n = 8;
    if (other) n = __builtin_ctzll(other) >> 3, eight <<= 64 - 8 * n; /* low bytes come first: zeros before them */
    eight = eight * 10 + (eight >> 8);
    eight = ((eight & 0x000000ff000000ffu) * (100 + (1000000ull << 32)) +
             (eight >> 16 & 0x000000ff000000ffu) * (1 + (10000ull << 32))) >>
            32;
    *m = *m * hdl_ten_whole[n] + (uint32_t)eight;
    p += n;
    if (other) break;
  }
  return p;
}

/* Counts the digits of a text from the first one that is not 0. */
static inline int64_t hdl_significant(const char *first, const char *last) {
  int64_t n = 0;
  for (; first < last && (*first == '0' || *first == '.'); first++) {
  }
  for (; first < last; first++) n += *first != '.';
  return n;
}

/* Reads a number at p, [+-]digits[.digits][e[+-]digits] with at least one digit before the exponent, and gives what
 * comes behind it; NULL where there is no such number. Of the text [p, end), the last byte is a newline. */
static inline const char *hdl_decimal(const char *p, const char *end, double *out) {
  bool minus = *p == '-';
  p += minus | (*p == '+');
  const char *mantissa = p;
  uint64_t m = 0;
  if (hdl_is_digit(*p)) m = (uint64_t)(*p++ - '0');
  if (hdl_is_digit(*p)) p = hdl_digits(p, end, &m);
  int64_t digits = p - mantissa, exponent = 0;
  if (*p == '.') {
    const char *point = ++p;
    p = hdl_digits(p, end, &m);
    exponent = point - p;
    digits += p - point;
  }
  if (!digits) return NULL;
  const char *last = p;
  if ((*p | 32) == 'e') {
    bool small = *++p == '-';
    p += small || *p == '+';
    uint64_t e = 0;
    const char *begun = p;
    p = hdl_digits(p, end, &e);
    if (p == begun || p - begun > 6) return NULL;
    exponent += small ? -(int64_t)e : (int64_t)e;
  }
  double value;
  if (digits <= 19 || hdl_significant(mantissa, last) <= 19) {
    /* Both are exact, so that their quotient or product is rounded once (Clinger 1990). */
    if (m <= 1ull << 53 && exponent >= -22 && exponent <= 22)
      value = exponent < 0 ? (double)m / hdl_ten[-exponent] : (double)m * hdl_ten[exponent];
    else if (!hdl_round_decimal(m, exponent, &value) && !hdl_round_text(mantissa, p, &value))
      return NULL;
  } else if (!hdl_round_text(mantissa, p, &value))
    return NULL;
  *out = minus ? -value : value;
  return p;
}

#endif
