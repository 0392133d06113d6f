/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue's interrupts as JSON: how they are coalesced, how many there were and how many there were
 * not. Not the queue (objects.h) and not the deciding (virtqueue/coalesce.h).
 *
 * Control thread only. Results are new references, the caller's; without memory they are NULL or
 * lack parts.
 */
#ifndef PARIO_OBSERVE_INTERRUPTS_H
#define PARIO_OBSERVE_INTERRUPTS_H

#include <jansson.h>

#include "device/device.h"

/*
 * {"mode", "packets", "usecs", "by": "host|guest", "now": {"packets", "usecs", "why"}, "held": {
 * "count", "p50_us", "p99_us", "buckets": [[end_us, count], ...]}}: buckets as observe_latency()
 * has them, and quantiles their ends. view is NULL for a queue that does not run: then it is as
 * tuning says, and null stands for now and held.
 */
json_t *observe_coalesce(const struct coalesce_view *view, const struct coalesce_config *tuning);

/*
 * {"sent", "held", "unwanted", "carried", "per_interrupt"} of a queue over all its runs: what is
 * carried are frames of a network device and requests of others; null to each of no interrupts.
 */
json_t *observe_interrupts(const struct device *device, unsigned idx);

#endif
