#include "layers.h"
#include <stdio.h>
#include <string.h>

bool train_is_activation(const prelu_node *n)
{
    return !strcmp(n->op, "PRelu") || !strcmp(n->op, "Relu") || !strcmp(n->op, "LeakyRelu");
}

const char *train_activation_layer(const prelu_node *n, char *buf, size_t len)
{
    const char *dot = strrchr(n->name, '.');
    const bool known =
        dot && (!strcmp(dot, ".prelu") || !strcmp(dot, ".relu") || !strcmp(dot, ".lrelu"));
    snprintf(buf, len, "%.*s", (int)(known ? (size_t)(dot - n->name) : len - 1), n->name);
    return buf;
}

size_t train_slope_count(const prelu_graph *g, const prelu_node *n)
{
    size_t count = 0;
    if (strcmp(n->op, "PRelu") != 0)
        return 1;
    if (n->n_in < 2 || !g->values[n->in[1]].is_constant || g->values[n->in[1]].dtype != PRELU_F32 ||
        prelu_shape_count(&g->values[n->in[1]].shape, &count, NULL))
        return 0;
    return count;
}

float train_slope_at(const prelu_graph *g, const prelu_node *n, size_t i)
{
    float a = 0;
    if (!strcmp(n->op, "PRelu"))
        memcpy(&a, (const char *)g->values[n->in[1]].data + i * sizeof a, sizeof a);
    else if (!strcmp(n->op, "LeakyRelu"))
        a = prelu_node_float(n, "alpha", 0.01f);
    return a;
}
