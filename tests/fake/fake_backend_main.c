/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake back end as a program: it serves one connection and exits.
 * What it does is in fake_backend.c and fake_disk.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/channel.h"
#include "fake/fake_backend.h"

static int usage(void)
{
	fprintf(stderr, "usage: fake_backend SOCKET [--size MiB] [--block BYTES] [--null] "
			"[--shuffle] [--fault NAME] [--after REQUESTS] [--connect]\n");
	return 2;
}

static bool options(struct fake_backend *b, int argc, char **argv, bool *connect)
{
	for (int i = 2; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--null") == 0) {
			b->null_disk = true;
			continue;
		}
		if (strcmp(argv[i], "--shuffle") == 0) {
			b->shuffle = true;
			continue;
		}
		if (strcmp(argv[i], "--connect") == 0) {
			*connect = true;
			continue;
		}
		if (strcmp(argv[i], "--size") == 0)
			b->disk_bytes = strtoull(value, NULL, 10) << 20;
		else if (strcmp(argv[i], "--block") == 0)
			b->block_bytes = (uint32_t)strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--after") == 0)
			b->after = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--fault") == 0)
			for (b->fault = 0; b->fault < FAULT_MAX_ - 1 &&
					   strcmp(fake_fault_name[b->fault], value) != 0;
			     b->fault++)
				;
		else
			return false;
		i++;
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct fake_backend b;
	bool connect = false;
	int sock, rc;

	if (argc < 2 || !options(&b, argc, argv, &connect))
		return usage();
	if (connect) {
		sock = channel_connect(argv[1], FAKE_TIMEOUT_MS);
	} else {
		int listener = channel_listen(argv[1]);

		sock = listener < 0 ? listener : channel_accept(listener, FAKE_TIMEOUT_MS);
	}
	rc = sock < 0 ? sock : fake_backend_init(&b, sock);
	if (rc < 0) {
		fprintf(stderr, "fake_backend: %s\n", strerror(-rc));
		return 1;
	}
	fake_backend_serve(&b);
	fake_backend_fini(&b);
	return b.driver_error ? 1 : 0;
}
