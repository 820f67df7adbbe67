/* staging.cuh: sizes the shared memory through which a block's factors pass. */
#ifndef HDL_STAGING_CUH
#define HDL_STAGING_CUH

namespace hdl {

enum { DEPTH = 32, STAGES = 3 }; /* of k in shared memory at a time, and how many such slices are under way */

/* Factors of a block's tile [SIZE, SIZE] in shared memory: rows along k are 4 floats longer than DEPTH, columns along k
 * 8 longer than SIZE, so that the lanes of a fragment read from 32 banks. */
template <int SIZE> struct staging {
  enum { ALONG = DEPTH + 4, ACROSS = SIZE + 8, FLOATS = SIZE * ALONG > DEPTH *ACROSS ? SIZE * ALONG : DEPTH * ACROSS };
};

} // namespace hdl
#endif
