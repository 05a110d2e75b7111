#ifndef SRV_RELOAD_H
#define SRV_RELOAD_H
#include "app.h"

/** Models are loaded, tried and swapped by a thread of its own, one change after another, so that
 *  neither signals nor requests wait for it. */
typedef struct srv_reloader srv_reloader;

/** After the models were loaded. @param app  borrowed. */
PRELU_MUST_CHECK prelu_status srv_reloader_create(srv_reloader **out, srv_app *app, prelu_err *err);
/** Ends after the change that is being made. NULLs *r; NULL is fine. */
void srv_reloader_destroy(srv_reloader **r);
/** Look at all files again. */
void srv_reloader_look(srv_reloader *r);

/** POST /v2/repository/models/NAME/load and /unload, on the admin listener. */
void srv_admin_load(srv_app *app, srv_exchange *x);
void srv_admin_unload(srv_app *app, srv_exchange *x);
void srv_admin_left(srv_app *app, srv_exchange *x);
#endif
