#ifndef SRV_REQUEST_H
#define SRV_REQUEST_H
#include "app.h"

/** Requests with pictures: from query and body to tasks for the workers, and from their results to
 *  the reply. */

/** POST /classify. The query is checked before the body is read: fills *reply to refuse. */
void srv_classify_headers(srv_app *app, srv_exchange *x, srv_reply *reply);
/** POST /embed, POST / as Hugging Face's clients do; as the others. */
void srv_embed_headers(srv_app *app, srv_exchange *x, srv_reply *reply);
void srv_hf_headers(srv_app *app, srv_exchange *x, srv_reply *reply);
/** The body is there. */
void srv_request_body(srv_app *app, srv_exchange *x);
/** Its client has left: drop what has not begun. */
void srv_request_left(srv_app *app, srv_exchange *x);
/** The exchange's part in the request ends. */
void srv_request_finished(srv_app *app, srv_exchange *x);
#endif
