/* bcryptprimitives.dll for wine 8, which does not have it. Rust's standard library imports ProcessPrng from it, so without
 * it no Rust program starts. For tests only; Windows has its own. */
#include <windows.h>

/* Exported by advapi32 under this name; headers call it RtlGenRandom. */
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    return length <= 0xffffffff && SystemFunction036(data, (ULONG)length);
}
