# SPDX-License-Identifier: BSD-3-Clause
"""oracle -- judges a recorded history of reads and writes by what a bounded node promises (COHERENCE I1 to I4).

Everybody writes values that nobody else ever writes, so a value names its write. Times are nanoseconds of
CLOCK_MONOTONIC, which all processes of a machine share.

    history = History()
    history.write("s1", "k", b"w.1", invoked, completed, ACKED)
    history.read("s2", "k", b"w.1", invoked, completed)
    violations = history.check(bound_ns, slack_ns)

A write took effect somewhere in its SPAN: between its invocation and its completion, or at the very moment that Redis'
MONITOR shows (`place`). Of two writes one is older if its span ends before the other's begins; where spans overlap the
oracle does not judge. Absence is a value that many write: DEL, an expiry, a RENAME away, the death of Redis (a write of
nothing to every key: what belongs to the dead epoch is older than it, so no special rule is needed). A read of nothing
is right if any of those explains it.

What is checked of each read, in the order of its session:
    unwritten   the value was never written to that key, was written later, or its write was refused ("nothing was done")
    stale       it is older than a write that was acknowledged more than the bound before the read was invoked
    own write   it is older than what the session itself wrote there before, and got acknowledged
    backwards   it is older than what the session saw there before

A write whose outcome is UNKNOWN may have taken effect at any time from its invocation on, or never.
A session is one connection; its operations are in the order in which they were sent.
"""

import bisect
import collections

ACKED, UNKNOWN, REFUSED = "acked", "unknown", "refused"
FOREVER = 1 << 62
BEFORE_ALL = -1
EXPLAINED = 10

Read = collections.namedtuple("Read", "session key value invoked completed at_l2")
Write = collections.namedtuple("Write", "session key value invoked completed outcome tag")
Violation = collections.namedtuple("Violation", "rule read explanation")


class Span:
    """When a write took effect: in [low, high]."""

    __slots__ = ("low", "high", "write")

    def __init__(self, low, high, write):
        self.low, self.high, self.write = low, high, write


class KeyOrder:
    """The writes of one key, arranged for questions."""

    def __init__(self):
        self.spans = {}    # value -> [Span]; more than one for None only
        self.refused = {}  # value -> Write
        self.acked = []    # (completed, low), then sorted and with `low` as a running maximum
        self.lows, self.highs = {}, {}  # value -> sorted lows, running maximum of highs

    def seal(self):
        self.acked.sort()
        newest, times, maxima = BEFORE_ALL, [], []
        for completed, low in self.acked:
            newest = max(newest, low)
            times.append(completed)
            maxima.append(newest)
        self.acked = (times, maxima)
        for value, spans in self.spans.items():
            spans.sort(key=lambda span: span.low)
            newest, highs = BEFORE_ALL, []
            for span in spans:
                newest = max(newest, span.high)
                highs.append(newest)
            self.lows[value], self.highs[value] = [span.low for span in spans], highs

    def floor_at(self, time):
        """The newest beginning of a write that was acknowledged by then: what is older is overwritten."""
        times, maxima = self.acked
        at = bisect.bisect_right(times, time)
        return maxima[at - 1] if at else BEFORE_ALL

    def explain(self, value, floor, completed):
        """The oldest span of the value that is not older than the floor and began before the read ended, or None."""
        spans = self.spans.get(value)
        if spans is None:
            return None
        at = bisect.bisect_left(self.highs[value], floor)
        return spans[at] if at < len(spans) and self.lows[value][at] <= completed else None


class History:
    def __init__(self):
        self.operations = []  # of each session in its order
        self.places = {}      # (key, value) or tag -> moment at Redis
        self.expiries = []    # (key, low, high)
        self.deaths = []      # (low, high, completed)
        self.starts_at = 0

    # --- recording ---

    def read(self, session, key, value, invoked, completed, at_l2=False):
        """`at_l2`: the command's contract is that Redis itself answers (GETSET): the bound is 0."""
        self.operations.append(Read(session, key, value, invoked, completed, at_l2))

    def write(self, session, key, value, invoked, completed, outcome, tag=None):
        """value None: the key ends. `tag` names it in `places`, for values that are not unique."""
        self.operations.append(Write(session, key, value, invoked, completed, outcome, tag))

    def expiry(self, key, low, high):
        """A write of nothing that may take effect by itself in that time, unless something else comes first."""
        self.expiries.append((key, low, high))

    def death(self, low, high):
        """Redis lost everything between the two moments, and answered again at the second."""
        self.deaths.append((low, high))

    def place(self, name, moment):
        self.places[name] = moment

    def extend(self, operations):
        self.operations.extend(operations)

    # --- judging ---

    def _span(self, write):
        moment = self.places.get(write.tag if write.tag is not None else (write.key, write.value))
        if moment is not None:
            return Span(moment, moment, write)
        return Span(write.invoked, write.completed if write.outcome == ACKED else FOREVER, write)

    def _arrange(self):
        orders = collections.defaultdict(KeyOrder)
        for operation in self.operations:
            order = orders[operation.key]
            if isinstance(operation, Read):
                continue
            if operation.outcome == REFUSED:
                order.refused[operation.value] = operation
                continue
            if operation.value is not None and operation.value in order.spans:
                raise AssertionError(f"the recorder wrote {operation.value!r} to {operation.key!r} twice")
            span = self._span(operation)
            order.spans.setdefault(operation.value, []).append(span)
            if operation.outcome == ACKED:
                order.acked.append((operation.completed, span.low))
        for key, low, high in self.expiries:
            orders[key].spans.setdefault(None, []).append(Span(low, high, None))
        for order in orders.values():
            nothing = order.spans.setdefault(None, [])
            nothing.append(Span(BEFORE_ALL, BEFORE_ALL, None))
            for low, high in self.deaths:
                nothing.append(Span(low, high, None))
                order.acked.append((high, low))
            order.seal()
        return orders

    def check(self, bound_ns, slack_ns):
        """All violations, in the order of the history; the first EXPLAINED with what happened around them."""
        self.orders = self._arrange()
        violations, wrote, saw = [], {}, {}
        for operation in self.operations:
            order = self.orders[operation.key]
            place = (operation.session, operation.key)
            if isinstance(operation, Write):
                if operation.outcome == ACKED:
                    wrote[place] = max(wrote.get(place, BEFORE_ALL), self._span(operation).low)
                continue
            bound = 0 if operation.at_l2 else bound_ns
            floors = (("stale", order.floor_at(operation.invoked - bound - slack_ns)),
                      ("own write", wrote.get(place, BEFORE_ALL)), ("backwards", saw.get(place, BEFORE_ALL)))
            rule, span = self._judge(order, operation, floors)
            if rule:
                told = self._tell(order, operation, dict(floors).get(rule)) if len(violations) < EXPLAINED else ""
                violations.append(Violation(rule, operation, told))
            elif span.low > saw.get(place, BEFORE_ALL):
                saw[place] = span.low
        return violations

    @staticmethod
    def _judge(order, read, floors):
        """(the rule that is broken or None, the span that explains the read)"""
        if order.explain(read.value, BEFORE_ALL, read.completed) is None:
            return "unwritten", None
        for rule, floor in floors:
            if order.explain(read.value, floor, read.completed) is None:
                return rule, None
        return None, order.explain(read.value, max(floor for _, floor in floors), read.completed)

    def _tell(self, order, read, floor):
        lines = [f"{read.session} read {read.key} = {_short(read.value)}, "
                 f"[{self._ms(read.invoked)} .. {self._ms(read.completed)}] ms"]
        if read.value in order.refused:
            lines.append("its write was refused: nothing was done")
        if floor is not None:
            lines.append(f"what took effect before {self._ms(floor)} ms is too old for it")
        spans = sorted((span for spans in order.spans.values() for span in spans), key=lambda span: span.low)
        marks = [i for i, span in enumerate(spans) if span.write and span.write.value == read.value]
        marks += [i for i, span in enumerate(spans) if span.low == floor]
        shown = sorted({j for i in marks[:2] + marks[-2:] for j in range(max(0, i - 2), min(len(spans), i + 4))})
        for i in shown:
            lines.append("    " + self._tell_span(spans[i]))
        mine = [op for op in self.operations if op.session == read.session and op.key == read.key]
        at = mine.index(read)
        lines.append("  the session, on this key:")
        for op in mine[max(0, at - 6):at + 2]:
            verb = "read " if isinstance(op, Read) else "wrote"
            lines.append(f"    {verb} {_short(op.value)} [{self._ms(op.invoked)} .. {self._ms(op.completed)}]")
        return "\n".join(lines)

    def _tell_span(self, span):
        when = f"[{self._ms(span.low)} .. {self._ms(span.high) if span.high < FOREVER else 'any time'}]"
        if span.write is None:
            return f"{when} nothing: expired, lost, or never written"
        return (f"{when} {_short(span.write.value)} by {span.write.session}, {span.write.outcome}, "
                f"asked {self._ms(span.write.invoked)}, answered {self._ms(span.write.completed)}")

    def _ms(self, moment):
        return f"{(moment - self.starts_at) / 1e6:.3f}"


def _short(value):
    return "nothing" if value is None else value[:24].decode("latin-1")
