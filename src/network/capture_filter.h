/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames a capture wants: a program of classic BPF, as SO_ATTACH_FILTER takes it.
 * Not the language of tcpdump: that is compiled where it is typed (tools/pario), for it asks name
 * servers and reads files, which the control thread must not wait for.
 */
#ifndef PARIO_NETWORK_CAPTURE_FILTER_H
#define PARIO_NETWORK_CAPTURE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct capture_filter;

#define CAPTURE_FILTER_STEPS_MAX 1024

/*
 * Control. text is what `tcpdump -ddd` prints: the number of steps, then four numbers for each
 * (code, jump if true, jump if false, operand), with blanks, commas or newlines in between. The
 * program is checked: it ends, and it reaches nothing but the frame and its own scratch words. 0,
 * -EINVAL with text, or -ENOMEM.
 */
int capture_filter_parse(const char *text, struct capture_filter **out, struct err *err);
/* NULL is allowed. */
void capture_filter_free(struct capture_filter *filter);

/* Any thread. data holds the first bytes of a frame of frame_bytes. Other bytes do not match. */
bool capture_filter_match(const struct capture_filter *filter, const uint8_t *data, uint32_t bytes,
			  uint32_t frame_bytes);

#endif
