#ifndef TRAIN_LAYERS_H
#define TRAIN_LAYERS_H
#include "prelu/graph.h"
#include <stdbool.h>

/** The activations of a network, as log.jsonl and analyze name them. */

bool train_is_activation(const prelu_node *n);
/** "conv1.prelu" is conv1, so that nets with other activations can be compared; returns buf. */
const char *train_activation_layer(const prelu_node *n, char *buf, size_t len);
/** The number of slopes of an activation: of PReLU those of its constant, of the others one. 0 when
 *  they are not constant. */
size_t train_slope_count(const prelu_graph *g, const prelu_node *n);
/** Slope i; 0 of Relu. */
float train_slope_at(const prelu_graph *g, const prelu_node *n, size_t i);
#endif
