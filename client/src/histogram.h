/** Times in buckets of less than 1 % width, so that memory does not grow with their number. */
#ifndef PRELU_CLIENT_HISTOGRAM_H
#define PRELU_CLIENT_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* 0..255 us exactly, then 128 buckets for each doubling, up to 38 hours. */
#define CLI_HISTOGRAM_BUCKETS 4096

/** All zero is empty. Times in seconds. */
typedef struct cli_histogram {
    uint64_t count;
    double sum;
    double max;
    uint64_t buckets[CLI_HISTOGRAM_BUCKETS];
} cli_histogram;

/** Negative times count as 0, longer ones than 38 hours as those. */
void cli_histogram_add(cli_histogram *h, double seconds);

/** @return the time that the share `q` (0..1) of all does not exceed: the upper end of its bucket,
 *  at most the longest time; 0 if empty. */
double cli_histogram_quantile(const cli_histogram *h, double q);

/** @return the mean, exact; 0 if empty. */
double cli_histogram_mean(const cli_histogram *h);

#endif
