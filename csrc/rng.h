/* rng.h: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the same stream on every
 * device. A number is a function of (key, counter): nothing is remembered, so results do not depend on who draws them.
 *
 * Stream (seed, a, b, c): block j = philox(counter = {j, a, b, c}, key = seed), j < 2^32, of four words each.
 * Dropout: key = first two words of block 0 of stream (seed, round, shard, HDL_RNG_DROPOUT); then
 *   layer l (0 = the inputs), step s, row r of the mini-batch, n units: blocks j < HDL_DROP_BLOCKS(n), counter
 *   {j, r, s, l}. Unit u uses block u % HDL_DROP_BLOCKS(n) and, with q = u / HDL_DROP_BLOCKS(n) < 8, the 16-bit half
 *   q % 2 (0 = low) of word q / 2. It is dropped where that half is below round(65536 p).
 *   So neighbouring units sit in neighbouring counters, and vectors of any width need no shuffles.
 * RBM: the same with streams HDL_RNG_GIBBS (samples) and HDL_RNG_CHAINS (persistent chains), row r the sample's number
 * in the mini-batch or the chain's, and blocks j < HDL_DRAW_BLOCKS(n) with counter {j, r, s, 2t} for the hidden units
 * of Gibbs step t, {j, r, s, 2t + 1} for the visible ones. Unit u uses word u / HDL_DRAW_BLOCKS(n) of block u %
 * HDL_DRAW_BLOCKS(n), as the uniform number (word / 512 + 1/2) / 2^23, exact in float32 and never 0 or 1.
 */
#ifndef HDL_RNG_H
#define HDL_RNG_H

#include <stdint.h>

#ifdef __CUDACC__
#define HDL_ANYWHERE __host__ __device__
#else
#define HDL_ANYWHERE
#endif
#define HDL_PHILOX_M0 0xD2511F53u
#define HDL_PHILOX_M1 0xCD9E8D57u
#define HDL_PHILOX_W0 0x9E3779B9u
#define HDL_PHILOX_W1 0xBB67AE85u
#define HDL_RNG_DROPOUT 0x64726f70u                     /* "drop" */
#define HDL_RNG_GIBBS 0x67696262u                       /* "gibb" */
#define HDL_RNG_CHAINS 0x63686169u                      /* "chai" */
#define HDL_DRAW_BLOCKS(n) ((((n) + 3) / 4 + 15) & ~15) /* a multiple of 16 */
#define HDL_DROP_BLOCKS(n) ((((n) + 7) / 8 + 15) & ~15) /* a multiple of 16 */

/* counter [4] in, words [4] out, in place */
static inline HDL_ANYWHERE void hdl_philox(uint32_t x[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)HDL_PHILOX_M0 * x[0], p1 = (uint64_t)HDL_PHILOX_M1 * x[2];
    uint32_t y0 = (uint32_t)(p1 >> 32) ^ x[1] ^ k0, y2 = (uint32_t)(p0 >> 32) ^ x[3] ^ k1;
    x[0] = y0, x[1] = (uint32_t)p1, x[2] = y2, x[3] = (uint32_t)p0;
    k0 += HDL_PHILOX_W0, k1 += HDL_PHILOX_W1;
  }
}
#endif
