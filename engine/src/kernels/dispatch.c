#include "kernels/kernels.h"
#include <pthread.h>

void krn_table_init(krn_table *t, unsigned isa)
{
    *t = (krn_table){.isa = isa};
#define KERNEL(slot, need, fn)                                                                     \
    if ((isa & (need)) == (need))                                                                  \
        t->slot = &fn;
#include "kernels/kernels.inc"
#undef KERNEL
}

static krn_table process_table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_once(void) { krn_table_init(&process_table, krn_cpu_isa()); }

const krn_table *krn_table_get(void)
{
    pthread_once(&once, init_once);
    return &process_table;
}
