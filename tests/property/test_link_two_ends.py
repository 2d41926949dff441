"""Both ends of a control stream wired together: they agree, and once all bytes have arrived they rest.

A state machine lets agent and server do whatever they may, over two pipes that deliver any number of bytes at a time.
"""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from tunnel.core.base.ids import EndpointId, Epoch, Instant, SessionId
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.link.agent_side import AgentConversation
from tunnel.core.link.messages import DenialCode, Denied, Expose, Fenced, Granted, Hello, Keep
from tunnel.core.link.server_side import ServerConversation
from tunnel.core.token.token import TOKEN_BYTES, EndpointKind

START: Final = Instant(100.0)
LIMITS: Final = replace(DEFAULT_LIMITS, endpoints_per_session_max=3)
TOKEN: Final = bytes(TOKEN_BYTES)


class TwoEnds(RuleBasedStateMachine):
    """Both ends do what they may, over two pipes that deliver any number of bytes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = AgentConversation(LIMITS, START)
        self.server = ServerConversation(LIMITS, START)
        self.agent.hello(TOKEN, bytes(16), "agent")
        self.up = b""
        self.down = b""
        self.waiting: list[EndpointId] = []
        self.served: dict[EndpointId, str] = {}
        self.granted: dict[EndpointId, str] = {}
        self.asked: list[EndpointId] = []
        self.answered: list[EndpointId] = []
        self.given_up: set[EndpointId] = set()
        self.names: dict[EndpointId, str] = {}
        self.epoch = 0

    @rule(name=st.sampled_from(["", "demo", "other"]))
    def expose(self, name: str) -> None:
        """The agent asks, welcome or not."""
        self.asked.append(self.agent.expose(EndpointKind.HTTP, name, Keep()))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """The agent gives an endpoint up, perhaps a second time."""
        endpoint = data.draw(st.sampled_from(self.asked))
        self.agent.withdraw(endpoint)
        self.given_up.add(endpoint)
        self.granted.pop(endpoint, None)

    @precondition(lambda self: self.waiting)
    @rule(is_granted=st.booleans())
    def answer(self, *, is_granted: bool) -> None:
        """The server answers its oldest question."""
        endpoint = self.waiting.pop(0)
        self.epoch += 1
        if not is_granted:
            self.server.deny(endpoint, DenialCode.NAME_TAKEN, "taken")
        elif self.server.grant(endpoint, self.names[endpoint], "url", Epoch(self.epoch)):
            self.served[endpoint] = self.names[endpoint]

    @precondition(lambda self: self.served)
    @rule()
    def fence(self) -> None:
        """A newer link takes a name."""
        endpoint = min(self.served)
        assert self.server.fence(endpoint, "taken over")
        self.served.pop(endpoint)

    @rule(count=st.integers(1, 400))
    def bytes_reach_the_server(self, count: int) -> None:
        """Some of what the agent wrote arrives."""
        self.up += self.agent.poll_output()
        piece, self.up = self.up[:count], self.up[count:]
        done = self.server.receive(piece, START)
        assert isinstance(done, Success)
        for event in value_of(done):
            if isinstance(event, Hello):
                assert self.server.welcome(SessionId(1), 1, 2, "server")
            elif isinstance(event, Expose):
                self.waiting.append(event.endpoint)
                self.names[event.endpoint] = event.name or "random"
            else:
                self.waiting = [endpoint for endpoint in self.waiting if endpoint != event.endpoint]
                self.served.pop(event.endpoint, None)

    @rule(count=st.integers(1, 400))
    def bytes_reach_the_agent(self, count: int) -> None:
        """Some of what the server wrote arrives."""
        self.down += self.server.poll_output()
        piece, self.down = self.down[:count], self.down[count:]
        done = self.agent.receive(piece, START)
        assert isinstance(done, Success)
        for event in value_of(done):
            if isinstance(event, Granted):
                self.granted[event.endpoint] = event.name
                self.answered.append(event.endpoint)
            elif isinstance(event, Denied):
                self.answered.append(event.endpoint)
            elif isinstance(event, Fenced):
                del self.granted[event.endpoint]

    @invariant()
    def no_question_is_answered_twice(self) -> None:
        """The agent hears one answer per question, and only to its own."""
        assert len(self.answered) == len(set(self.answered))
        assert set(self.answered) <= set(self.asked)

    @invariant()
    def nothing_given_up_is_held(self) -> None:
        """What the agent gave up never comes back."""
        assert not self.given_up & set(self.granted)

    @invariant()
    def no_more_is_served_than_the_limit(self) -> None:
        """The server holds no more endpoints than it may."""
        assert len(self.served) + len(self.waiting) <= LIMITS.endpoints_per_session_max

    @override
    def teardown(self) -> None:
        """Let everything arrive: both ends rest, agree on what is exposed, and every question has its answer."""
        for _ in range(8):
            self.bytes_reach_the_server(1_000_000)
            while self.waiting:
                self.answer(is_granted=True)
            self.bytes_reach_the_agent(1_000_000)
        assert (self.up, self.down, self.agent.poll_output(), self.server.poll_output()) == (b"", b"", b"", b"")
        assert self.agent.is_open
        assert self.server.is_open
        assert self.granted == self.served
        assert set(self.asked) == set(self.answered) | self.given_up


TestTwoEnds = pytest.mark.shows("LINK-END-002", "LINK-END-003", "LINK-END-004", "LINK-FRAME-005")(TwoEnds.TestCase)
TestTwoEnds.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
