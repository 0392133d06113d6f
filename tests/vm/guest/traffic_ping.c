/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic's echo requests: one at a time, at a rate, each answered by the other end's kernel.
 * Not for IPv6.
 */
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define RATE 200.0
#define WAIT_MS 1000

static uint16_t checksum(const void *data, unsigned bytes)
{
	const uint8_t *at = data;
	uint32_t sum = 0;

	for (unsigned i = 0; i + 1 < bytes; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return htons((uint16_t)~sum);
}

/* True: what was read is the answer to seq. */
static bool is_answer(const uint8_t *packet, ssize_t got, uint16_t ident, uint16_t seq)
{
	const unsigned skip = 4u * (packet[0] & 0xf);
	struct icmphdr header;

	if (got < (ssize_t)(skip + sizeof(header)))
		return false;
	memcpy(&header, packet + skip, sizeof(header));
	return header.type == ICMP_ECHOREPLY && header.un.echo.id == htons(ident) &&
	       header.un.echo.sequence == htons(seq);
}

static bool wait_for_answer(int fd, uint16_t ident, uint16_t seq, uint64_t asked_ns)
{
	static uint8_t packet[TRAFFIC_BYTES_MAX];
	struct pollfd readable = {.fd = fd, .events = POLLIN};

	for (;;) {
		const uint64_t past_ms = (traffic_now_ns() - asked_ns) / 1000000;
		ssize_t got = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

		if (got > 0 && is_answer(packet, got, ident, seq))
			return true;
		if (past_ms >= WAIT_MS)
			return false;
		if (got < 0)
			poll(&readable, 1, (int)(WAIT_MS - past_ms));
	}
}

static void fill(uint8_t *message, unsigned bytes, uint16_t ident, uint16_t seq)
{
	struct icmphdr header = {.type = ICMP_ECHO};

	header.un.echo.id = htons(ident);
	header.un.echo.sequence = htons(seq);
	memcpy(message, &header, sizeof(header));
	header.checksum = checksum(message, bytes & ~1u);
	memcpy(message, &header, sizeof(header));
}

void traffic_ping(const struct traffic_options *options)
{
	static uint8_t message[TRAFFIC_BYTES_MAX];
	struct sockaddr_in there = {.sin_family = AF_INET};
	const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	const double rate = options->rate > 0 ? options->rate : RATE;
	const double seconds = options->seconds > 0 ? options->seconds : 1;
	const unsigned bytes = options->bytes < sizeof(struct icmphdr)
				       ? (unsigned)sizeof(struct icmphdr)
				       : options->bytes & ~1u;
	const uint64_t begin = traffic_now_ns();

	if (fd < 0)
		traffic_die("socket");
	if (inet_pton(AF_INET, options->address, &there.sin_addr) != 1) {
		errno = EINVAL;
		traffic_die(options->address);
	}
	if (connect(fd, (struct sockaddr *)&there, sizeof(there)))
		traffic_die("connect");
	for (unsigned seq = 0; (double)seq < seconds * rate; seq++) {
		uint64_t asked;

		traffic_sleep_until(begin + (uint64_t)((double)seq * 1e9 / rate));
		fill(message, bytes, options->port, (uint16_t)seq);
		asked = traffic_now_ns();
		if (send(fd, message, bytes, 0) != (ssize_t)bytes)
			traffic_die("send");
		if (wait_for_answer(fd, options->port, (uint16_t)seq, asked))
			traffic_note(traffic_now_ns() - asked);
		else
			traffic_note_lost();
	}
	traffic_report(traffic_now_ns() - begin);
}
