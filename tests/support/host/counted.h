// Counts the accesses of a kernel to two ranges of memory, by how many bytes each moves.
//
// Included before all else, where GCC compiles with -fsanitize=kernel-address and a call for every access: these are
// the functions it calls. Without optimisation, so that an access in the source is one here.
#pragma once

#define NOT_COUNTED __attribute__((no_sanitize("kernel-address")))

struct Counted {
  unsigned long begin, end;         // what is watched
  unsigned long accesses[17] = {};  // by their bytes, those of no fixed size at 0
};

extern "C" {
Counted loads, stores;

NOT_COUNTED void count(Counted& counted, unsigned long at, unsigned long bytes) {
  if (counted.begin <= at && at < counted.end) ++counted.accesses[bytes <= 16 ? bytes : 0];
}

#define ACCESS(bytes)                                                                          \
  NOT_COUNTED void __asan_load##bytes##_noabort(unsigned long at) { count(loads, at, bytes); } \
  NOT_COUNTED void __asan_store##bytes##_noabort(unsigned long at) { count(stores, at, bytes); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
NOT_COUNTED void __asan_loadN_noabort(unsigned long at, unsigned long bytes) { count(loads, at, bytes); }
NOT_COUNTED void __asan_storeN_noabort(unsigned long at, unsigned long bytes) { count(stores, at, bytes); }

void __asan_before_dynamic_init(const char*) {}
void __asan_after_dynamic_init() {}
void __asan_handle_no_return() {}
}
