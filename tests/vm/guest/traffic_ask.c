/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic's requests and responses: one message under way on each flow, TCP or UDP.
 * Not a load: what is asked is how long each takes.
 */
#include "traffic.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 64
/* What UDP may lose is asked again. */
#define LOST_NS 200000000u

static uint8_t buf[TRAFFIC_BYTES_MAX];

static void watch(int epoll, int fd, unsigned idx)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = idx};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		traffic_die("epoll_ctl");
}

static int wait_ms(uint64_t end_ns, uint64_t most_ms)
{
	uint64_t now = traffic_now_ns(), ms;

	if (end_ns == 0)
		return (int)most_ms;
	ms = end_ns > now ? (end_ns - now + 999999) / 1000000 : 0;
	return (int)(ms < most_ms ? ms : most_ms);
}

/* ---- serve ---- */

static void answer_stream(int fd)
{
	ssize_t got = read(fd, buf, sizeof(buf));

	if (got <= 0 || write(fd, buf, (size_t)got) != got)
		close(fd);
}

static void answer_datagram(int fd)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	ssize_t got;

	while ((got = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from,
			       &size)) >= 0)
		sendto(fd, buf, (size_t)got, 0, (struct sockaddr *)&from, size);
}

void traffic_serve(const struct traffic_options *options)
{
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	const int tcp = traffic_bind(options, false), udp = traffic_bind(options, true);
	const uint64_t end =
		options->seconds > 0 ? traffic_now_ns() + (uint64_t)(options->seconds * 1e9) : 0;

	traffic_widen(udp);
	watch(epoll, tcp, (unsigned)tcp);
	watch(epoll, udp, (unsigned)udp);
	while (!end || traffic_now_ns() < end) {
		struct epoll_event events[EVENTS];
		int cnt = epoll_wait(epoll, events, EVENTS, wait_ms(end, 1000));

		for (int i = 0; i < cnt; i++) {
			const int fd = (int)events[i].data.u32;

			if (fd == udp) {
				answer_datagram(fd);
			} else if (fd == tcp) {
				int peer = accept4(tcp, NULL, NULL, SOCK_CLOEXEC);

				if (peer >= 0)
					watch(epoll, peer, (unsigned)peer);
			} else {
				answer_stream(fd);
			}
		}
	}
	printf("{\"served\": true}\n");
}

/* ---- ask ---- */

struct flow {
	int fd;
	unsigned got; /* bytes of the response so far */
	uint64_t asked_ns;
};

static struct flow flows[TRAFFIC_FLOWS_MAX];

static void ask(struct flow *flow, unsigned bytes, uint64_t now)
{
	flow->asked_ns = now;
	flow->got = 0;
	if (send(flow->fd, buf, bytes, MSG_NOSIGNAL) != (ssize_t)bytes && errno != ECONNREFUSED)
		traffic_die("send");
}

/* True: the response is whole. */
static bool take(struct flow *flow, unsigned bytes)
{
	ssize_t got = recv(flow->fd, buf, bytes, MSG_DONTWAIT);

	if (got == 0)
		traffic_die("the other end left");
	if (got < 0) {
		if (errno != EAGAIN && errno != ECONNREFUSED)
			traffic_die("recv");
		return false;
	}
	flow->got += (unsigned)got;
	return flow->got >= bytes;
}

static void ask_again(const struct traffic_options *options, uint64_t now)
{
	for (unsigned i = 0; i < options->flows; i++) {
		if (now - flows[i].asked_ns < LOST_NS)
			continue;
		traffic_note_lost();
		ask(&flows[i], options->bytes, now);
	}
}

void traffic_ask(const struct traffic_options *options)
{
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	const double seconds = options->seconds > 0 ? options->seconds : 1;
	uint64_t begin, end;

	for (unsigned i = 0; i < options->flows; i++) {
		flows[i].fd = traffic_connect(options, i);
		watch(epoll, flows[i].fd, i);
	}
	begin = traffic_now_ns();
	end = begin + (uint64_t)(seconds * 1e9);
	for (unsigned i = 0; i < options->flows; i++)
		ask(&flows[i], options->bytes, traffic_now_ns());
	while (traffic_now_ns() < end) {
		struct epoll_event events[EVENTS];
		int cnt = epoll_wait(epoll, events, EVENTS, wait_ms(end, LOST_NS / 1000000));

		for (int i = 0; i < cnt; i++) {
			struct flow *flow = &flows[events[i].data.u32];
			uint64_t now;

			if (!take(flow, options->bytes))
				continue;
			now = traffic_now_ns();
			traffic_note(now - flow->asked_ns);
			ask(flow, options->bytes, now);
		}
		if (options->udp)
			ask_again(options, traffic_now_ns());
	}
	traffic_report(traffic_now_ns() - begin);
}
