#ifndef SRV_NOTIFY_H
#define SRV_NOTIFY_H
#include <stdint.h>

/** What a service manager that started this process is told: sd_notify(3), without its library. */

/** Send `state`, such as "READY=1", to the socket that NOTIFY_SOCKET names; nothing without it. */
void srv_notify(const char *state);

/** @return nanoseconds after which "WATCHDOG=1" is due again (half of what WATCHDOG_USEC allows),
 * or -1: nobody watches. */
int64_t srv_notify_interval(void);
#endif
