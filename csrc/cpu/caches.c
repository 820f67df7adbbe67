/* caches.c: finds how large the caches of this machine's cores are. */
#include "internal.h"

#include <unistd.h>

static hdl_caches found = {32 << 10, 1 << 20}; /* what most servers have, where the system does not tell */

static size_t within(size_t least, size_t bytes, size_t most) {
  return bytes < least ? least : bytes > most ? most : bytes;
}

/* Beyond these limits a block costs more than it saves. */
void hdl_set_caches(size_t l1, size_t l2) {
  if (l1) found.l1 = within(16 << 10, l1, 128 << 10);
  if (l2) found.l2 = within(256 << 10, l2, 4 << 20);
}

hdl_caches hdl_find_caches(void) { return found; }

/* Asks the C library, which reads CPUID. */
#if defined(_SC_LEVEL1_DCACHE_SIZE)
__attribute__((constructor)) static void ask(void) {
  long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  hdl_set_caches(l1 > 0 ? (size_t)l1 : 0, l2 > 0 ? (size_t)l2 : 0);
}
#endif
