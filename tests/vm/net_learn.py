# SPDX-License-Identifier: Apache-2.0
"""Steps of net_test.py: a stock guest with two queue pairs, and where its flows come back.

The guest's programs are each kept on one CPU, from which its driver sends by one queue. QEMU keeps
its control queue to itself, so that pariod is told nothing: it learns, or spreads by a hash.
"""

from rig import load
from rig.errors import RigError

PAIRS = 2
FLOWS = 16
SECONDS = 2
FIRST_PORT = 22000
MOST = 0.9                          # of frames: a stack says things of its own meanwhile


class Learn:
    def __init__(self, card, host, server, traffic):
        self.card = card
        self.host = host
        self.server = server
        self.traffic = traffic
        self.next_port = FIRST_PORT

    def frames(self):
        """By pair: (received, sent) of the guest; and frames that came back where they belong."""
        port = self.server.port(self.card.name)
        counters = {queue["idx"]: queue["counters"]["frames"] for queue in port["queues"]}
        return ([(counters[2 * i]["rx_frames"], counters[2 * i + 1]["tx_frames"])
                 for i in range(PAIRS)], port["steering"]["flows_returned"])

    def talk(self, cpu, udp):
        """Requests of flows that were never seen, from one CPU.

        Returns how they came and went by pair, how many they were, and how many were returned.
        """
        before, returned_before = self.frames()
        said = load.ask_from_guest(self.card, self.host, SECONDS, FLOWS, udp=udp, cpu=cpu,
                                   first_port=self.next_port)
        self.next_port += FLOWS
        after, returned = self.frames()
        came = [now[0] - then[0] for now, then in zip(after, before)]
        went = [now[1] - then[1] for now, then in zip(after, before)]
        if said["transactions"] < 10 * FLOWS:
            raise RigError(f"only {said['transactions']} requests in {SECONDS} s")
        return came, went, said["transactions"], returned - returned_before

    def learnt(self):
        sent_by = []
        for udp in (True, False):
            for cpu in range(PAIRS):
                came, went, cnt, returned = self.talk(cpu, udp)
                pair = went.index(max(went))
                what = f"from CPU {cpu}, {'UDP' if udp else 'TCP'}: {cnt} requests went as " \
                       f"{went} by the pairs, came back as {came}, {returned} by what was learnt"
                if went[pair] < MOST * sum(went):
                    raise RigError(f"the guest does not send by one queue: {what}")
                if came[pair] < MOST * sum(came) or returned < MOST * cnt:
                    raise RigError(what)
                print(f"    {what}")
                sent_by.append(pair)
        if len(set(sent_by)) != PAIRS:
            raise RigError(f"the guest sends by the pairs {sent_by} from its CPUs")

    def hashed(self):
        """The same without learning: flows of one CPU come on both queues."""
        self.server.set_port(self.card.name, steering={"mode": "rss"})
        try:
            came, went, cnt, returned = self.talk(0, True)
        finally:
            self.server.set_port(self.card.name, steering={"mode": "learn"})
        if returned or min(came) < (1 - MOST) * sum(came) or max(went) < MOST * sum(went):
            raise RigError(f"steering.mode=rss: {cnt} requests went as {went} by the pairs, came "
                           f"back as {came}, {returned} by what was learnt")

    def moved(self):
        """Flows that the guest sends from its other CPU from then on follow it."""
        came, _went, _cnt, _returned = self.talk(0, True)
        first = came.index(max(came))
        self.next_port -= FLOWS
        came, went, cnt, returned = self.talk(1, True)
        pair = went.index(max(went))
        if pair == first or came[pair] < MOST * sum(came):
            raise RigError(f"flows that came on pair {first} went as {went} from the other CPU, "
                           f"{cnt} requests, and came back as {came}, {returned} as was learnt")

    def placed(self):
        """Each pair's queues count as those of the virtual CPU that sends by it."""
        queues = self.server.port(self.card.name)["queues"]
        found = [queue["vcpus"] for queue in queues][:2 * PAIRS]
        if found != [str(i // 2) for i in range(2 * PAIRS)]:
            raise RigError(f"queues are driven by the virtual CPUs {found}")

    def run(self, lab):
        lab.step("a pair is of one virtual CPU", self.placed)
        with load.Server(self.host, self.traffic, lab.work / "traffic.log"):
            lab.step("flows come back on the queue that they are sent from", self.learnt)
            lab.step("flows follow to another queue", self.moved)
            lab.step("without learning they do not", self.hashed)
            lab.step("and with it they do again", self.learnt)


def request_response(card, host, traffic):
    """Some connections of either end to the other, each with a request under way all the time."""
    with load.Server(card):
        said = load.ask_from_host(host, traffic, card, 1, flows=4, size=200)
    if said["transactions"] < 100 or said["p50_us"] <= 0 or said["lost"]:
        raise RigError(f"requests of {host.name} to {card.name}: {said}")
