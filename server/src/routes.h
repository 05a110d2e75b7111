#ifndef SRV_ROUTES_H
#define SRV_ROUTES_H
#include "app.h"

/** Which path and method leads where. One gate before all of them. */

/** The handler of http.h, with `app` as its context. */
srv_handler srv_routes_handler(srv_side *side);
/** Templates, for labels of metrics and logs. @return how many. */
int srv_routes_names(const char *const **names);
#endif
