/* Two ends of one link and the streams between them: windows, half close, reset, graceful GOAWAY.

   A model of src/tunnel/core/mux for spin; the names are those of the code. `make model` verifies it, with and without
   resets and GOAWAYs, and then plants each of the bugs below (-DBUG_...), which spin has to find. spec/wire.md has the
   sentences whose IDs stand beside the assertions.

   Every run ends: each application queues BYTES bytes on each stream and nothing repeats. So "everything comes to
   rest" is what holds once nobody can move any more (`timeout`), and needs no fairness. What is left out: payload (a
   byte is only counted), pings, limits on streams and buffers, the order in which ready streams take turns (any). */

#ifndef WINDOW
#define WINDOW 2        /* of each direction of each stream */
#endif
#ifndef BYTES
#define BYTES 3         /* that each application sends on each stream; more than the window */
#endif
#ifndef FRAME
#define FRAME 2         /* frame_bytes_sent_max */
#endif
#ifndef WIRE
#define WIRE 1          /* frames in flight each way; one more waits in whoever writes next */
#endif
#ifndef RESETS
#define RESETS 0        /* streams that an application resets, whenever it likes */
#endif
#ifndef AWAYS
#define AWAYS 0         /* ends that say GOAWAY 0, whenever they like */
#endif

#define STREAMS 2       /* stream 0 is opened by end 0 (the client), stream 1 by end 1 (the server) */
#define UPDATE_BYTES ((WINDOW + 1) / 2)

#define SYN 1
#define ACK 2
#define FIN 4
#define RST 8

mtype = { DATA, WINDOW_UPDATE, GO_AWAY, FRESH, LIVE, FORGOTTEN };

/* One stream at one end: core/mux/stream.py, window.py, send_queue.py. */
typedef Stream {
    mtype state = FRESH;
    byte opening;              /* SYN or ACK until that flag has been sent */
    byte to_queue = BYTES;     /* what the application has still to send */
    byte queue;
    byte credit = WINDOW;      /* SendWindow.credit */
    byte receive_credit = WINDOW;
    byte unread;
    byte owed;
    bool is_ending;
    bool has_sent_fin;
    bool peer_ended;
    bool is_refused;           /* an RST waits in the outbox, and nothing else does */
    /* Ghosts: what happened, for the assertions alone. */
    byte told;                 /* bytes told as StreamData */
    bool told_end;             /* StreamEnded */
    bool told_reset;           /* StreamReset */
    bool did_reset;            /* this application reset it, or this end refused it */
};

typedef End {
    Stream stream[STREAMS];
    bool is_refusing;          /* we sent GOAWAY, or are about to */
    bool is_away_due;
    bool is_peer_going;
};

End end_[2];
byte resets = RESETS;
byte aways = AWAYS;

chan wire[2] = [WIRE] of { mtype, byte, byte, byte };   /* wire[e] leads to end e: type, flags, stream, length */

/* Ghosts of what is on the wire towards an end. */
typedef Flight { byte data[STREAMS]; byte delta[STREAMS]; };
Flight flight[2];

#define OTHER (1 - me)
#define MINE end_[me].stream[s]
#define PEERS end_[OTHER].stream[s]

inline forget(s) {
    MINE.state = FORGOTTEN;
    MINE.queue = 0;
    MINE.owed = 0;
    MINE.is_ending = false
}

/* MUX-FLOW-006: credit, what is under way, unread and owed are together the window. */
inline conserve(s) {
    if
    :: end_[0].stream[s].state == LIVE && end_[1].stream[s].state == LIVE ->
        assert(end_[0].stream[s].credit + flight[1].data[s] + end_[1].stream[s].unread + end_[1].stream[s].owed
               + flight[0].delta[s] == WINDOW);
        assert(end_[1].stream[s].credit + flight[0].data[s] + end_[0].stream[s].unread + end_[0].stream[s].owed
               + flight[1].delta[s] == WINDOW)
    :: else
    fi;
    assert(MINE.unread <= WINDOW)                        /* MUX-FLOW-006: what is held is bounded by the window */
}

inline on_end(s) {
    if
    :: MINE.peer_ended -> assert(false)                  /* MUX-STREAM-011: we never send a second FIN */
    :: else ->
        MINE.peer_ended = true;
        MINE.told_end = true;
        assert(MINE.told == BYTES);                      /* MUX-OUT-003: FIN follows the last byte */
#ifdef BUG_FIN_ENDS_BOTH_WAYS
        forget(s)
#else
        if
        :: MINE.has_sent_fin -> forget(s)                /* MUX-STREAM-013 */
        :: else
        fi
#endif
    fi
}

inline on_open(s) {
    assert(MINE.state == FRESH || MINE.is_refused);      /* MUX-STREAM-006: no SYN for a stream that is open */
    if
#ifndef BUG_ACCEPTS_AFTER_GOAWAY
    :: end_[me].is_refusing ->                           /* MUX-AWAY-001 */
        MINE.state = FORGOTTEN;
        MINE.is_refused = true;
        MINE.did_reset = true
#endif
    :: else ->
        assert(!end_[me].is_refusing);                   /* MUX-AWAY-001 */
        MINE.state = LIVE;
        MINE.opening = ACK
    fi
}

inline on_stream_frame(kind, flags, s, length) {
    if
    :: flags & SYN -> on_open(s)
    :: else
    fi;
    if
    :: MINE.state != LIVE ->                             /* MUX-STREAM-012: ignored, never answered */
        assert(MINE.state == FORGOTTEN)                  /* MUX-STREAM-014: nothing comes before a SYN */
    :: MINE.state == LIVE && (flags & RST) ->
        forget(s);
        assert(!MINE.told_reset);                        /* MUX-STREAM-015: told once */
        MINE.told_reset = true;
        assert(PEERS.did_reset)                          /* nobody is told of a reset that nobody made */
    :: MINE.state == LIVE && !(flags & RST) && kind == DATA ->
        assert(!MINE.peer_ended);                        /* MUX-STREAM-011 */
        assert(length <= MINE.receive_credit);           /* MUX-FLOW-005: never FlowControlViolated */
        MINE.receive_credit = MINE.receive_credit - length;
        MINE.unread = MINE.unread + length;
        MINE.told = MINE.told + length;
#ifdef BUG_CREDIT_ON_ARRIVAL
        MINE.owed = MINE.owed + length;
#endif
#ifndef BUG_SWALLOWS_FIN_WITH_DATA
        if
        :: flags & FIN -> on_end(s)
        :: else
        fi
#else
        if
        :: (flags & FIN) && length == 0 -> on_end(s)
        :: else
        fi
#endif
    :: MINE.state == LIVE && !(flags & RST) && kind == WINDOW_UPDATE ->
#ifdef BUG_ABSOLUTE_DELTA
        MINE.credit = (flags & (SYN | ACK) -> MINE.credit : length);
#else
        MINE.credit = MINE.credit + length;              /* MUX-FLOW-003 */
#endif
        assert(MINE.credit <= WINDOW)                    /* MUX-FLOW-004: never WindowOverflow */
    fi
}

/* core/mux/inbound.py */
inline on_frame(kind, flags, s, length) {
    if
    :: kind == GO_AWAY ->
        assert(!end_[me].is_peer_going);
        end_[me].is_peer_going = true;
#ifdef BUG_GOAWAY_ENDS_STREAMS
        s = 0;
        do
        :: s < STREAMS ->
            if
            :: MINE.state == LIVE -> forget(s)
            :: else
            fi;
            s++
        :: else -> break
        od;
        s = 0
#endif
    :: else ->
        if
        :: kind == DATA -> flight[me].data[s] = flight[me].data[s] - length
        :: else -> flight[me].delta[s] = flight[me].delta[s] - length
        fi;
        on_stream_frame(kind, flags, s, length);
        conserve(s)
    fi
}

#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define OWN(s) end_[me].stream[s]
#define IS_SENDABLE(s) (OWN(s).queue > 0 && OWN(s).credit > 0 \
                        || OWN(s).queue == 0 && OWN(s).is_ending && !OWN(s).has_sent_fin)
#ifdef BUG_NEVER_UPDATES_AT_ZERO
#define IS_UPDATE_DUE(s) (OWN(s).owed >= UPDATE_BYTES && OWN(s).receive_credit > 0 && !OWN(s).peer_ended)
#else
#define IS_UPDATE_DUE(s) (OWN(s).owed >= UPDATE_BYTES && !OWN(s).peer_ended)
#endif

/* core/mux/outbox.py: a control frame of stream `s`, if one is due. */
inline write_control(s) {
    if
    :: MINE.is_refused ->
        MINE.is_refused = false;
        wire[OTHER]!WINDOW_UPDATE, RST, s, 0
    :: else ->
        n = MINE.owed;
#ifdef BUG_LOSES_UPDATE_WITH_ACK
        if
        :: MINE.opening == ACK && n > 0 -> n = 0
        :: else
        fi;
#endif
        MINE.owed = 0;
        MINE.receive_credit = MINE.receive_credit + n;
#ifdef BUG_GRANTS_TWICE
        if
        :: MINE.has_sent_fin -> n = n + n
        :: else
        fi;
#endif
        flight[OTHER].delta[s] = flight[OTHER].delta[s] + n;
        wire[OTHER]!WINDOW_UPDATE, MINE.opening, s, n;
        MINE.opening = 0
    fi;
    n = 0
}

/* core/mux/stream.py: one Data frame, with FIN when it is the last. */
inline write_data(s) {
    n = MIN(MIN(MINE.queue, MINE.credit), FRAME);
    f = 0;
    if
#ifdef BUG_FIN_BEFORE_DATA
    :: MINE.is_ending && !MINE.has_sent_fin ->
#else
    :: MINE.is_ending && n == MINE.queue ->              /* MUX-OUT-003 */
#endif
        f = FIN;
        MINE.has_sent_fin = true
    :: else
    fi;
    MINE.queue = MINE.queue - n;
    MINE.credit = MINE.credit - n;
    flight[OTHER].data[s] = flight[OTHER].data[s] + n;
    wire[OTHER]!DATA, f, s, n;
    if
#ifdef BUG_FORGETS_AT_OUR_FIN
    :: MINE.has_sent_fin -> forget(s)
#else
    :: MINE.has_sent_fin && MINE.peer_ended -> forget(s)
#endif
    :: else
    fi;
    n = 0;
    f = 0
}

/* The application queues all it has, and ends its side. */
inline act_queue(s) {
    if
    :: MINE.to_queue > 0 -> MINE.queue = MINE.queue + MINE.to_queue; MINE.to_queue = 0
    :: else -> MINE.is_ending = true
    fi
}

/* The application has passed on what it was told of, and returns the credit. */
inline act_read(s) {
#ifndef BUG_CREDIT_ON_ARRIVAL
    MINE.owed = MINE.owed + MINE.unread;
#endif
    MINE.unread = 0;
    conserve(s)
}

inline act_reset(s) {
    resets--;
    MINE.did_reset = true;
#ifdef BUG_RESETS_BEFORE_SYN
    MINE.is_refused = true;
#else
    MINE.is_refused = (MINE.opening != SYN);             /* MUX-STREAM-014: no frame at all before its SYN has left */
#endif
    MINE.opening = 0;
    forget(s)
}

#define IS_CONTROL_DUE(s) (OWN(s).is_refused || OWN(s).state == LIVE && (OWN(s).opening != 0 || IS_UPDATE_DUE(s)))
#define IS_DATA_DUE(s) (OWN(s).state == LIVE && OWN(s).opening == 0 && IS_SENDABLE(s))
#define HAS_ROOM nfull(wire[OTHER])

proctype Session(byte me) {
    byte s, n, f, length;
    mtype kind;
endpoint:
    do
    /* The world: a frame arrives. */
#ifdef BUG_READER_WAITS_FOR_WRITER
    :: atomic { nfull(wire[OTHER]) && nempty(wire[me]) -> wire[me]?kind, f, s, length; on_frame(kind, f, s, length);
                s = 0; n = 0; f = 0; length = 0; kind = 0 }
#else
    :: atomic { wire[me]?kind, f, s, length -> on_frame(kind, f, s, length); s = 0; n = 0; f = 0; length = 0; kind = 0 }
#endif

    /* The owner: the socket takes a frame; control goes first (MUX-OUT-001), streams in any order. */
    :: atomic { HAS_ROOM && end_[me].is_away_due -> end_[me].is_away_due = false; wire[OTHER]!GO_AWAY, 0, 0, 0 }
    :: atomic { HAS_ROOM && IS_CONTROL_DUE(0) -> write_control(0) }
    :: atomic { HAS_ROOM && IS_CONTROL_DUE(1) -> write_control(1) }
    :: atomic { HAS_ROOM && IS_DATA_DUE(0) && !IS_CONTROL_DUE(0) && !IS_CONTROL_DUE(1) -> write_data(0) }
    :: atomic { HAS_ROOM && IS_DATA_DUE(1) && !IS_CONTROL_DUE(0) && !IS_CONTROL_DUE(1) -> write_data(1) }

    /* The application: it opens its own stream, and does the same on both. */
    :: atomic { OWN(me).state == FRESH && !end_[me].is_refusing && !end_[me].is_peer_going ->
                OWN(me).state = LIVE; OWN(me).opening = SYN }
    :: atomic { OWN(0).state == LIVE && !OWN(0).is_ending -> act_queue(0) }
    :: atomic { OWN(1).state == LIVE && !OWN(1).is_ending -> act_queue(1) }
    :: atomic { OWN(0).state == LIVE && OWN(0).unread > 0 -> act_read(0) }
    :: atomic { OWN(1).state == LIVE && OWN(1).unread > 0 -> act_read(1) }
    :: atomic { resets > 0 && OWN(0).state == LIVE -> act_reset(0) }
    :: atomic { resets > 0 && OWN(1).state == LIVE -> act_reset(1) }
    :: atomic { aways > 0 && !end_[me].is_refusing ->
                aways--; end_[me].is_refusing = true; end_[me].is_away_due = true }
    od
}

/* At rest: nobody can move. Every stream that was opened came to its end at both ends, whole unless one reset it. */
proctype Rest() {
    byte s, me;
    timeout ->
    assert(empty(wire[0]) && empty(wire[1]));
    do
    :: s < STREAMS ->
        me = s;                                          /* who opened it */
        assert(MINE.state != LIVE && PEERS.state != LIVE);
        if
        :: MINE.did_reset || PEERS.did_reset -> skip     /* MUX-STREAM-016 */
        :: MINE.state == FRESH -> assert(end_[me].is_refusing || end_[me].is_peer_going)
        :: else ->
            assert(MINE.told == BYTES && PEERS.told == BYTES);   /* MUX-STREAM-010, MUX-AWAY-001, -002 */
            assert(MINE.told_end && PEERS.told_end);
            assert(!MINE.told_reset && !PEERS.told_reset)
        fi;
        s++
    :: else -> break
    od
}

init { atomic { run Session(0); run Session(1); run Rest() } }
