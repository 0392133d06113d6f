/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of `pario show` about what reaches a guest: interrupts of queues, steering of a port.
 * Not the rest of an object (commands_show.c).
 */
#ifndef PARIO_TOOLS_PARIO_SHOW_QUEUES_H
#define PARIO_TOOLS_PARIO_SHOW_QUEUES_H

#include <jansson.h>

/* unit is what an interrupt carries: "FRAMES", "REQUESTS". */
void print_interrupts(const json_t *queues, const char *unit);
/* The member "steering" of a port; NULL, or null: nothing. */
void print_steering(const json_t *steering);

#endif
