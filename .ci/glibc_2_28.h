/* Included before every C file of a manylinux wheel (gcc -include): binds the functions that got a newer version in glibc
   after 2.28 to the first one, so that what is built on a new Linux also loads on an old one. The functions are the same:
   pow@2.29 only reports errors otherwise, the threads moved from libpthread into libc. auditwheel tells what is missing
   here. */
#if defined __x86_64__
#define HDL_FIRST_GLIBC "GLIBC_2.2.5"
#elif defined __aarch64__
#define HDL_FIRST_GLIBC "GLIBC_2.17"
#else
#error "the first glibc of this processor is not named here"
#endif
__asm__(".symver pow, pow@" HDL_FIRST_GLIBC);
__asm__(".symver pthread_create, pthread_create@" HDL_FIRST_GLIBC);
__asm__(".symver pthread_join, pthread_join@" HDL_FIRST_GLIBC);
__asm__(".symver pthread_once, pthread_once@" HDL_FIRST_GLIBC);
