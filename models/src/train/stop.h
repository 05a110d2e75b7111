#ifndef TRAIN_STOP_H
#define TRAIN_STOP_H
#include <stdbool.h>

/** SIGINT and SIGTERM ask for an orderly end; the second one ends the process at once. */
void train_stop_watch(void);
bool train_stopped(void);
/** 130 after SIGINT, 143 after SIGTERM. */
int train_stop_code(void);
#endif
