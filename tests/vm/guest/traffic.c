/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic of a known shape between a guest and its host, and what came of it, as JSON.
 * Not a test and not a judge. usage: see usage().
 */
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <netinet/tcp.h>

#define QUEUE_BYTES (4 << 20)

void traffic_die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t traffic_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void traffic_sleep_until(uint64_t due_ns)
{
	const struct timespec due = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

void traffic_widen(int fd)
{
	const int bytes = QUEUE_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int new_socket(bool udp)
{
	const int yes = 1;
	int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		traffic_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (!udp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return fd;
}

int traffic_bind(const struct traffic_options *options, bool udp)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(options->port)};
	int fd = new_socket(udp);

	if (bind(fd, (struct sockaddr *)&here, sizeof(here)))
		traffic_die("bind");
	if (!udp && listen(fd, TRAFFIC_FLOWS_MAX))
		traffic_die("listen");
	return fd;
}

int traffic_connect(const struct traffic_options *options, unsigned idx)
{
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(options->port)};
	struct sockaddr_in here = {.sin_family = AF_INET};
	int fd = new_socket(options->udp);

	if (inet_pton(AF_INET, options->address, &there.sin_addr) != 1) {
		errno = EINVAL;
		traffic_die(options->address);
	}
	here.sin_port = htons((uint16_t)(options->first_port + idx));
	if (options->first_port && bind(fd, (struct sockaddr *)&here, sizeof(here)))
		traffic_die("bind");
	if (connect(fd, (struct sockaddr *)&there, sizeof(there)))
		traffic_die("connect");
	return fd;
}

static void usage(void)
{
	fputs("usage: traffic serve PORT [-t SECONDS]\n"
	      "           answers: each message, TCP and UDP, goes back\n"
	      "       traffic ask ADDRESS PORT [-u] [-n FLOWS] [-p FIRST_PORT] [-b BYTES] "
	      "[-t SECONDS]\n"
	      "           request and response on each flow; how many, and how long they took\n"
	      "       traffic ping ADDRESS IDENT [-b BYTES] [-t SECONDS] [-r RATE]\n"
	      "           echo requests, one at a time, and how long the answers took\n"
	      "       traffic send ADDRESS PORT [-n FLOWS] [-p FIRST_PORT] [-b BYTES] "
	      "[-t SECONDS] [-r RATE]\n"
	      "           UDP, at so many messages per second; then says how many they were\n"
	      "       traffic sink PORT [-t SECONDS] [-x HASH]\n"
	      "           takes those (that the NIC gave this hash), until it has heard how many "
	      "they were\n",
	      stderr);
	exit(2);
}

static double number(const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (*end || end == text || value < least || value > most) {
		fprintf(stderr, "traffic: %s is not a number from %g to %g\n", text, least, most);
		exit(2);
	}
	return value;
}

static void parse(struct traffic_options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "un:p:b:t:r:x:")) != -1) {
		options->filter |= opt == 'x';
		if (opt == 'u')
			options->udp = true;
		else if (opt == 'n')
			options->flows = (unsigned)number(optarg, 1, TRAFFIC_FLOWS_MAX);
		else if (opt == 'p')
			options->first_port = (uint16_t)number(optarg, 1, 60000);
		else if (opt == 'b')
			options->bytes = (unsigned)number(optarg, 1, TRAFFIC_BYTES_MAX);
		else if (opt == 't')
			options->seconds = number(optarg, 0, 86400);
		else if (opt == 'r')
			options->rate = number(optarg, 0, 1e7);
		else if (opt == 'x')
			options->hash = (uint32_t)number(optarg, 0, UINT32_MAX);
		else
			usage();
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const struct traffic_options *options);
		bool client;
	} commands[] = {
		{"serve", traffic_serve, false}, {"ask", traffic_ask, true},
		{"ping", traffic_ping, true},    {"send", traffic_send, true},
		{"sink", traffic_sink, false},
	};
	struct traffic_options options = {.flows = 1, .bytes = 64};
	int arg = 2;

	for (size_t i = 0; argc > 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (commands[i].client)
			options.address = argv[arg++];
		if (arg >= argc)
			usage();
		options.port = (uint16_t)number(argv[arg], 1, UINT16_MAX);
		parse(&options, argc - arg, argv + arg);
		/* Otherwise the kernel rounds short sleeps up by 50 us. */
		prctl(PR_SET_TIMERSLACK, 1);
		commands[i].run(&options);
		return 0;
	}
	usage();
}
