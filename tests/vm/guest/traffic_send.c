/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic's one-way UDP: at a rate, numbered, counted where it arrives.
 * Not requests and responses (traffic_ask.c).
 */
#include "traffic.h"

#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BURST 64
/* The last message is sent so often, so far apart: any may be lost. */
#define LAST_CNT 20
#define LAST_NS 20000000u
#define WAIT_MS 200

/* Nobody may be there yet, or any more; that is for who counts to say. */
static void send_one(int fd, uint8_t *message, const struct traffic_mark *mark, unsigned bytes)
{
	memcpy(message, mark, sizeof(*mark));
	while (send(fd, message, bytes, MSG_NOSIGNAL) < 0) {
		if (errno == ENOBUFS || errno == ECONNREFUSED)
			break;
		if (errno != EINTR)
			traffic_die("send");
	}
}

void traffic_send(const struct traffic_options *options)
{
	static uint8_t message[TRAFFIC_BYTES_MAX];
	static int fds[TRAFFIC_FLOWS_MAX];
	struct traffic_options udp = *options;
	struct traffic_mark mark = {0};
	const double seconds = options->seconds > 0 ? options->seconds : 1;
	uint64_t begin, end, now;

	udp.udp = true;
	if (udp.bytes < sizeof(mark))
		udp.bytes = sizeof(mark);
	for (unsigned i = 0; i < options->flows; i++) {
		fds[i] = traffic_connect(&udp, i);
		traffic_widen(fds[i]);
	}
	begin = traffic_now_ns();
	end = begin + (uint64_t)(seconds * 1e9);
	for (now = begin; now < end; now = traffic_now_ns()) {
		uint64_t due = now;

		if (options->rate > 0)
			due = begin + (uint64_t)((double)mark.seq * 1e9 / options->rate);
		if (due >= end)
			break;
		if (due > now)
			traffic_sleep_until(due);
		send_one(fds[mark.seq % options->flows], message, &mark, udp.bytes);
		mark.seq++;
	}
	now = traffic_now_ns();
	printf("{\"sent\": %llu, \"seconds\": %.6f}\n", (unsigned long long)mark.seq,
	       (double)(now - begin) / 1e9);
	mark.total = mark.seq;
	for (unsigned i = 0; i < LAST_CNT; i++) {
		traffic_sleep_until(now += LAST_NS);
		send_one(fds[0], message, &mark, udp.bytes);
	}
}

/* The kernel compares with what the driver has set, and computes nothing. */
static void take_only(int fd, uint32_t hash)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RXHASH),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, hash, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		traffic_die("SO_ATTACH_FILTER");
}

void traffic_sink(const struct traffic_options *options)
{
	static uint8_t bufs[BURST][TRAFFIC_BYTES_MAX];
	static struct mmsghdr messages[BURST];
	static struct iovec iov[BURST];
	const int fd = traffic_bind(options, true);
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	const uint64_t end = options->seconds > 0
				     ? traffic_now_ns() + (uint64_t)(options->seconds * 1e9)
				     : UINT64_MAX;
	unsigned long long received = 0, bytes = 0, total = 0, late = 0;
	uint64_t next = 0;

	traffic_widen(fd);
	if (options->filter)
		take_only(fd, options->hash);
	for (unsigned i = 0; i < BURST; i++) {
		iov[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	while (!total && traffic_now_ns() < end) {
		int cnt = recvmmsg(fd, messages, BURST, MSG_DONTWAIT, NULL);

		if (cnt <= 0)
			poll(&readable, 1, WAIT_MS);
		for (int i = 0; i < cnt; i++) {
			struct traffic_mark mark;

			if (messages[i].msg_len < sizeof(mark))
				continue;
			memcpy(&mark, bufs[i], sizeof(mark));
			if (mark.total) {
				total = mark.total;
				break;
			}
			received++;
			bytes += messages[i].msg_len;
			late += mark.seq < next;
			next = mark.seq + 1;
		}
	}
	printf("{\"received\": %llu, \"bytes\": %llu, \"sent\": %llu, \"late\": %llu}\n", received,
	       bytes, total, late);
}
