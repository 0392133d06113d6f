/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings of any bytes as JSON, which takes only UTF-8. Not a JSON library: that is jansson.
 */
#ifndef PARIO_CONTROL_JSON_TEXT_H
#define PARIO_CONTROL_JSON_TEXT_H

#include <jansson.h>

/* What is no UTF-8 (in a path, say) becomes '?'. NULL without memory. */
json_t *json_text(const char *text);

#endif
