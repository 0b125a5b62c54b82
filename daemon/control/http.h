/* control/http.h - GET /metrics over HTTP, on the loop of whoever made it (libmicrohttpd).
 *
 * Owner:   app. Threads: the loop's. Never: answers anything else, or changes anything.
 * Bounds:  HTTP_CONNECTIONS_MAX at once, HTTP_IDLE_S of silence each; a client that stalls holds up
 *          nobody. */
#pragma once
#include "model/endpoint.h"
#include "proto/control.h"

#define HTTP_CONNECTIONS_MAX 16
#define HTTP_IDLE_S 10
#define HTTP_CONNECTION_MEMORY 16384 /* bytes: of its request */

typedef struct uv_loop_s uv_loop_t;
struct http;

struct http_ops {
    void *ctx;
    void (*scrape)(void *ctx, struct status *ret); /* fill @ret (zeroed) */
};

/* @at: port 0 chooses one (http_port). -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, ... */
int http_new(uv_loop_t *loop, const struct endpoint *at, const struct http_ops *ops,
             struct http **ret);
uint16_t http_port(const struct http *h);
void http_free(struct http *h); /* NULL is fine; frees itself as the loop goes on */
