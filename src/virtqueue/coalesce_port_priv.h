/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the decision about a port's call (coalesce_port.c) and its measurements
 * (coalesce_measure.c) share. Not for others.
 */
#ifndef PARIO_VIRTQUEUE_COALESCE_PORT_PRIV_H
#define PARIO_VIRTQUEUE_COALESCE_PORT_PRIV_H

#include "virtqueue/coalesce_port.h"

#define NS_PER_US 1000u
#define NS_PER_S 1000000000u

/* A burst came: rate, distance, and at the end of an epoch the target. */
void coalesce_measure_burst(const struct coalesce_config *config, struct coalesce_port_state *state,
			    const struct coalesce_port_input *input);
/* hold_ns and hold_cnt out of what was measured. */
void coalesce_measure_target(const struct coalesce_config *config,
			     struct coalesce_port_state *state, bool receive);

#endif
