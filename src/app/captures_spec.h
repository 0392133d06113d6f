/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a capture is asked to be: its keys, as schema rows, and their values.
 * Not the capture (captures.h).
 */
#ifndef PARIO_APP_CAPTURES_SPEC_H
#define PARIO_APP_CAPTURES_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/config.h"
#include "control/schema.h"

enum captures_direction {
	CAPTURES_BOTH,
	CAPTURES_IN,
	CAPTURES_OUT,
	CAPTURES_DIRECTION_MAX_,
};

struct captures_spec {
	char *port;
	char *file;
	char *filter; /* NULL: none */
	uint64_t size_bytes;
	uint32_t snaplen;
	enum captures_direction direction;
	bool drops;
};

/* 0, or -EINVAL / -ENOMEM after complaints. captures_spec_fini() is to follow either way. */
int captures_spec_parse(struct captures_spec *spec, const json_t *json,
			struct config_errors *errors);
void captures_spec_fini(struct captures_spec *spec);
/* Every key with its value. */
json_t *captures_spec_json(const struct captures_spec *spec);
/* A complaint whose text may begin with a key ("size: ..."). */
void captures_spec_complain(const struct err *err, struct config_errors *errors);

#endif
