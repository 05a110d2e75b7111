#ifndef SRV_DOOR_H
#define SRV_DOOR_H
#include "multipart.h"
#include "query.h"
#include "request.h"

/** The inside of a request, for the files that differ in what they read and write: one door for
 *  each kind of path. Everything between - queue, deadline, a client that leaves - is request.c's.
 */

typedef struct request request;

/** What is particular to one kind of request. */
typedef struct srv_door {
    /** Before the body: model, test and format, from path and query. Fills entry, tests, top_k.
     *  @return E_NOTFOUND there is no such model (404); else 400. */
    prelu_status (*query)(request *r, const srv_query *q, const srv_request_info *info,
                          prelu_err *err);
    /** The body, which is r->body from now on: srv_request_tasks, and what each task is to read.
     *  The exchange may have ended if `parses`. */
    prelu_status (*split)(request *r, prelu_err *err);
    /** The reply to tasks that are done. */
    void (*write)(request *r, srv_reply *reply, double total_ms);
    bool parses; /* split may take milliseconds for a large body: it then runs on the pool */
} srv_door;

/* infer.c and hf.c */
extern const srv_door srv_infer_door, srv_hf_door;

/* Who holds a request: its exchange, until `finished`; and its tasks together, until the last is
 * done. The reply is given once, by whoever comes first: the last task, or the deadline. */
struct request {
    srv_app *app;
    srv_exchange *x; /* not to be touched once answered */
    const srv_door *door;
    srv_table *table;                    /* held */
    srv_entry *entry;                    /* in it */
    prelu_test tests[PRELU_MAX_MEMBERS]; /* resolved with the entry's models */
    size_t top_k;
    double budget_ms; /* of mode auto, whose tests are chosen picture by picture; 0 = not auto */
    bool heat, png;   /* a heatmap is asked for; as a picture */
    bool bare;        /* answer a bare list of labels and scores */
    int heat_class;
    bool multipart;
    atomic_int refs;
    atomic_bool answered;
    atomic_size_t remaining; /* tasks */
    srv_alarm deadline;
    int64_t received;
    char id[65];
    unsigned char *body;
    size_t body_len;
    srv_part *parts; /* of a multipart body; else NULL */
    srv_task *tasks;
    size_t n;
    srv_flow flow;
    float *tensors; /* what tasks read instead of the body; prelu_free */
    void *extra;    /* the door's; prelu_free */
};

/** The door's `headers`: state, queue and query before the body is read. */
void srv_request_headers(srv_app *app, srv_exchange *x, srv_reply *reply, const srv_door *door);

/** Which model: NULL = the default. @return E_NOTFOUND. */
PRELU_MUST_CHECK prelu_status srv_request_model(request *r, const char *name, prelu_err *err);
/** mode, average, scales and budget_ms of a query, with the entry's models. */
PRELU_MUST_CHECK prelu_status srv_request_test(request *r, const srv_query *q, prelu_err *err);
/** top_k of a query: 1 up to all classes. */
PRELU_MUST_CHECK prelu_status srv_request_top_k(request *r, const srv_query *q, prelu_err *err);
/** Make n tasks of what is known; the door then fills in jpeg and len, or tensor. */
PRELU_MUST_CHECK prelu_status srv_request_tasks(request *r, size_t n, prelu_err *err);
/** What /classify takes of a query. */
PRELU_MUST_CHECK prelu_status srv_request_query(request *r, const srv_query *q,
                                                const srv_request_info *info, prelu_err *err);
/** A body of one picture, or of several as multipart/form-data. */
PRELU_MUST_CHECK prelu_status srv_request_pictures(request *r, prelu_err *err);
/** One result, or a list of results and errors (results.c). */
void srv_results_write(request *r, srv_reply *reply, double total_ms);
/** If any picture failed, the reply that says so. */
bool srv_request_failed(request *r, srv_reply *reply);
#endif
