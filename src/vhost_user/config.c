/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that read and write config space. Not its contents (device/).
 */
#include "vhost_user/session_priv.h"

#include <errno.h>
#include <string.h>

#include "base/overflow.h"

/* The range that the message is about, judged. */
static int config_range(const struct message *m, struct wire_config *config, struct err *err)
{
	message_copy(m, config, sizeof(*config));
	if (!range_within(config->offset, config->size, WIRE_CONFIG_BYTES_MAX))
		return err_set(err, EINVAL, "offset %u, size %u is beyond the %u bytes allowed",
			       config->offset, config->size, WIRE_CONFIG_BYTES_MAX);
	if (config->size > m->header.size - sizeof(*config))
		return err_set(err, EINVAL, "size %u in a payload of %u bytes", config->size,
			       m->header.size);
	return 0;
}

int config_get(struct session *s, struct message *m, struct err *err)
{
	uint8_t reply[sizeof(struct wire_config) + WIRE_CONFIG_BYTES_MAX] = {0};
	struct wire_config config;
	int ret = config_range(m, &config, err);

	if (!ret)
		ret = device_config_read(s->device, config.offset, config.size,
					 reply + sizeof(config), err);
	if (ret < 0)
		return ret;
	memcpy(reply, &config, sizeof(config));
	/* As long as the request, which may have set more room aside than it asks for. */
	session_reply(s, reply, m->header.size);
	return 0;
}

int config_set(struct session *s, struct message *m, struct err *err)
{
	struct wire_config config;
	int ret = config_range(m, &config, err);

	if (ret < 0)
		return ret;
	if (config.flags > 1)
		return err_set(err, EINVAL, "flags 0x%x, must be 0 or 1", config.flags);
	return device_config_write(s->device, config.offset, config.size,
				   m->payload + sizeof(config), err);
}
