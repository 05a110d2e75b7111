#define _POSIX_C_SOURCE 200809L
#include "stop.h"
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t stop_signal;

static void on_signal(int number) { stop_signal = number; }

void train_stop_watch(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    a.sa_flags = SA_RESTART | (int)SA_RESETHAND;
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

bool train_stopped(void) { return stop_signal != 0; }

int train_stop_code(void) { return stop_signal == SIGTERM ? 143 : 130; }
