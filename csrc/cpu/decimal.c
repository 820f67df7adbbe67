/* decimal.c: rounds decimal numbers to double where that takes more than one operation: by products with powers of five
 * of 128 bits (Lemire 2021, "Number parsing at a gigabyte per second", doi.org/10.1002/spe.2984), and by the C library
 * where these do not decide. */
#define _GNU_SOURCE
#include "decimal.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

typedef unsigned __int128 uint128;

enum {
  SMALLEST = -342, /* 2^64 10^-343 is less than half of the smallest double */
  LARGEST = 308,   /* 10^309 is infinite */
  WORDS = 32       /* of 32 bits: 5^308 takes 716 bits, and 5^342 795, beyond which there are 128 */
};

static struct {
  uint64_t high, low;
} five[LARGEST - SMALLEST + 1]; /* the first 128 bits of 5^n; of 1/5^n up to 27 rounded up, so that no tie is missed */
static locale_t plain;

/* Gives the first 128 bits of a whole number, whose words begin with the lowest. */
static uint128 leading(const uint32_t *word) {
  int top = WORDS - 1;
  while (!word[top]) top--;
  uint128 bits = 0;
  for (int i = 0; i < 4; i++) bits = bits << 32 | (top >= i ? word[top - i] : 0);
  int zeros = __builtin_clz(word[top]);
  return zeros ? bits << zeros | (top >= 4 ? word[top - 4] >> (32 - zeros) : 0) : bits;
}

static void keep(int n, uint128 bits) {
  five[n - SMALLEST].high = (uint64_t)(bits >> 64), five[n - SMALLEST].low = (uint64_t)bits;
}

static void begin(void) {
  uint32_t word[WORDS] = {1};
  for (int n = 0; n <= LARGEST; n++) {
    keep(n, leading(word));
    uint64_t carry = 0;
    for (int i = 0; i < WORDS; i++) carry += 5ull * word[i], word[i] = (uint32_t)carry, carry >>= 32;
  }
  memset(word, 0, sizeof word);
  word[WORDS - 1] = 1u << 31; /* a power of two so large that a quotient's first 128 bits are those of 1/5^n */
  for (int n = -1; n >= SMALLEST; n--) {
    uint64_t left = 0; /* dividing by 5 again and again, each time rounded down, is dividing by 5^n rounded down */
    for (int i = WORDS - 1; i >= 0; i--) {
      left = left << 32 | word[i];
      word[i] = (uint32_t)(left / 5), left %= 5;
    }
    keep(n, leading(word) + (n >= -27));
  }
  plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static void ready(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, begin);
}

bool hdl_round_decimal(uint64_t m, int64_t exponent, double *out) {
  *out = 0;
  if (!m || exponent < SMALLEST) return true;
  if (exponent > LARGEST) return false;
  ready();
  int n = (int)exponent, zeros = __builtin_clzll(m);
  m <<= zeros;
  uint128 product = (uint128)m * five[n - SMALLEST].high;
  /* Below the 55 bits that are looked at, and the one that may be lost by the shift: if these are ones, what the lower
   * half of the power adds may carry into them. */
  if ((product >> 64 & 0x1ff) == 0x1ff) product += (uint128)m * five[n - SMALLEST].low >> 64;
  uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
  if (low == UINT64_MAX && (n < -27 || n > 55)) return false;
  int upper = (int)(high >> 63), shift = upper + 9;
  uint64_t bits = high >> shift;                                /* 53, and one to round by */
  int power = ((217706 * n) >> 16) + 63 + upper - zeros + 1023; /* 217706 / 2^16 is log2(10), as far as it matters */
  if (power <= 0) {                                             /* below the smallest normal number */
    if (power <= -63) return true;
    bits >>= 1 - power;
    bits = (bits + (bits & 1)) >> 1;
    memcpy(out, &bits, sizeof bits); /* 2^52, if it was rounded up so far, is the smallest normal number's form */
    return true;
  }
  /* In the middle between two doubles: the even one. Only so small powers of five can be divided without a rest. */
  if (low <= 1 && n >= -4 && n <= 23 && (bits & 3) == 1 && bits << shift == high) bits &= ~1ull;
  bits = (bits + (bits & 1)) >> 1;
  if (bits >> 53) bits >>= 1, power++;
  if (power >= 2047) return false;
  bits = (bits & ~(1ull << 52)) | (uint64_t)power << 52;
  memcpy(out, &bits, sizeof bits);
  return true;
}

bool hdl_round_text(const char *first, const char *last, double *out) {
  ready();
  if (!plain) return false;
  char *end;
  *out = strtod_l(first, &end, plain);
  return end == last;
}
