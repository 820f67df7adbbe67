/* Puts SciPy's OpenBLAS under PyTorch: its symbols carry a prefix, PyTorch asks for the plain names. Loaded by
 * LD_PRELOAD. */
typedef const char *text;
typedef const int *integer;
typedef const float *real;

void scipy_sgemm_(text, text, integer, integer, integer, real, real, integer, real, integer, real, float *, integer);
void scipy_sgemv_(text, integer, integer, real, real, integer, real, integer, real, float *, integer);

void sgemm_(text ta, text tb, integer m, integer n, integer k, real alpha, real a, integer lda, real b, integer ldb,
            real beta, float *c, integer ldc) {
  scipy_sgemm_(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void sgemv_(text trans, integer m, integer n, real alpha, real a, integer lda, real x, integer incx, real beta,
            float *y, integer incy) {
  scipy_sgemv_(trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
}
