/* Added to musl for static programs, by xtask/src/musl.rs. */

#include <stddef.h>
#include <stdint.h>

typedef uint64_t word __attribute__((aligned(1), may_alias));

/* musl compares byte by byte. The client compares every message that it decodes with its canonical form: with this, `print` of
   100 MB takes two thirds of the processor time. */
int memcmp(const void *left, const void *right, size_t size)
{
    const unsigned char *l = left, *r = right;
    for (; size >= sizeof(word) && *(const word *)l == *(const word *)r; size -= sizeof(word))
        l += sizeof(word), r += sizeof(word);
    for (; size && *l == *r; size--)
        l++, r++;
    return size ? *l - *r : 0;
}

/* std prints stacks by these two functions of the compiler's library for unwinding. A stack without unwind tables has no
   frames that they could find: 5 is "end of stack". */
int _Unwind_Backtrace(void *trace, void *argument)
{
    (void)trace, (void)argument;
    return 5;
}

uintptr_t _Unwind_GetIP(void *context)
{
    (void)context;
    return 0;
}
