/* gemm.cuh: multiplies matrices by tiles, C [m, n] = A [m, k] B [k, n], each value passed to the epilogue in its
 * register.
 *
 * A warp holds its part of C as fragments of mma.m16n8k8: lane 4g + t has rows g and g + 8, columns 2t and 2t + 1 of
 * each [16, 8]. In float32 the same lanes own the same values and add up products themselves. Sums go along k in one
 * order, whatever the tile, so float32 gives the same bits with every tile.
 */
#ifndef HDL_GEMM_CUH
#define HDL_GEMM_CUH

#include "epilogue.cuh"
#include "staging.cuh"

namespace hdl {

/* c [MT*16, NT*8] += a(m, k) b(k, n), k < depth (a multiple of 16, or of 1 in float32) */
template <int P, int MT, int NT, class FA, class FB>
static __device__ __forceinline__ void multiply(const FA &a, const FB &b, int depth, float (&c)[MT][NT][4]) {
  int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  if (P == HDL_FLOAT32) {
#pragma unroll 4
    for (int k = 0; k < depth; k++) {
      float x[MT][2], y[NT][2];
#pragma unroll
      for (int i = 0; i < MT; i++) x[i][0] = a(i * 16 + g, k), x[i][1] = a(i * 16 + g + 8, k);
#pragma unroll
      for (int j = 0; j < NT; j++) y[j][0] = b(k, j * 8 + 2 * t), y[j][1] = b(k, j * 8 + 2 * t + 1);
#pragma unroll
      for (int i = 0; i < MT; i++)
#pragma unroll
        for (int j = 0; j < NT; j++)
#pragma unroll
          for (int e = 0; e < 4; e++) c[i][j][e] = fmaf(x[i][e >> 1], y[j][e & 1], c[i][j][e]);
    }
    return;
  }
  const int wide = P == HDL_TF32 ? 8 : 16;
  __syncwarp(); /* lanes may have come here one after the other; mma.aligned takes them together */
  for (int k = 0; k < depth; k += wide) {
    uint32_t x[MT][4], y[NT][2];
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int m = i * 16 + g + 8 * (e & 1);
        if (P == HDL_TF32)
          x[i][e] = tf32(a(m, k + t + 4 * (e >> 1)));
        else
          x[i][e] = bf16(a(m, k + 2 * t + 8 * (e >> 1)), a(m, k + 2 * t + 8 * (e >> 1) + 1));
      }
#pragma unroll
    for (int j = 0; j < NT; j++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        int n = j * 8 + g;
        if (P == HDL_TF32)
          y[j][e] = tf32(b(k + t + 4 * e, n));
        else
          y[j][e] = bf16(b(k + 2 * t + 8 * e, n), b(k + 2 * t + 8 * e + 1, n));
      }
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
      for (int j = 0; j < NT; j++)
        if (P == HDL_TF32)
          mma_tf32(c[i][j], x[i], y[j]);
        else
          mma_bf16(c[i][j], x[i], y[j]);
  }
}

/* Stores a lane's values of one fragment [16, 8] at (m0, n0). */
static __device__ __noinline__ void store_fragment(const minibatch &mb, const hdl_op &op, int m0, int n0, float4 c) {
  epilogue out(mb, op);
  int lane = threadIdx.x & 31, i = m0 + (lane >> 2), j = n0 + 2 * (lane & 3);
  out(i, j, c.x), out(i, j + 1, c.y), out(i + 8, j, c.z), out(i + 8, j + 1, c.w);
}

/* Stores a block's tile [size, size] that lies in shared memory [size, size + 4], row by row, so that a warp's values
 * go to neighbouring addresses. One copy of this for all tiles: unrolled in registers it took the compiler hours. */
static __device__ __noinline__ void store_tile(const minibatch &mb, const hdl_op &op, int m0, int n0, int size,
                                               const float *c) {
  epilogue out(mb, op);
  int j = threadIdx.x & (size - 1), rows = HDL_CUDA_THREADS / size;
  for (int i = threadIdx.x / size; i < size; i += rows) out(m0 + i, n0 + j, c[i * (size + 4) + j]);
}

/* Computes a warp's tile [16, 8] straight from where the factors lie: for nets that fit into shared memory or the L1
 * cache. */
template <int P, int KIND>
static __device__ __noinline__ void warp_product(const minibatch &mb, const hdl_op &op, int tile) {
  const float *a = mb.locate(op.a), *b = mb.locate(op.b);
  int m = mb.extent(op.m), n = mb.extent(op.n), k = mb.extent(op.k) + op.extra_k, across = (n + 7) / 8;
  int m0 = tile / across * 16, n0 = tile % across * 8, lda = op.a.ld, ldb = op.b.ld;
  float c[1][1][4] = {};
  /* Rows and columns outside are the last ones again, and never stored; along k they are zero. */
  auto at_a = [=](int i, int kk) {
    int row = min(m0 + i, m - 1);
    return kk < k ? a[KIND == HDL_OP_TN ? (int64_t)kk * lda + row : (int64_t)row * lda + kk] : 0.f;
  };
  auto at_b = [=](int kk, int j) {
    int column = min(n0 + j, n - 1);
    return kk < k ? b[KIND == HDL_OP_NT ? (int64_t)column * ldb + kk : (int64_t)kk * ldb + column] : 0.f;
  };
  multiply<P, 1, 1>(at_a, at_b, P == HDL_FLOAT32 ? k : (k + 15) & ~15, c);
  store_fragment(mb, op, m0, n0, make_float4(c[0][0][0], c[0][0][1], c[0][0][2], c[0][0][3]));
}

/* Copies to [ROWS, ld] = from [rows, columns] of ld `from_ld`, zero beyond; asynchronous, by all threads of the block
 */
template <int ROWS, int COLUMNS>
static __device__ __forceinline__ void load(float *to, int ld, const float *from, int64_t from_ld, int rows,
                                            int columns) {
  bool aligned = (((uintptr_t)from | (uintptr_t)(from_ld * 4)) & 15) == 0;
  if (aligned) {
    for (int i = threadIdx.x; i < ROWS * COLUMNS / 4; i += HDL_CUDA_THREADS) {
      int r = i / (COLUMNS / 4), q = i % (COLUMNS / 4) * 4, n = r < rows ? min(max(columns - q, 0), 4) : 0;
      copy4(to + r * ld + q, n ? from + r * from_ld + q : from, n);
    }
  } else {
    for (int i = threadIdx.x; i < ROWS * COLUMNS; i += HDL_CUDA_THREADS) {
      int r = i / COLUMNS, q = i % COLUMNS;
      bool real = r < rows && q < columns;
      copy1(to + r * ld + q, real ? from + r * from_ld + q : from, real);
    }
  }
}

/* Computes a block's tile [SIZE, SIZE]: 2 x 4 warps, slices of k through shared memory [STAGES, 2, FLOATS]. */
template <int P, int KIND, int SIZE>
static __device__ __noinline__ void block_product(const minibatch &mb, const hdl_op &op, int tile, float *shared) {
  typedef staging<SIZE> S;
  const int MT = SIZE / 32, NT = SIZE / 32;
  const float *a = mb.locate(op.a), *b = mb.locate(op.b);
  int m = mb.extent(op.m), n = mb.extent(op.n), k = mb.extent(op.k) + op.extra_k, across = (n + SIZE - 1) / SIZE;
  int m0 = tile / across * SIZE, n0 = tile % across * SIZE, slices = (k + DEPTH - 1) / DEPTH;
  int64_t lda = op.a.ld, ldb = op.b.ld;
  auto fetch = [&](int slice) {
    float *to_a = shared + slice % STAGES * 2 * S::FLOATS, *to_b = to_a + S::FLOATS;
    int k0 = slice * DEPTH;
    if (slice < slices) {
      if (KIND == HDL_OP_TN)
        load<DEPTH, SIZE>(to_a, S::ACROSS, a + k0 * lda + m0, lda, k - k0, m - m0);
      else
        load<SIZE, DEPTH>(to_a, S::ALONG, a + m0 * lda + k0, lda, m - m0, k - k0);
      if (KIND == HDL_OP_NT)
        load<SIZE, DEPTH>(to_b, S::ALONG, b + n0 * ldb + k0, ldb, n - n0, k - k0);
      else
        load<DEPTH, SIZE>(to_b, S::ACROSS, b + k0 * ldb + n0, ldb, k - k0, n - n0);
    }
    commit();
  };
  int warp = threadIdx.x / 32, wm = warp / 4 * (SIZE / 2), wn = warp % 4 * (SIZE / 4);
  float c[MT][NT][4] = {};
  for (int s = 0; s < STAGES - 1; s++) fetch(s);
  for (int s = 0; s < slices; s++) {
    wait<STAGES - 2>();
    __syncthreads(); /* slice s has landed, and slice s - 1, whose place is next, has been used */
    fetch(s + STAGES - 1);
    const float *sa = shared + s % STAGES * 2 * S::FLOATS, *sb = sa + S::FLOATS;
    auto at_a = [=](int i, int kk) {
      return KIND == HDL_OP_TN ? sa[kk * S::ACROSS + wm + i] : sa[(wm + i) * S::ALONG + kk];
    };
    auto at_b = [=](int kk, int j) {
      return KIND == HDL_OP_NT ? sb[(wn + j) * S::ALONG + kk] : sb[kk * S::ACROSS + wn + j];
    };
    multiply<P, MT, NT>(at_a, at_b, DEPTH, c);
  }
  wait<0>();
  __syncthreads(); /* what is in shared memory has been used */
  int lane = threadIdx.x & 31, i0 = wm + (lane >> 2), j0 = wn + 2 * (lane & 3);
#pragma unroll
  for (int i = 0; i < MT; i++)
#pragma unroll
    for (int j = 0; j < NT; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) shared[(i0 + i * 16 + 8 * (e >> 1)) * (SIZE + 4) + j0 + j * 8 + (e & 1)] = c[i][j][e];
  __syncthreads();
  store_tile(mb, op, m0, n0, SIZE, shared);
  __syncthreads(); /* the next tile may overwrite */
}

} // namespace hdl
#endif
