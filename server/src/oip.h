#ifndef SRV_OIP_H
#define SRV_OIP_H
#include "app.h"

/** Open Inference Protocol v2: what is served, told as tensors. The input is FP32 (N,3,crop,crop)
 *  as the ONNX file has it, or BYTES (N) with a JPEG each; the output is the scores. */
#define SRV_OIP_INPUT "data"
#define SRV_OIP_OUTPUT "prob"

/** The n-th part of a path, from 0, if it is a name; else "". */
void srv_oip_path_part(char out[129], const char *path, int n);
/** The model of /v2/models/NAME[/versions/V]... @return E_NOTFOUND no such model or version. */
PRELU_MUST_CHECK prelu_status srv_oip_entry(srv_entry **out, srv_table *t, const char *path,
                                            prelu_err *err);
/** The GETs; each fills the reply. */
void srv_oip_server(srv_app *app, const srv_request_info *info, srv_reply *r);
void srv_oip_model(srv_app *app, const srv_request_info *info, srv_reply *r);
void srv_oip_ready(srv_app *app, const srv_request_info *info, srv_reply *r);
void srv_oip_config(srv_app *app, const srv_request_info *info, srv_reply *r);
/** Of one model; of all for /v2/models/stats. */
void srv_oip_stats(srv_app *app, const srv_request_info *info, srv_reply *r);
void srv_oip_all_stats(srv_app *app, const srv_request_info *info, srv_reply *r);
void srv_oip_index(srv_app *app, const srv_request_info *info, srv_reply *r);

/** A request of n pictures for the entry is done. */
void srv_usage_add(srv_usage *u, const srv_task *tasks, size_t n, double total_ms);

/** POST .../infer (infer.c); then as other requests with pictures. */
void srv_infer_headers(srv_app *app, srv_exchange *x, srv_reply *reply);
#endif
