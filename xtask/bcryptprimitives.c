/* Wine 8 has no bcryptprimitives.dll, which Rust's programs take their random numbers from. */
#include <windows.h>

BOOLEAN WINAPI SystemFunction036(PVOID, ULONG);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T len) {
    while (len) {
        ULONG part = len > 0x10000000 ? 0x10000000 : (ULONG)len;
        if (!SystemFunction036(data, part)) return FALSE;
        data += part;
        len -= part;
    }
    return TRUE;
}
