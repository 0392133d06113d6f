/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idle_fronts SOCKET...: a front end with one started queue on each, which had one request done.
 * Prints "ready" and stays until standard input ends. The weight of idle disks beside a busy one.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "front.h"

int main(int argc, char **argv)
{
	struct rlimit lim;
	char byte;

	if (argc < 2)
		bench_die("usage: idle_fronts SOCKET...");
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
	for (int i = 1; i < argc; i++) {
		struct bench_front b;

		bench_front_open(&b, argv[i], 1, 512);
		bench_front_call(&b, VIRTIO_BLK_T_FLUSH, 0, 0);
		/* They stay open until the process ends: that is the point. */
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
