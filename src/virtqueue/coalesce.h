/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a call is due, or may wait for more completions: one decision, pure.
 * Not the call (notify.c) and not the clock: times come in as values.
 */
#ifndef PARIO_VIRTQUEUE_COALESCE_H
#define PARIO_VIRTQUEUE_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

enum coalesce_mode {
	COALESCE_OFF,      /* call at the end of each burst */
	COALESCE_STATIC,   /* hold until packets are there or usecs have passed */
	COALESCE_ADAPTIVE, /* hold by rate and requests in flight, within the same bounds */
	COALESCE_MODE_MAX_,
};

/* "off", "static", "adaptive"; NULL beyond. */
const char *coalesce_mode_name(enum coalesce_mode mode);

/* As virtio-net says it: VIRTIO 1.3, 5.1.6.5.9. */
struct coalesce_config {
	enum coalesce_mode mode;
	uint32_t packets; /* completions at most to one call; 0 counts as 1 */
	uint32_t usecs;   /* the first of them waits at most so long */
};

#endif
